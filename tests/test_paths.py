"""Where chat completions live below every form of base URL that users have in their notes."""

from __future__ import annotations

import pytest

from bench.wire.job import Call
from bench.wire.paths import ElsewhereError, endpoint
from bench.wire.provider import Provider


@pytest.mark.parametrize(
    ("style", "url", "address"),
    [
        ("novita", "https://api.novita.ai", "https://api.novita.ai/openai/v1/chat/completions"),
        ("novita", "https://api.novita.ai/", "https://api.novita.ai/openai/v1/chat/completions"),
        ("novita", "https://api.novita.ai/openai", "https://api.novita.ai/openai/chat/completions"),
        ("novita", "https://api.novita.ai/openai/v1/", "https://api.novita.ai/openai/v1/chat/completions"),
        ("novita", "https://api.novita.ai/v3/openai", "https://api.novita.ai/v3/openai/chat/completions"),
        ("novita", "http://gateway/team", "http://gateway/team/openai/v1/chat/completions"),
        ("openai", "https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
        ("openai", "http://localhost:8000", "http://localhost:8000/chat/completions"),
        ("vllm", "http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        ("vllm", "http://localhost:8000/v1/", "http://localhost:8000/v1/chat/completions"),
        ("vllm", "http://gateway/model-a", "http://gateway/model-a/v1/chat/completions"),
    ],
)
def test_the_path_is_added_once_and_with_single_slashes(style, url, address):
    assert str(endpoint(url, style, "llm", "chat/completions")) == address


@pytest.mark.parametrize("style", ["novita", "openai", "vllm"])
def test_a_query_stays_behind_the_path(style):
    address = endpoint("https://host/openai/v1?api-version=2026-01&x=%2F", style, "llm", "completions")
    assert str(address) == "https://host/openai/v1/completions?api-version=2026-01&x=%2F"


@pytest.mark.parametrize("base", ["", "/openai", "/openai/v1", "/v3/openai"])
def test_apis_of_another_family_leave_the_base_of_the_language_models(base):
    address = endpoint(f"https://api.novita.ai{base}", "novita", "media", "v3/async/txt2img")
    assert str(address) == "https://api.novita.ai/v3/async/txt2img"


@pytest.mark.parametrize(
    ("style", "url", "family", "address"),
    [
        ("novita", "https://api.novita.ai", "anthropic", "https://api.novita.ai/anthropic/v1/x"),
        ("novita", "https://api.novita.ai/anthropic", "anthropic", "https://api.novita.ai/anthropic/v1/x"),
        ("novita", "https://api.novita.ai/anthropic", "llm", "https://api.novita.ai/openai/v1/x"),
        ("novita", "https://api.novita.ai/v3/openai", "openai", "https://api.novita.ai/openai/v1/x"),
        ("novita", "https://api.novita.ai/v3/openai", "llm", "https://api.novita.ai/v3/openai/x"),
        ("openai", "https://api.anthropic.com/v1", "anthropic", "https://api.anthropic.com/v1/x"),
        ("openai", "https://api.openai.com/v1", "openai", "https://api.openai.com/v1/x"),
        ("vllm", "http://localhost:8000", "anthropic", "http://localhost:8000/v1/x"),
        ("vllm", "http://localhost:8000/v1", "media", "http://localhost:8000/x"),
    ],
)
def test_every_family_is_found_under_its_own_base(style, url, family, address):
    assert str(endpoint(url, style, family, "x")) == address


@pytest.mark.parametrize(
    ("address", "polled"),
    [
        ("/jobs/1?full=1", "https://host/jobs/1?version=2&full=1"),
        ("https://host/v2/jobs/1", "https://host/v2/jobs/1?version=2"),
        ("https://HOST:443/jobs/1", "https://host/jobs/1?version=2"),
        ("jobs/1", "https://host/v1/jobs/1?version=2"),
    ],
)
def test_an_address_that_the_server_stated_is_taken_as_it_is(address, polled):
    provider = Provider(url="https://host/v1?version=2", style="openai", headers={}, scrub=str)
    assert str(provider.call(Call("poll", address, "GET"), "llm").url) == polled


@pytest.mark.parametrize("address", ["https://elsewhere/jobs/1", "http://host/jobs/1", "//elsewhere/jobs/1"])
def test_no_key_goes_to_another_server_that_the_server_names(address):
    provider = Provider(url="https://host/v1", style="openai", headers={}, scrub=str)
    with pytest.raises(ElsewhereError, match="to which no key is sent"):
        provider.call(Call("poll", address, "GET"), "llm")
