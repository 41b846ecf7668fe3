"""The simulator as the official Node clients see it: openai, Vercel's ai with @ai-sdk/openai, @anthropic-ai/sdk.

Their packages are in tests/node/node_modules, as package-lock.json names them; `make test` puts them there, or else the first test does.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.conftest import made_once, serving
from tests.node_packages import NODE, installed

FAST = {"ttft": [0, 0], "decode_per_token": 0}

KNOWN = {
    "openai_chat": {"words": 5, "tokens": 5, "end": "length"},
    "openai_chat_streamed": {"deltas": 5, "tokens": 5, "end": "length"},
    "openai_chat_tool": {"asked": [["city"]], "roles": ["user", "assistant", "tool", "assistant"], "answered": True},
    "openai_chat_structured": {"fits": True},
    "openai_responses": {"words": 16, "tokens": 16, "status": "incomplete"},
    "openai_responses_streamed": {"deltas": 16, "same": True, "tokens": 16, "status": "incomplete"},
    "openai_responses_tool": {"name": "get_weather", "asked": ["city"], "answered": True},
    "openai_responses_structured": {"fits": True},
    "openai_embeddings": {"sizes": [8, 8], "same": True, "tokens": 2},
    "openai_errors": {"kinds": [["NotFoundError", 404], ["BadRequestError", 400], ["RateLimitError", 429]]},
    "openai_models": {"names": ["fast"]},
    "vercel_chat": {"words": 16, "tokens": 16, "end": "length"},
    "vercel_chat_streamed": {"same": True, "words": 16, "tokens": 16, "end": "length"},
    "vercel_chat_tool": {"asked": [["city"]], "steps": ["tool-calls", "stop"], "answered": True},
    "vercel_responses": {"words": 16, "tokens": 16, "end": "length"},
    "vercel_responses_streamed": {"same": True, "words": 16, "tokens": 16, "end": "length"},
    "vercel_responses_tool": {"asked": [["city"]], "steps": ["tool-calls", "stop"], "answered": True},
    "vercel_object": {"fits": [True, True]},
    "vercel_object_streamed": {"partial": True, "fits": True},
    "vercel_embeddings": {"sizes": 1, "vectors": 2, "tokens": 2},
    "claude_message": {"words": 6, "tokens": 6, "end": "max_tokens"},
    "claude_streamed": {"same": True, "tokens": 6, "end": "max_tokens"},
    "claude_tool": {"name": "get_weather", "asked": ["city"], "end": "tool_use"},
}
"""What each case of tests/node/clients.mjs must get."""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What every case got, of one run of the script."""
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        pytest.skip(f"{' and '.join(missing)} not found; install Node.js 18 or newer to test its clients")
    installed()

    def told() -> str:
        with serving(tmp_path_factory.mktemp("node"), models={"fast": FAST}, dialect="openai", errors="openai") as url:
            command = ["node", str(NODE / "clients.mjs"), url]
            process = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert process.returncode == 0, process.stderr
        return process.stdout

    return json.loads(made_once(tmp_path_factory, "node clients", told))


def test_every_case_of_the_script_has_a_known_answer(results):
    assert set(results) == set(KNOWN)


@pytest.mark.parametrize("case", KNOWN)
def test_a_node_client_gets_the_known_answer(results, case):
    assert results[case] == KNOWN[case]
