"""The simulator as the official `openai` and `anthropic` clients see it: the wire, proven by clients no one here wrote."""

from __future__ import annotations

import base64
import io
import json
import time

import pytest
from pydantic import BaseModel

from bench.plan.images import synthetic_image
from tests.conftest import serving

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Now", "parameters": WEATHER}}
ASKED = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module", autouse=True)
def clients():
    """Imported for these tests alone: it takes seconds, and every process of pytest imports every module of tests."""
    global anthropic, openai
    import anthropic
    import openai


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A provider that speaks OpenAI's own dialect of files and batches, with quick models."""
    models = {
        "fast": {"ttft": [0, 0], "decode_per_token": 0, "cache": {"minimum": 64, "block": 64}, "task_seconds": [0, 0]},
        "thinker": {"ttft": [0, 0], "decode_per_token": 0, "reasoning_tokens": 5},
    }
    folder = tmp_path_factory.mktemp("official")
    with serving(folder, models=models, dialect="openai", errors="openai", batch_rate=500) as found:
        yield found


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as ours:
        yield ours


@pytest.fixture
def claude(url):
    with anthropic.Anthropic(base_url=f"{url}/anthropic", api_key="any", max_retries=0) as ours:
        yield ours


# -- openai ---------------------------------------------------------------------------------------


def test_a_tool_is_called_and_told_its_result(client):
    first = client.chat.completions.create(model="fast", messages=ASKED, tools=[TOOL])
    [call] = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["unit"] in ("celsius", "fahrenheit")
    said = [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}]
    second = client.chat.completions.create(model="fast", messages=[*ASKED, *said], tools=[TOOL])
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content


def test_a_streamed_tool_call_is_put_together_by_the_client(client):
    with client.chat.completions.stream(model="fast", messages=ASKED, tools=[TOOL], tool_choice="required") as stream:
        kinds = [event.type for event in stream]
        [call] = stream.get_final_completion().choices[0].message.tool_calls
    assert "tool_calls.function.arguments.delta" in kinds
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city", "unit"}


def test_a_tool_that_must_not_be_called_is_not(client):
    answer = client.chat.completions.create(model="fast", messages=ASKED, tools=[TOOL], tool_choice="none")
    assert answer.choices[0].message.tool_calls is None


class Line(BaseModel):
    text: str
    price: float


class Invoice(BaseModel):
    number: int
    paid: bool
    lines: list[Line]


def test_a_structured_answer_is_parsed_by_the_client(client):
    answer = client.chat.completions.parse(model="fast", messages=ASKED, response_format=Invoice)
    invoice = answer.choices[0].message.parsed
    assert isinstance(invoice, Invoice)
    assert all(isinstance(line.price, float) for line in invoice.lines)


def test_a_json_object_is_one(client):
    answer = client.chat.completions.create(model="fast", messages=ASKED, response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


def test_several_answers_and_log_probabilities(client):
    answer = client.chat.completions.create(
        model="fast", messages=ASKED, max_tokens=4, n=3, logprobs=True, top_logprobs=2, logit_bias={"1": -100}
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    tokens = answer.choices[1].logprobs.content
    assert "".join(token.token for token in tokens) == answer.choices[1].message.content
    assert len(tokens[0].top_logprobs) == 2
    legacy = client.completions.create(model="fast", prompt="Once", max_tokens=4, logprobs=2, echo=True)
    assert legacy.choices[0].text == "Once" + "".join(legacy.choices[0].logprobs.tokens)
    chunks = client.chat.completions.create(model="fast", messages=ASKED, max_tokens=4, logprobs=True, stream=True)
    assert sum(len(c.choices[0].logprobs.content) for c in chunks if c.choices and c.choices[0].logprobs) == 4


def test_an_image_is_seen_and_counted(client):
    def prompt_tokens(*parts):
        messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "What is this?"}]}]
        return client.chat.completions.create(model="fast", messages=messages, max_tokens=1).usage.prompt_tokens

    image = {
        "type": "image_url",
        "image_url": {"url": f"data:image/jpeg;base64,{synthetic_image('1', 32, 32)}", "detail": "low"},
    }
    assert prompt_tokens(image) == prompt_tokens() + 85
    with pytest.raises(openai.BadRequestError, match="image cannot be read"):
        prompt_tokens({"type": "image_url", "image_url": {"url": "data:image/png;base64,bm8="}})


def test_a_cache_knows_one_image_from_another(client):
    def cached(number):
        url = {"url": f"data:image/jpeg;base64,{synthetic_image(number, 32, 32)}"}
        messages = [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
        usage = client.chat.completions.create(model="fast", messages=messages, max_tokens=1).usage
        return usage.prompt_tokens_details.cached_tokens

    assert (cached("a"), cached("b")) == (0, 0)
    assert cached("a") > 700


def test_thinking_can_be_turned_off(client):
    def reasoning(**extra):
        answer = client.chat.completions.create(model="thinker", messages=ASKED, extra_body=extra)
        return answer.usage.completion_tokens_details.reasoning_tokens

    assert reasoning() == 5
    assert reasoning(enable_thinking=False) == 0


def test_embeddings_come_in_both_encodings(client):
    plain = client.embeddings.create(model="fast", input=["one", "two"], encoding_format="float", dimensions=8)
    coded = client.embeddings.create(model="fast", input=["one", "two"], dimensions=8)
    assert [len(one.embedding) for one in plain.data] == [8, 8]
    assert plain.data[0].embedding == pytest.approx(coded.data[0].embedding, abs=1e-6)
    assert plain.data[0].embedding != plain.data[1].embedding
    assert plain.usage.prompt_tokens == 2


def test_images_are_made(client):
    made = client.images.generate(model="fast", prompt="a lighthouse", n=2, size="512x512")
    assert len({image.url for image in made.data}) == 2
    [coded] = client.images.generate(model="fast", prompt="a lighthouse", response_format="b64_json").data
    assert base64.b64decode(coded.b64_json).startswith(b"\x89PNG")


def lines(count, **body):
    asked = {"model": "fast", "messages": ASKED, "max_tokens": 3} | body
    each = [{"custom_id": f"{n}", "method": "POST", "url": "/v1/chat/completions", "body": asked} for n in range(count)]
    return io.BytesIO("\n".join(map(json.dumps, each)).encode())


def ended(client, batch):
    while (batch := client.batches.retrieve(batch.id)).status not in ("completed", "expired", "cancelled", "failed"):
        time.sleep(0.02)
    return batch


def test_a_batch_is_uploaded_done_and_fetched(client):
    file = client.files.create(file=("in.jsonl", lines(20)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"who": "me"}
    )
    done = ended(client, batch)
    assert (done.status, done.request_counts.completed, done.metadata) == ("completed", 20, {"who": "me"})
    output = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    assert {line["custom_id"] for line in output} == {str(n) for n in range(20)}
    assert output[0]["response"]["body"]["usage"]["completion_tokens"] == 3
    assert [listed.id for listed in client.batches.list()] == [batch.id]
    assert client.files.retrieve(file.id).bytes == file.bytes
    assert client.files.delete(file.id).deleted


def test_a_batchs_failures_are_in_its_error_file(client):
    faults = {"simulator": {"faults": [{"kind": "task_fails", "share": 0.5}]}}
    file = client.files.create(file=("in.jsonl", lines(30, **faults)), purpose="batch")
    done = ended(client, client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"))  # fmt: skip
    failed = client.files.content(done.error_file_id).text.splitlines()
    assert 0 < len(failed) == done.request_counts.failed < 30


def test_a_batch_can_be_cancelled(client):
    file = client.files.create(file=("in.jsonl", lines(5000)), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert ended(client, batch).status == "cancelled"


def test_errors_are_of_the_clients_own_kinds(client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=ASKED)
    with pytest.raises(openai.BadRequestError, match="temperature must be between"):
        client.chat.completions.create(model="fast", messages=ASKED, temperature=3)
    fault = {"simulator": {"faults": [{"kind": "error", "status": 429}]}}
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model="fast", input="x", extra_body=fault)


# -- anthropic ------------------------------------------------------------------------------------


def test_a_message_is_answered_whole_and_streamed(claude):
    whole = claude.messages.create(model="fast", max_tokens=6, messages=ASKED, system="Be brief.")
    assert whole.stop_reason == "max_tokens"
    assert len(whole.content[0].text.split()) == 6
    assert whole.usage.output_tokens == 6
    with claude.messages.stream(model="fast", max_tokens=6, messages=ASKED) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.content[0].text == text
    assert final.usage.output_tokens == 6


def test_claude_thinks_first_and_signs_its_thoughts(claude):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with claude.messages.stream(model="thinker", max_tokens=1100, messages=ASKED, thinking=thinking) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert len(final.content[0].thinking.split()) == 5
    assert final.content[0].signature
    assert {"thinking", "signature", "text"} <= set(kinds)
    plain = claude.messages.create(model="thinker", max_tokens=20, messages=ASKED)
    assert [block.type for block in plain.content] == ["text"]


def test_claude_calls_a_tool_and_is_told_its_result(claude):
    tools = [{"name": "get_weather", "input_schema": WEATHER}]
    with claude.messages.stream(model="fast", max_tokens=200, messages=ASKED, tools=tools) as stream:
        first = stream.get_final_message()
    [call] = first.content
    assert (first.stop_reason, call.type, call.name) == ("tool_use", "tool_use", "get_weather")
    assert set(call.input) == {"city", "unit"}
    told = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}]}
    second = claude.messages.create(
        model="fast",
        max_tokens=200,
        tools=tools,
        messages=[*ASKED, {"role": "assistant", "content": first.content}, told],
    )
    assert second.stop_reason == "end_turn"


def test_claude_keeps_a_marked_prompt_in_the_cache_and_counts_it_apart(claude):
    system = [{"type": "text", "text": "word " * 300, "cache_control": {"type": "ephemeral"}}]
    first, second = (
        claude.messages.create(model="fast", max_tokens=1, messages=ASKED, system=system).usage for _ in range(2)
    )
    assert first.cache_creation_input_tokens > 0
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert second.input_tokens + second.cache_read_input_tokens + second.cache_creation_input_tokens == (
        first.input_tokens + first.cache_creation_input_tokens
    )


def test_claudes_tokens_are_counted_beforehand(claude):
    counted = claude.messages.count_tokens(model="fast", messages=ASKED).input_tokens
    assert counted == claude.messages.create(model="fast", max_tokens=1, messages=ASKED).usage.input_tokens


def test_claudes_errors_are_of_the_clients_own_kinds(claude):
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nobody", max_tokens=1, messages=ASKED)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        claude.messages.create(model="fast", max_tokens=0, messages=ASKED)
    overloaded = {"simulator": {"faults": [{"kind": "error", "status": 529}]}}
    with pytest.raises(anthropic.APIStatusError) as raised:
        claude.messages.create(model="fast", max_tokens=1, messages=ASKED, extra_body=overloaded)
    assert raised.value.body["error"]["type"] == "overloaded_error"


def test_an_error_inside_claudes_stream_is_raised(claude):
    broken = {"simulator": {"faults": [{"kind": "error_in_stream", "after_tokens": 2, "status": 529}]}}
    with (
        pytest.raises(anthropic.APIStatusError),
        claude.messages.stream(model="fast", max_tokens=9, messages=ASKED, extra_body=broken) as stream,
    ):
        list(stream.text_stream)


# -- the provider's own dialect, which the official client takes unchecked ----------------------------


def test_novitas_dialect_passes_through_openais_client(new_simulator):
    with (
        new_simulator(batch_rate=500) as url,
        openai.OpenAI(base_url=f"{url}/openai/v1", api_key="any", max_retries=0) as client,
    ):
        body = {"model": "sim/instant", "messages": ASKED, "max_tokens": 3}
        line = json.dumps({"custom_id": "1", "body": body}).encode()
        file = client.files.create(file=("in.jsonl", line), purpose="batch")
        assert file.metadata == {"total_requests": 1}
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="48h")
        assert (batch.status, batch.output_file_id, batch.errors) == ("VALIDATING", "", "")
        assert str(batch.created_at).endswith("+00:00")
        while (batch := client.batches.retrieve(batch.id)).status not in ("COMPLETED", "FAILED"):
            time.sleep(0.02)
        assert batch.request_counts.completed == 1


def test_a_wrong_key_is_refused_on_every_base(new_simulator):
    with new_simulator(key="sk-0123456789") as url:
        for base in ("/openai", "/openai/v1", "/v3/openai", "/v1"):
            with (
                openai.OpenAI(base_url=url + base, api_key="wrong", max_retries=0) as wrong,
                pytest.raises(openai.AuthenticationError),
            ):
                wrong.embeddings.create(model="sim/instant", input="x")
        with (
            anthropic.Anthropic(base_url=f"{url}/anthropic", api_key="wrong", max_retries=0) as claude,
            pytest.raises(anthropic.AuthenticationError),
        ):
            claude.messages.create(model="sim/instant", max_tokens=1, messages=ASKED)


# -- what else the peers and the clients ask for -----------------------------------------------------


def test_several_prompts_get_choices_each(client):
    made = client.completions.create(model="fast", prompt=["one", "two words", "three"], max_tokens=4, n=2, echo=True)
    assert [choice.index for choice in made.choices] == [0, 1, 2, 3, 4, 5]
    begins = ("one", "one", "two words", "two words", "three", "three")
    assert all(choice.text.startswith(begin) for choice, begin in zip(made.choices, begins, strict=True))
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (4, 24)


def test_min_tokens_and_ignore_eos_make_an_answer_longer(client):
    def length(**extra):
        made = client.chat.completions.create(model="fast", messages=ASKED, max_tokens=400, extra_body=extra)
        return made.usage.completion_tokens, made.choices[0].finish_reason

    assert length(ignore_eos=True) == (400, "length")
    assert length(min_tokens=300) == (300, "stop")
    with pytest.raises(openai.BadRequestError, match="at most max_tokens=400"):
        length(min_tokens=401)


def test_usage_comes_with_every_chunk_where_it_is_asked_for(client):
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = client.chat.completions.create(
        model="fast", messages=ASKED, max_tokens=3, stream=True, stream_options=options
    )
    told = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert [one.completion_tokens for one in told] == [1, 2, 3, 3]
    assert all(one.total_tokens == one.prompt_tokens + one.completion_tokens for one in told)


@pytest.mark.parametrize(("kind", "begins"), [("mp3", b"\xff\xfb"), ("wav", b"RIFF"), ("pcm", b"\0\0")])
def test_speech_is_made(client, kind, begins):
    made = client.audio.speech.create(model="fast", input="hello there", voice="alloy", response_format=kind)
    assert made.content.startswith(begins)
    with client.audio.speech.with_streaming_response.create(
        model="fast", input="hello there", voice="alloy", response_format=kind
    ) as streamed:
        assert b"".join(streamed.iter_bytes()) == made.content


def test_a_sound_is_written_down_whole_and_streamed(client):
    sound = ("a.wav", b"RIFF" + bytes(50_000))
    whole = client.audio.transcriptions.create(model="fast", file=sound)
    assert whole.usage.output_tokens == len(whole.text.split()) > 0
    assert client.audio.transcriptions.create(model="fast", file=sound, response_format="text").strip()
    *deltas, done = client.audio.transcriptions.create(model="fast", file=sound, stream=True)
    assert "".join(event.delta for event in deltas) == done.text


def test_a_text_that_names_a_harm_is_flagged(client):
    judged = client.moderations.create(model="fast", input=["I love gardens", "graphic violence"]).results
    assert [one.flagged for one in judged] == [False, True]
    assert judged[1].categories.violence
    assert not judged[1].categories.hate


def test_an_image_is_edited(client):
    image = base64.b64decode(
        client.images.generate(model="fast", prompt="x", response_format="b64_json").data[0].b64_json
    )
    made = client.images.edit(model="fast", image=[("a.png", image), ("b.png", image)], prompt="a hat", n=2)
    assert len(made.data) == 2
    with pytest.raises(openai.BadRequestError, match="cannot be read"):
        client.images.edit(model="fast", image=("a.png", b"no image"), prompt="a hat")


def test_claude_keeps_to_a_schema(claude):
    form = {"type": "json_schema", "schema": WEATHER}
    made = claude.messages.create(
        model="fast", max_tokens=200, messages=ASKED, extra_body={"output_config": {"format": form}}
    )
    assert set(json.loads(made.content[0].text)) == {"city", "unit"}
    with pytest.raises(anthropic.BadRequestError, match=r"output_config\.format"):
        claude.messages.create(model="fast", max_tokens=9, messages=ASKED, extra_body={"output_format": {"type": "x"}})


def batch_ended(claude, batch):
    while (batch := claude.messages.batches.retrieve(batch.id)).processing_status != "ended":
        time.sleep(0.02)
    return batch


def claudes(count, **params):
    asked = {"model": "fast", "max_tokens": 3, "messages": ASKED} | params
    return [{"custom_id": f"{number}", "params": asked} for number in range(count)]


def test_a_batch_of_messages_is_done_and_fetched(claude):
    requests = [*claudes(5), {"custom_id": "bad", "params": {"model": "nobody", "max_tokens": 3, "messages": ASKED}}]
    batch = claude.messages.batches.create(requests=requests)
    done = batch_ended(claude, batch)
    assert (done.request_counts.succeeded, done.request_counts.errored) == (5, 1)
    results = {one.custom_id: one.result for one in claude.messages.batches.results(batch.id)}
    assert results["0"].message.usage.output_tokens == 3
    assert results["bad"].error.error.type == "not_found_error"
    assert next(one.id for one in claude.messages.batches.list()).startswith("msgbatch_")
    assert claude.messages.batches.delete(batch.id).id == batch.id


def test_a_batch_of_messages_can_be_cancelled(claude):
    batch = claude.messages.batches.create(requests=claudes(5000))
    assert claude.messages.batches.cancel(batch.id).processing_status == "canceling"
    assert batch_ended(claude, batch).request_counts.canceled > 0
