"""A key is in no file and in no output, however a server echoes it."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import socket
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import yaml

from bench.plan.redaction import HIDDEN, scrubber
from tests.conftest import bench
from tests.scripted_server import ScriptedServer, read_request

KEY = 'sk-Zq9/Wm+7x_"tV2%4RkLp8Hd3'
LEFT = 8  # so many characters of it nowhere


def forms(key: str) -> dict[str, str]:
    """What a text may hold instead of the key."""
    data = key.encode()
    return {
        "as it is": key,
        "capitals": key.upper(),
        "small letters": key.lower(),
        "JSON": json.dumps(key)[1:-1],
        "JSON, each character": "".join(f"\\u{ord(one):04x}" for one in key),
        "JSON within JSON": json.dumps(json.dumps(key))[3:-3],
        "Python's repr": repr(key)[1:-1],
        "Python's repr of bytes": repr(key.encode())[2:-1],
        "URL, upper hex": quote(key, safe=""),
        "URL, lower hex": re.sub("%..", lambda found: found.group().lower(), quote(key, safe="")),
        "URL, each character": "".join(f"%{ord(one):02X}" for one in key),
        "URL, twice": quote(quote(key, safe=""), safe=""),
        "HTML": html.escape(key),
        "HTML, decimal": "".join(f"&#{ord(one)};" for one in key),
        "HTML, hex": "".join(f"&#x{ord(one):x};" for one in key),
        "hex": data.hex(),
        "hex, capitals": data.hex().upper(),
        "base64": base64.b64encode(data).decode(),
        "base64 of user and key": base64.b64encode(b"user:" + data).decode(),
        "base64, moved by one": base64.b64encode(b"u" + data + b"?").decode(),
        "base64, moved by two": base64.b64encode(b"us" + data + b"??").decode(),
        "base64 for URLs": base64.urlsafe_b64encode(b"usr:" + data).decode(),
        "base64 in a URL": quote(base64.b64encode(data).decode(), safe=""),
    }


FORMS = forms(KEY)


def leaks(text: str) -> list[str]:
    """The stretches of the key that a text still holds, in any of its forms; found by other means than ours."""
    found = []
    views = {text, unquote(text), unquote(unquote(text)), html.unescape(text), text.replace("\\", "")}
    views.add(re.sub(r"\\+u00([0-9a-f]{2})", lambda one: chr(int(one.group(1), 16)), text))
    data = KEY.encode()
    encoded = [base64.b64encode(b"\0" * before + data).decode()[4 if before else 0 : -4] for before in range(3)]
    encoded += [one.replace("+", "-").replace("/", "_") for one in encoded]
    wanted = [(KEY.lower(), LEFT), (data.hex(), 2 * LEFT), *((one.lower(), LEFT + 3) for one in encoded)]
    for view in {view.lower() for view in views}:
        for form, size in wanted:
            found += [form[at : at + size] for at in range(len(form) - size + 1) if form[at : at + size] in view]
    return found


# -- the one function -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_taken_out_in_every_form(form):
    scrub = scrubber([KEY])
    text = f"Incorrect API key provided: {FORMS[form]}, see the manual"
    assert leaks(text), "the test itself sees it"
    scrubbed = scrub(text)
    assert HIDDEN in scrubbed
    assert not leaks(scrubbed)
    assert scrubbed.startswith("Incorrect API key provided: ")
    assert scrubbed.endswith(", see the manual")


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_key_is_left_wherever_a_text_is_cut(form):
    scrub = scrubber([KEY])
    text = FORMS[form]
    for at in range(len(text) + 1):
        assert not leaks(scrub(text[:at])), at
        assert not leaks(scrub(text[at:])), at
        assert not leaks(scrub(f"{text[:at]}… {text[at:]}")), at


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("Bearer very-secret-token", "the token very-secret-token is wrong"),
        ("Basic dXNlcm5hbWU6cGFzc3dvcmQ=", "there is no user 'username' with 'password'"),
        ("0123456789abcdef" * 8, "key 0123456789abcdef" * 8),
        ("pässwörd-für-alle", "p%C3%A4ssw%C3%B6rd-f%C3%BCr-alle"),
        ("pässwörd-für-alle", "p\\u00e4ssw\\u00f6rd-f\\u00fcr-alle"),
        ("100%real-key", "%100%real-key"),
    ],
)  # fmt: skip
def test_what_a_secret_is_made_of_is_secret_too(secret, text):
    scrubbed = scrubber([secret])(text)
    for part in ("very-secret-token", "username", "password", "0123456789abcdef", "ssw", "real-key"):
        assert part not in scrubbed, scrubbed


def test_what_is_no_secret_stays():
    scrub = scrubber([KEY, "meta/llama-3-8b"], public=["meta/llama-3-8b"])
    for text in ("", "meta/llama-3-8b", "100% of \\n it & more", "sk-Zq9/", "HTTP 401 invalid_api_key", "x" * 5000):
        assert scrub(text) == text
    assert scrubber([])(KEY) == KEY
    assert scrubber(["short"])("short") == "short"


def test_many_keys_in_one_text_are_all_taken_out():
    text = scrubber([KEY, "another-key-1234"])(f"{KEY} and another-key-1234, {KEY}!")
    assert text == "*** and ***, ***!"


# -- a whole run ----------------------------------------------------------------------------------


def http(body: str | bytes, status: str = "200 OK", *headers: str, kind: str = "application/json") -> bytes:
    data = body if isinstance(body, bytes) else body.encode()
    lines = [
        f"HTTP/1.1 {status}",
        f"content-type: {kind}",
        f"content-length: {len(data)}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def chat(**changes: object) -> str:
    """A whole answer."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    return json.dumps({"id": "a", "model": "m", "choices": [choice], "usage": usage} | changes)


def error(status: str, value: object, *headers: str) -> bytes:
    return http(json.dumps(value), status, *headers)


def events(*values: object, end: str = "data: [DONE]\n\n") -> bytes:
    text = "".join(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n" for value in values) + end
    return http(text, kind="text/event-stream")


def piece(**delta: object) -> dict:
    return {"id": "a", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


TOOL = {"index": 0, "id": KEY, "type": "function", "function": {"name": KEY, "arguments": json.dumps({"key": KEY})}}
LAST = {"id": "a", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
PLAIN = KEY.replace('"', "").replace("%", "")
TOLD = f"Incorrect API key provided: {KEY}."
WAYS: dict[str, bytes] = {
    "the answer's id": http(chat(id=KEY)),
    "the answer's model": http(chat(model=KEY)),
    "finish reason": http(chat(choices=[{"index": 0, "finish_reason": KEY, "message": {"content": "Hi"}}])),
    "text": http(chat(choices=[{"index": 0, "finish_reason": "stop", "message": {"content": KEY}}])),
    "x-request-id": http(chat(), "200 OK", f"x-request-id: {KEY}"),
    "names of timings": http(chat(timings={KEY: 1.5, f"{KEY[:20]}_ms": 2})),
    "names of the simulator's timings": http(chat(simulator={FORMS["base64"]: 1.0})),
    "name of a limit": http(chat(), "200 OK", f"x-ratelimit-limit-{KEY}: 5", "x-ratelimit-limit-sk-zqwmxtvr-klphd: 7"),
    "name of a policy": http(chat(), "200 OK", f'ratelimit-policy: "{PLAIN}";q=5;w=60, "b";q=1;w=2'),
    "unit of a policy": http(chat(), "200 OK", f'ratelimit-policy: "a";q=5;w=60;qu="{PLAIN}"'),
    "names of usage": http(chat(usage={"prompt_tokens": 1, "completion_tokens": 1, KEY: 1})),
    "in a stream: id and model": events(piece(content="Hi") | {"id": KEY, "model": KEY}, LAST),
    "in a stream: finish reason": events({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": KEY}]}),
    "in a stream: a call of a tool": events(piece(tool_calls=[TOOL]), LAST),
    "in a stream: text and reasoning": events(piece(content=KEY, reasoning_content=KEY), LAST),
    "in a stream: an error": events(piece(content="a"), {"error": {"message": TOLD, "code": KEY, "type": KEY}}, end=""),
    "in a stream: an error as text": events(piece(content="a"), {"error": TOLD}, end=""),
    "in a stream: no JSON": events(piece(content="a"), f'{{"key": "{KEY}', end=""),
    "in a stream: JSON of another shape": events(json.dumps([KEY]), json.dumps({"choices": KEY})),
    "in a stream: a comment": events(piece(content="a"), LAST, end=f": {KEY}\n\ndata: [DONE]\n\n"),
    "in a stream: name of an event": events(piece(content="a"), LAST, end=f"event: {KEY}\ndata: {KEY}\n\n"),
    "in a stream: it breaks off inside an event": events(piece(content="a"), end=f"data: {KEY}"),
    "OpenAI's error": error("401 No", {"error": {"message": TOLD, "type": "invalid_request_error", "code": "invalid"}}),
    "Anthropic's error": error("401 No", {"type": "error", "error": {"type": KEY, "message": TOLD}, "request_id": KEY}),
    "Novita's error": error("403 No", {"code": 403, "reason": KEY, "message": TOLD, "metadata": {"key": KEY}}),
    "SGLang's error": error("400 No", {"object": "error", "message": TOLD, "type": KEY, "code": 400}),
    "FastAPI's error": error("422 No", {"detail": [{"loc": ["header"], "msg": TOLD, "input": KEY}]}),
    "problem+json": error("403 No", {"type": f"https://a/{KEY}", "title": KEY, "detail": TOLD}),
    "an error as text": error("500 No", {"error": TOLD}),
    "an error that is a list": error("500 No", [TOLD, KEY]),
    "an error that is a page": http(f"<html><title>{KEY}</title><p>{html.escape(KEY)}", "502 No", kind="text/html"),
    "an error of plain text": http(FORMS["URL, lower hex"], "503 No", kind="text/plain"),
    "a quota": error("429 No", {"error": {"code": "insufficient_quota", "message": TOLD}}, "retry-after: 0"),
    "reason phrase": http("{}", f"401 Key {KEY} is wrong"),
    "a redirect": http("", "307 Elsewhere", f"location: https://elsewhere.example/?key={KEY}"),
    "a redirect, encoded": http("", "301 Elsewhere", f"location: https://a.example/?k={quote(KEY, safe='')}"),
    "content-type": http(chat(), kind=f"text/{KEY}"),
    "content-encoding": http(chat(), "200 OK", f"content-encoding: {KEY}"),
    "a header's name": http(chat(), "200 OK", f"x-{PLAIN.replace('/', '')}: 1"),
    "retry-after": error("503 No", {"error": {"message": "later"}}, f"retry-after: {KEY}"),
    "extension of a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2;k="
    + PLAIN.encode() + b"\r\n{}\r\n0\r\n" + b"x-key: " + KEY.encode() + b"\r\n\r\n",
    "no HTTP": f"HELLO {KEY}\r\n\r\n".encode(),
    "no status": f"HTTP/1.1 {KEY}\r\n\r\n".encode(),
    "no length": http(chat(), "200 OK", f"content-length: {KEY}"),
    "no JSON": http(f"{{{KEY}"),
    "JSON of another shape": http(json.dumps({"choices": [{"message": KEY}], "id": [KEY], "model": {KEY: KEY}})),
    "a text": http(KEY, kind="text/plain"),
    "nothing but white space before it": http(f"{' ' * 70}{KEY}"),
    "an interim answer": f"HTTP/1.1 103 {KEY}\r\nlink: {KEY}\r\n\r\n".encode() + http(chat(id=KEY)),
} | {
    f"an error, {form}": error("400 No", {"error": {"message": f"{'x' * 20} {text}", "code": text}})
    for form, text in FORMS.items()
} | {
    f"an error cut at {at}": error("400 No", {"error": {"message": f"{'x' * at} {KEY}"}}) for at in range(270, 302, 4)
} | {
    f"an error cut at {at}": error("400 No", {"error": {"message": f"{'x' * at} {KEY}"}}) for at in range(570, 602, 4)
}  # fmt: skip


def says(answer: bytes):
    def script(connection: socket.socket) -> None:
        if read_request(connection):
            connection.sendall(answer)

    return script


@pytest.fixture(scope="module")
def echoing(tmp_path_factory):
    """A run against a server that answers each request in the next of these ways: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("echoing")
    answers = list(WAYS.values())
    with ScriptedServer(*map(says, answers * 2)) as server:
        (folder / "s.yaml").write_text(
            yaml.safe_dump(
                {
                    "target": {"url": server.url, "key": "${ECHOED}", "headers": {"x-key": "${ECHOED}"}},
                    "models": ["m"],
                    "requests": [{"prompt": "Hi", "max_tokens": 5, "extra_body": {"user": "${ECHOED}"}}],
                    "load": {"users": 1, "requests": len(answers)},
                    "timeouts": {"total": "5s"},
                    "keep_bodies": "failed",
                }
            )
        )
        environ = os.environ | {"ECHOED": KEY, "PYTHONPATH": str(Path.cwd())}
        done = bench("run", "s.yaml", "--out", "out", "--keep-bodies", "all", cwd=folder, env=environ)
        connections = server.connections
    [run] = (folder / "out").iterdir()
    return run, done, connections


def test_each_way_was_met_and_each_request_has_its_record_and_its_bodies(echoing):
    run, done, connections = echoing
    assert connections >= len(WAYS) >= 30, done.stderr
    records = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    assert [one["seq"] for one in records] == list(range(len(WAYS)))
    bodies = [json.loads(line) for line in (run / "bodies.jsonl").read_text().splitlines()]
    assert len(bodies) == len(WAYS)
    assert all('"user":"***"' in one["request"] for one in bodies)
    text = (run / "records.jsonl").read_text()
    assert text.count(HIDDEN) > len(WAYS) / 2
    assert "Incorrect API key provided: ***." in text


def test_no_file_of_the_run_holds_the_key(echoing):
    run, _, _ = echoing
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {"run.json", "records.jsonl", "bodies.jsonl", "report.md", "report.html"} <= {path.name for path in files}
    for path in files:
        assert not leaks(path.read_text("utf-8", "replace")), path


def test_nothing_that_is_printed_holds_the_key(echoing):
    _, done, _ = echoing
    assert "Report:" in done.stderr
    assert not leaks(done.stdout)
    assert not leaks(done.stderr)


@pytest.mark.parametrize(
    "answer",
    [
        error("401 No", {"error": {"message": TOLD, "code": KEY}}),
        http(json.dumps({"data": [{"id": KEY, "features": [KEY, FORMS["base64"]]}, {"id": "m"}]})),
    ],
    ids=["an error", "names of models"],
)
def test_bench_models_prints_no_key(answer):
    with ScriptedServer(says(answer)) as server:
        done = bench("models", server.url, "--key-from", "ECHOED", env=os.environ | {"ECHOED": KEY})
    assert done.stdout + done.stderr
    assert not leaks(done.stdout + done.stderr)


@pytest.mark.parametrize("path", ["/${ECHOED}", "/v1/${ECHOED}/v2"])
@pytest.mark.parametrize("scenario", [True, False])
def test_bench_models_prints_no_variable_of_an_address(tmp_path, path, scenario):
    address = f"http://127.0.0.1:1{path}"
    (tmp_path / "s.yaml").write_text(
        f"target: {address}\nmodels: [m]\nrequests: [{{prompt: Hi, max_tokens: 1}}]\nload: {{users: 1, requests: 1}}\n"
    )
    named = str(tmp_path / "s.yaml") if scenario else address
    done = bench("models", named, env=os.environ | {"ECHOED": "sk-0123456789abcdef"})
    assert "/***" in done.stderr
    assert "does not answer" in done.stderr
    assert "0123456789" not in done.stdout + done.stderr
