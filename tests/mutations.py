"""Good answers of every API, what can go wrong with them, and what must hold whatever did.

For tests/test_fuzz.py and for benchmarks/fuzz.py, which goes on for as long as one likes.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

import httpx
import orjson

from bench.records import OUTCOMES
from bench.wire.answer import Answer
from bench.wire.ask import Ask
from bench.wire.exchange import Exchange
from bench.wire.fields import LARGEST_NUMBER, LONGEST_LINE, LONGEST_NAME, LONGEST_WORD, MOST_NUMBERS
from bench.wire.job import Call, Pace
from bench.wire.job_runner import JobResult, JobRunner
from bench.wire.limits import limits, retry_after
from bench.wire.outcome import judge
from bench.wire.paths import endpoint
from bench.wire.protocols import PROTOCOLS, Job

LONGEST_ERROR = LONGEST_LINE + 200  # a sentence of the server's with ours around it
NOW = 1_792_000_000.0  # seconds since the epoch


# -- good answers ---------------------------------------------------------------------------------


def events(*values: object, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + orjson.dumps(value) + b"\n\n" for value in values) + end


def named(*values: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (value["type"].encode(), orjson.dumps(value)) for value in values)


def chunk(finish: str | None = None, **delta: object) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


USAGE = {
    "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "queue_time": 0.1, "total_time": 0.4,
    "prompt_tokens_details": {"cached_tokens": 2, "created_cache_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}  # fmt: skip
LLAMA = {"prompt_n": 7, "prompt_ms": 12.5, "predicted_n": 3, "predicted_ms": 40.0}
CALL = {"index": 0, "id": "k1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "X"}'}}
CHAT = (
    events(
        chunk(role="assistant", content=""),
        chunk(content="Hello"),
        chunk(content=" there"),
        chunk(content=" you") | {"usage": USAGE},
        chunk("stop") | {"timings": LLAMA},
        {"id": "c1", "model": "m", "choices": [], "usage": USAGE},
    ),
    events(
        chunk(role="assistant", reasoning_content="Hm"),
        chunk(reasoning_details=[{"type": "reasoning.text", "text": "Hm", "index": 0}]),
        chunk(tool_calls=[CALL]),
        chunk("tool_calls") | {"x_groq": {"id": "g", "usage": USAGE}},
        {"choices": [], "usage": USAGE, "simulator": {"arrived": 1.5, "first_token": 2.5}},
    ),
    events(chunk(content="A"), {"error": {"message": "overloaded", "type": "server_error", "code": 503}}),
    events(chunk(content="A"), {"code": 429, "reason": "RATE_LIMIT_EXCEEDED", "message": "slow", "metadata": {}}),
    events(chunk(audio={"data": "UklG", "transcript": "a"}), chunk(refusal="no"), chunk("stop")),
)
MESSAGE = {
    "role": "assistant", "content": "Hello there", "reasoning_content": "Hm", "tool_calls": [CALL], "refusal": None,
}  # fmt: skip
CHAT_WHOLE = (
    orjson.dumps(
        {"id": "c1", "model": "m", "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
         "usage": USAGE, "timings": LLAMA}
    ),
)  # fmt: skip
COMPLETION = {"id": "c1", "model": "m", "choices": [{"index": 0, "text": "Hello", "finish_reason": "length"}]}
MESSAGE_START = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None,
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2,
                  "output_tokens": 1},
    },
}  # fmt: skip
MESSAGES = (
    named(
        MESSAGE_START,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "ping"},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hello"}},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": '{"city": "X"}'},
        },
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 15, "output_tokens_details": {"thinking_tokens": 3}},
        },
        {"type": "message_stop"},
    ),
    named(MESSAGE_START, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
)
MESSAGES_WHOLE = (
    orjson.dumps(
        MESSAGE_START["message"]
        | {
            "content": [
                {"type": "text", "text": "Hello"},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "X"}},
            ],
            "stop_reason": "end_turn",
            "timings": LLAMA,
        }
    ),
)
RESPONSE_CALL = {"type": "function_call", "id": "fc", "call_id": "k1", "name": "weather", "arguments": '{"city": "X"}'}
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "error": None,
    "output": [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm"}]},
        {"type": "message", "id": "msg", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]},
        RESPONSE_CALL,
    ],
    "usage": {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 5,
              "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 25},
    "simulator": {"arrived": 1.5, "first_token": 2.5},
}  # fmt: skip
BEGUN = {"type": "response.created", "response": RESPONSE | {"status": "in_progress", "output": [], "usage": None}}
RESPONSES = (
    named(
        BEGUN,
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": []}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Hm"},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Hel"},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "lo"},
        {"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "Hello"},
        {"type": "response.output_item.added", "output_index": 2, "item": RESPONSE_CALL | {"arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"city": "X"}'},
        {"type": "response.output_item.done", "output_index": 2, "item": RESPONSE_CALL},
        {"type": "response.completed", "response": RESPONSE},
    ),
    named(
        BEGUN,
        {"type": "response.refusal.delta", "output_index": 0, "delta": "no"},
        {"type": "response.incomplete",
         "response": RESPONSE | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}},
    )
    + b"data: [DONE]\n\n",
    named(BEGUN, {"type": "response.failed",
                  "response": RESPONSE | {"status": "failed", "error": {"code": "server_error", "message": "no"}}}),
    named(BEGUN, {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None}),
)  # fmt: skip
SPEECH = (
    events(
        {"data": {"audio": "ff00", "status": 1}},
        {"audio": "00ff", "status": 1, "base_resp": {"status_code": 0, "status_msg": ""}},
        {"data": {"audio": "", "status": 2}, "simulator": {"arrived": 1.0}},
        end=b"",
    ),
    events({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, end=b""),
)
SPEECH_WHOLE = (b'{"data": {"audio": "ff00"}}', b'{"audio": "https://x/y.mp3"}', b"ID3\x04\x00")
EMBEDDINGS = (
    orjson.dumps(
        {"object": "list", "model": "m", "data": [{"index": 0, "embedding": [0.1, 0.2]}], "usage": {"prompt_tokens": 5}}
    ),
)
RERANK = (b'{"id": "r", "results": [{"index": 1, "relevance_score": 0.5}], "usage": {"total_tokens": 9}}',)
MODELS = (b'{"data": [{"id": "a/b", "context_size": 4096}, {"id": "c"}]}',)
IMAGES = (
    b'{"created": 1, "data": [{"url": "https://x/1.png"}]}',
    b'{"images": [{"image_url": "1"}], "task": {"task_id": "t"}}',
)
DEBUG = {"submit_time_ms": "1000", "execute_time_ms": "1500", "complete_time_ms": "3500"}
TASK = {"extra": {"debug_info": DEBUG}, "task": {"task_id": "t", "status": "TASK_STATUS_SUCCEED", "reason": ""}}
TASKS = (
    (b'{"task_id": "t"}', orjson.dumps(TASK | {"images": [{"image_url": "1"}, {"image_url": "2"}]})),
    (b'{"code": 0, "msg": "", "data": {"task_id": "t"}}', orjson.dumps({"payload": TASK | {"audios": [{"url": "1"}]}})),
    (b'{"task_id": "t"}', orjson.dumps(TASK | {"task": {"status": "TASK_STATUS_FAILED", "reason": "nsfw"}})),
)
ENDED = {"id": "b1", "status": "COMPLETED", "output_file_id": "o", "error_file_id": "e", "errors": ""}
LINE = {
    "custom_id": "request-1", "error": None,
    "response": {"status_code": 200, "body": COMPLETION | {"usage": USAGE}},
}  # fmt: skip
BATCHES = (
    (
        b'{"id": "f1"}',
        b'{"id": "b1", "status": "validating"}',
        orjson.dumps(ENDED),
        orjson.dumps(LINE) + b"\n" + orjson.dumps(LINE | {"custom_id": "request-2"}) + b"\n",
        orjson.dumps(LINE | {"error": {"code": "x"}, "response": {"status_code": 400, "body": {}}}),
    ),
    (b'{"id": "f1"}', b'{"id": "b1"}', orjson.dumps(ENDED | {"status": "expired", "output_file_id": ""}), b""),
)
ERRORS = (
    b'{"error": {"message": "no", "type": "budget_exceeded", "param": null, "code": "400"}}',
    b'{"code": 429, "reason": "RATE_LIMIT_EXCEEDED", "message": "slow", "metadata": {"headers": {}}}',
    b'{"detail": [{"loc": ["body", "model"], "msg": "Field required"}]}',
    b'{"type": "https://x#q", "title": "Quota exceeded", "status": 429, "detail": "wait"}',
    b'{"object": "error", "message": "bad", "type": "BadRequest", "code": 400}',
    b"<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>",
    b"upstream failed\nsecond line",
)
HEADERS = (
    {"x-request-id": "r1", "x-ratelimit-limit-requests": "100", "x-ratelimit-reset-requests": "1m2.5s"},
    {"retry-after": "Wed, 14 Oct 2026 17:46:50 GMT", "x-ratelimit-reset": "1792000030500"},
    {
        "retry-after-ms": "1500",
        "anthropic-ratelimit-requests-reset": "2026-10-14T17:46:41Z",
        "content-encoding": "gzip",
    },
    {"ratelimit-policy": '"permin";q=50;w=60,"perhr";q=1000;w=3600', "ratelimit": '"permin";r=12;t=30'},
    {"llm_provider-retry-after": "7", "llm_provider-x-ratelimit-remaining-tokens": "5"},
    {"x-ratelimit-model_per_key-remaining-requests": "7", "x-ratelimit-limit": "100, 100;w=60"},
)

# -- what can go wrong ----------------------------------------------------------------------------


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    return opening * depth + b"1" + closing * depth


WEIRD = (
    b"null", b"true", b"false", b"0", b"-1", b"-0.0", b"1.5", b"12.0", b"1e308", b"-1e308", b"1e999", b"NaN", b"Infinity",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"18446744073709551616",
    b"1" + b"0" * 400, b"9007199254740993", b'""', b'" "', b'"stop"', b'"9"', b'"-9"', b'"nan"', b'"1e999"', b'"error"',
    b'"\\u0000"', b'"\\ud800"', b'"\\u001b[31m"', b'"\\u202e"', b'"a\\nb"', b'"' + b"x" * 3000 + b'"', b'"\xc3\xa9"',
    b'"\xff"', b"[]", b"[[]]", b"[null]", b"[1, 2]", b'["stop"]', b"{}", b'{"a": 1}', b'{"text": 5}', b'{"message": {}}',
    b'[{"type": "text", "text": 5}]', b'{"": ""}', nested(200, b"[", b"]"), nested(300, b"[", b"]"),
    nested(300, b'{"a":', b"}"), nested(1000, b"[", b"]"), nested(1100, b"[", b"]"),
)  # fmt: skip
"""JSON values, and a few that are none, to stand where another is expected."""

WEIRD_HEADERS = (
    "", " ", "-1", "nan", "inf", "1e308", "1e999", "9" * 400, "9007199254740993", "1_000", "٣", "soon", "0x10", ";", ",", "1,2,3",
    "99999999999999999999h", "9" * 300 + "h", "1h" * 400, "9999-12-31T23:59:59+23:59", "0001-01-01T00:00:00-23:59",
    "Wed, 14 Oct 2026 17:46:50 +9999", "Wed, 14 Oct 2026 17:46:50 -99999999999", "Wed, 99 Oct 99999 17:46:50 GMT", "x" * 5000,
    '"' * 2000, '"a";q=', '"a";qu="' + "x" * 500 + '";q=1', '"a"' + " ;" * 1000, "é", "\x1b[31m", "1792000030",
)  # fmt: skip
MARK = '"\x00here"'
KEYS = (
    "id",
    "index",
    "choices",
    "usage",
    "error",
    "code",
    "message",
    "status",
    "type",
    "data",
    "timings",
    "task",
    "delta",
)


def mutated(body: bytes, rng: Random) -> bytes:
    """The body after one to three accidents."""
    for _ in range(rng.randint(1, 3)):
        accident = rng.choice((in_json, in_json, in_json, cut, spliced, repeated, odd_byte, other_lines))
        body = accident(body, rng)
    return body


def in_json(body: bytes, rng: Random) -> bytes:
    """One value in one JSON text of the body becomes another, goes, comes twice or is wrapped."""
    lines = body.split(b"\n")
    places = [number for number, line in enumerate(lines) if line.removeprefix(b"data: ").startswith((b"{", b"["))]
    if not places:
        return rng.choice(WEIRD) + body
    number = rng.choice(places)
    prefix = b"data: " if lines[number].startswith(b"data: ") else b""
    try:
        value = orjson.loads(lines[number].removeprefix(prefix))
        changed = orjson.dumps(change(value, rng))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return odd_byte(body, rng)
    lines[number] = prefix + changed.replace(orjson.dumps(MARK), rng.choice(WEIRD))
    return b"\n".join(lines)


def change(value: Any, rng: Random) -> Any:
    """A JSON value with one thing changed somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key, how = rng.choice(list(value)), rng.randrange(10)
        if how == 0:
            return {name: one for name, one in value.items() if name != key}
        if how == 1:
            return value | {rng.choice(KEYS): MARK}
        if how == 2:
            return {name if name != key else rng.choice(KEYS): one for name, one in value.items()}
        return value | {key: change(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place, how = rng.randrange(len(value)), rng.randrange(6)
        if how == 0:
            return value[:place] + value[place + 1 :]
        if how == 1:
            return value + value[place:]
        return [*value[:place], change(value[place], rng), *value[place + 1 :]]
    return rng.choice((MARK, MARK, MARK, [value], {"a": value}))


def cut(body: bytes, rng: Random) -> bytes:
    return body[: rng.randint(0, len(body))]


def spliced(body: bytes, rng: Random) -> bytes:
    """A piece goes, or stands somewhere else."""
    begin, end, at = sorted(rng.randint(0, len(body)) for _ in range(3))
    return body[:begin] + body[end:] if rng.random() < 0.5 else body[:at] + body[begin:end] + body[at:]


def repeated(body: bytes, rng: Random) -> bytes:
    """A line comes twice."""
    lines = body.split(b"\n\n")
    place = rng.randrange(len(lines))
    return b"\n\n".join([*lines[: place + 1], *lines[place:]])


def odd_byte(body: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(body))
    return (
        body[:at] + rng.choice((b"\xff", b"\xc3", b"\x00", b"\r", b"\n", b'"', b"<", b"{", b"\\", b"")) + body[at + 1 :]
    )


def other_lines(body: bytes, rng: Random) -> bytes:
    return body.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"")))


def split(body: bytes, rng: Random) -> list[bytes]:
    """The body in up to six reads."""
    cuts = sorted(rng.randint(0, len(body)) for _ in range(rng.randint(0, 5)))
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]


def mutated_headers(rng: Random) -> dict[str, str]:
    headers = dict(rng.choice(HEADERS))
    for name in list(headers):
        if rng.random() < 0.5:
            headers[name] = rng.choice(WEIRD_HEADERS)
    if rng.random() < 0.1:
        headers["x-ratelimit-limit-" + "a" * rng.choice((10, 100, 3000))] = "5"
    return headers


# -- what must hold -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What came of an input."""

    exchange: Exchange
    answer: Answer
    outcome: str
    error: str | None
    job_result: JobResult | None  # of a job


@dataclass(frozen=True)
class Reader:
    """One way in for a server's bytes."""

    name: str
    api: str
    stream: bool
    good: tuple[bytes | tuple[bytes, ...], ...]  # bodies; of a job, the bodies of its exchanges
    status: int = 200

    def input(self, rng: Random) -> tuple[bytes, ...]:
        """A good answer with something wrong in it."""
        chosen = rng.choice(self.good)
        bodies = [chosen] if isinstance(chosen, bytes) else list(chosen)
        place = rng.randrange(len(bodies))
        bodies[place] = mutated(bodies[place], rng)
        return tuple(bodies)

    def hold(self, bodies: tuple[bytes, ...], rng: Random) -> Reading:
        """Read these bodies. Raises whatever is a finding."""
        headers = httpx.Headers({name: value.encode() for name, value in mutated_headers(rng).items()})
        if isinstance(PROTOCOLS[self.api], Job):
            job_result = self._job(bodies, headers)
            exchange, answer = job_result.exchange, job_result.answer
        else:
            reads = [(float(at), data) for at, data in enumerate(split(bodies[0], rng), start=1)]
            exchange = Exchange(sent=0.5, done=9.0, status=self.status, headers=headers, reads=reads, complete=True)
            answer, job_result = self._read(exchange, bodies[0]), None
        outcome, error = judge(exchange, answer, terminator_optional=rng.random() < 0.5)
        check(answer, outcome, error)
        check_numbers(limits(headers, NOW), retry_after(headers, NOW))
        return Reading(exchange, answer, outcome, error, job_result)

    def _read(self, exchange: Exchange, body: bytes) -> Answer:
        api = PROTOCOLS[self.api]
        answer: Answer = api.read(exchange.reads, stream=self.stream)
        times = api.token_times(exchange.reads)
        assert all(moment is None or 1.0 <= moment <= 6.0 for moment in times)
        if exchange.reads and self.stream:
            unsplit = api.read([(1.0, body)], stream=True)
            assert same(answer) == same(unsplit), "split otherwise it is another answer"
        if hasattr(api, "reply"):
            orjson.dumps(api.reply(answer, {"weather": "sun"}))
        return answer

    def _job(self, bodies: tuple[bytes, ...], headers: httpx.Headers) -> JobResult:
        api, left = PROTOCOLS[self.api], list(bodies)

        def send(call: Call) -> Exchange:
            endpoint("http://127.0.0.1:1/v1", "openai", api.family, call.path).copy_merge_params(call.query or {})
            now = time.monotonic()
            if not left:
                return Exchange(sent=now, done=now, status=500, headers=headers)
            return Exchange(sent=now, done=now, status=200, headers=headers, reads=[(now, left.pop(0))], complete=True)

        batch = {"endpoint": "completions", "dialect": "novita", "window": "24h", "cancel_after": None}
        ask = Ask(model="m", input=["a", "b"], parameters={"batch": batch} if self.api == "batch" else {})
        runner = JobRunner(send, lambda seconds: False, None, Pace(timeout=5.0), Random(1))
        return runner.run(api.steps(ask))


def same(answer: Answer) -> Answer:
    """What is the same however a body is split into reads."""
    counts = [(0.0, tokens) for _, tokens in answer.arrivals]
    return replace(answer, arrivals=counts, first_token_at=None, first_answer_at=None, merged=0)


def check(answer: Answer, outcome: str, error: str | None) -> None:
    """An answer holds what a record may hold."""
    assert outcome in OUTCOMES
    assert error is None or len(error) <= LONGEST_ERROR, "the error is long"
    for name in ("finish_reason", "response_model", "response_id", "item"):
        word = getattr(answer, name)
        assert word is None or (0 < len(word) <= LONGEST_WORD and word.isprintable()), f"{name} is no short word"
    for count in (*plain(asdict(answer.usage)).values(), answer.items, answer.failed_items, answer.output_chars):
        assert count is None or (type(count) is int and count >= 0), "no count"
    assert all(type(tokens) is int and tokens >= 0 for _, tokens in answer.arrivals), "no tokens"
    assert len(answer.server) <= MOST_NUMBERS, "too many timings"
    assert all(0 < len(name) <= LONGEST_NAME and name.isprintable() for name in plain(answer.server)), "a long name"
    texts = [*answer.contents, *(text for call in answer.tool_calls for text in call)]
    assert all(isinstance(text, str) for text in texts), "no text"
    facts = {
        name: getattr(answer, name) for name in answer.__slots__ if name not in ("contents", "message", "tool_calls")
    }
    orjson.dumps(facts | {"usage": asdict(answer.usage), "outcome": outcome, "error": error})


def check_numbers(stated: dict[str, float], wait: float | None) -> None:
    """What headers state is in range."""
    assert len(stated) <= MOST_NUMBERS, "too many limits"
    assert all(0 < len(name) <= LONGEST_NAME + 40 and name.isprintable() for name in plain(stated)), "a long name"
    assert all(number >= 0 for number in stated.values()), "a negative limit"
    assert wait is None or 0 <= wait <= 1e9, "a wait that no clock can hold"


def plain(value: Any) -> Any:
    """A value as JSON gives it back. Raises AssertionError where JSON cannot hold it."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert math.isfinite(value), "a number without end"
        assert abs(value) <= LARGEST_NUMBER, "a number beyond range"
    return value


READERS = (
    Reader("chat, streamed", "chat", True, CHAT),
    Reader("chat", "chat", False, CHAT_WHOLE),
    Reader("completions, streamed", "completions", True, (events(COMPLETION | {"usage": USAGE}),)),
    Reader("completions", "completions", False, (orjson.dumps(COMPLETION | {"usage": USAGE}),)),
    Reader("messages, streamed", "messages", True, MESSAGES),
    Reader("messages", "messages", False, MESSAGES_WHOLE),
    Reader("responses, streamed", "responses", True, RESPONSES),
    Reader("responses", "responses", False, (orjson.dumps(RESPONSE),)),
    Reader("speech, streamed", "speech", True, SPEECH),
    Reader("speech", "speech", False, SPEECH_WHOLE),
    Reader("embeddings", "embeddings", False, EMBEDDINGS),
    Reader("rerank", "rerank", False, RERANK),
    Reader("models", "models", False, MODELS),
    Reader("images", "images", False, IMAGES),
    Reader("flux", "flux", False, IMAGES),
    Reader("txt2img", "txt2img", False, TASKS),
    Reader("txt2speech", "txt2speech", False, TASKS),
    Reader("batch", "batch", False, BATCHES),
    Reader("errors 400", "chat", False, ERRORS, status=400),
    Reader("errors 429, streamed", "messages", True, ERRORS, status=429),
    Reader("redirects", "chat", False, ERRORS, status=308),
)


def hold_headers(rng: Random) -> None:
    """Headers alone, read at a known time."""
    headers = httpx.Headers({name: value.encode() for name, value in mutated_headers(rng).items()})
    check_numbers(limits(headers, NOW), retry_after(headers, NOW))
