"""How a target knows us: keys in other headers, keys that a command prints anew, parameters, our own certificate."""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
import yaml

from bench.experiments import read_scenario as read
from bench.plan import Mistakes, Target, redacted, secrets, shown_command, warnings
from bench.plan.credentials import KeyCommand, key_of
from bench.plan.redaction import scrubber
from bench.targets.envelope import context_for, provider
from bench.targets.keys import KeyCommandError, first_keys, key_commands, targets_of
from bench.wire.job import Call
from tests.conftest import bench
from tests.forks import Command
from tests.scripted_server import ScriptedServer, read_request

KEY = "sk-0123456789abcdef"
URL = "https://api.example.com/v1"


def sent(target, path="chat/completions"):
    return provider(target, target.url, str).call(Call("", path, "POST"), "llm")


def key_headers(request):
    return {name: value for name, value in request.headers.items() if KEY in value}


# -- headers and parameters -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "more", "expected"),
    [
        (URL, {}, {"authorization": f"Bearer {KEY}"}),
        (URL, {"key_header": "Authorization"}, {"authorization": f"Bearer {KEY}"}),
        (URL, {"key_header": "api-key"}, {"api-key": KEY}),
        (URL, {"key_header": "X-Goog-Api-Key"}, {"x-goog-api-key": KEY}),
        ("https://api.anthropic.com/v1", {}, {"x-api-key": KEY}),
        ("https://api.anthropic.com/v1", {"key_header": "Authorization"}, {"authorization": f"Bearer {KEY}"}),
        ("https://api.anthropic.com.example.com", {}, {"authorization": f"Bearer {KEY}"}),
        (URL, {"key_header": "api-key", "headers": {"API-Key": f"my {KEY}"}}, {"api-key": f"my {KEY}"}),
    ],
)
def test_a_key_goes_in_the_header_that_the_provider_wants(url, more, expected):
    assert key_headers(sent(Target.model_validate({"url": url, "key": KEY} | more))) == expected


def test_a_user_in_the_url_is_told_beside_a_key_in_a_header_of_its_own():
    target = Target.model_validate({"url": "https://me:secret@api.example.com", "key": KEY, "key_header": "api-key"})
    headers = sent(target).headers
    assert headers["api-key"] == KEY
    assert headers["authorization"].startswith("Basic ")


def test_parameters_are_in_every_address():
    query = {"api-version": "2024-10-21", "tag": "a b&c", "n": 2}
    target = Target.model_validate({"url": "https://x.openai.azure.com/openai/deployments/d?z=1", "query": query})
    assert str(sent(target).url) == (
        "https://x.openai.azure.com/openai/deployments/d/chat/completions?z=1&api-version=2024-10-21&tag=a+b%26c&n=2"
    )
    asked = provider(target, target.url, str).call(Call("", "files", "GET", query={"limit": "5"}), "openai")
    assert dict(asked.url.params) == {"z": "1", "api-version": "2024-10-21", "tag": "a b&c", "n": "2", "limit": "5"}


def written(tmp_path, target, **more):
    file = tmp_path / "s.yaml"
    plain = {"models": ["m"], "requests": [{"prompt": "Hi", "max_tokens": 5}], "load": {"users": 1, "requests": 1}}
    file.write_text(yaml.safe_dump(plain | {"target": target} | more))
    return file


def test_secrets_of_a_target_are_in_no_file(tmp_path):
    target = {
        "url": "http://localhost:9",
        "key": {"command": ["get-key", "--secret", "${SECRET}"], "every": "5m"},
        "query": {"api-version": "2024-10-21", "sig": "${SIGNATURE}", "plain": "in-the-file"},
    }
    environ = {"SECRET": "command-secret-1", "SIGNATURE": "signature-2345"}
    scenario = read(written(tmp_path, target), environ=environ)
    kept = redacted(scenario)["target"]
    assert kept["key"]["command"] == "***"
    assert kept["query"] == {"api-version": "2024-10-21", "sig": "${SIGNATURE}", "plain": "***"}
    assert {"command-secret-1", "signature-2345", "in-the-file"} <= set(secrets(scenario))


def test_the_command_for_a_second_key_is_as_secret(tmp_path):
    other = {"command": ["get-key", "${SECRET}"]}
    more = {"kind": "rate_limit", "discover": ["requests"], "other_key": other, "budget": {"requests": 20}}
    file = written(tmp_path, {"url": URL, "key": "${KEY}"}, **more)
    plain = yaml.safe_load(file.read_text())
    del plain["load"]
    file.write_text(yaml.safe_dump(plain))
    scenario = read(file, environ={"SECRET": "command-secret-1", "KEY": KEY})
    assert "command-secret-1" in secrets(scenario)
    assert "command-secret-1" not in json.dumps(redacted(scenario))
    assert [same[0].arguments for same in key_commands(targets_of(scenario))] == [("get-key", "command-secret-1")]


def test_options_that_may_be_secret_are_left_out_of_the_command_line_that_is_kept():
    line = ["run", "--query", "sig=abc", "--query", "api-version=1", "--key-command=curl -d x", "--key-command", "y"]
    kept = ["run", "--query", "sig=***", "--query", "api-version=1", "--key-command=***", "--key-command", "***"]
    assert shown_command(line) == kept


def test_a_key_of_azure_in_the_header_for_tokens_is_warned_of(tmp_path):
    def told(key, **more):
        target = {"url": "https://x.openai.azure.com/openai/v1", "key": "${KEY}"} | more
        return [one for one in warnings(read(written(tmp_path, target), environ={"KEY": key})) if "Azure" in one]

    assert told(KEY) == [
        "target: the key goes to x.openai.azure.com as Authorization: Bearer, which is for tokens of Entra; "
        "for a key of Azure add key_header: api-key"
    ]
    assert not told(KEY, key_header="api-key")
    assert not told("eyJhbGciOiJSUzI1NiJ9.e30.abc")


def test_a_key_that_says_bearer_itself_is_warned_of(tmp_path):
    file = written(tmp_path, {"url": URL, "key": "${KEY}"})
    assert warnings(read(file, environ={"KEY": f"Bearer {KEY}"})) == [
        "target: the key begins with Bearer, which is put before it; leave it out of the variable"
    ]
    assert not warnings(read(file, environ={"KEY": KEY}))


@pytest.mark.parametrize("command", ["get-key --for me", ["get-key", "--for", "me"]])
def test_what_is_for_the_host_of_the_file_goes_to_no_other(tmp_path, command):
    target = {"url": URL, "key": {"command": command}, "query": {"sig": "${SIG}"}}
    file = written(tmp_path, target)
    with pytest.raises(Mistakes) as raised:
        read(file, environ={"SIG": "signature-2345"}, target="https://elsewhere.example.com")
    assert "target.key.command would be sent to elsewhere.example.com" in str(raised.value)
    assert "--set 'target.key.command=get-key --for me'" in str(raised.value)
    assert "target.query.sig would be sent to elsewhere.example.com" in str(raised.value)
    here = read(file, environ={}, target="simulator").target
    assert here.key is None
    assert not here.query
    arms = {"a": {"model": "m"}, "b": {"target": {"url": "https://elsewhere.example.com"}}}
    asked = read(written(tmp_path, target, kind="compare", arms=arms, load={"users": 1}),
                 environ={"SIG": "signature-2345"})  # fmt: skip
    assert isinstance(asked.arms["a"].target.key, KeyCommand)
    assert asked.arms["b"].target.key is None
    assert not asked.arms["b"].target.query


# -- keys from a command --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("", "it printed nothing"),
        (" \n ", "it printed nothing"),
        ('{"token": "abcdefgh"}', "it printed JSON; the key alone is expected"),
        ("first-line\nsecond-line", "it printed 2 lines"),
        ("Bearer abcdefgh", "begins with Bearer; the key alone is expected"),
        ("short", "it printed 5 characters; a key of 8 to 16,384"),
        ("x" * 20_000, "it printed 20,000 characters"),
        ("sk-0123\x07456789", "what it printed has the character U+0007"),
        ("sk-ä0123456789", "has letters beyond ASCII"),
    ],
)
def test_what_is_no_key_is_told_and_not_shown(printed, words):
    with pytest.raises(ValueError) as raised:
        key_of(printed)
    assert words in str(raised.value)
    assert "abcdefgh" not in str(raised.value)


def command(code, **more):
    return KeyCommand.model_validate({"command": [sys.executable, "-c", code]} | more)


def test_a_key_is_the_output_without_the_white_space_around_it():
    target = Target.model_validate({"url": URL, "key": command(f"print('  {KEY}  ')")})
    assert not key_headers(sent(target)), "before the command has been run"
    first_keys([target, target])
    assert key_headers(sent(target)) == {"authorization": f"Bearer {KEY}"}
    assert target.key.given == (KEY,)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; print('no login', file=sys.stderr); sys.exit(3)", "it ended with exit code 3: no login"),
        ("import sys; sys.exit(1)", "it ended with exit code 1 and said nothing"),
        ("import os; os.kill(os.getpid(), 9)", "it ended with signal 9"),
        ("import time; time.sleep(60)", "it had not ended after its timeout of 0.5 s"),
        ("import subprocess; subprocess.run(['sleep', '60'])", "it had not ended after its timeout of 0.5 s"),
        ("while True: print('y' * 1000)", "it printed more than 65,536 bytes"),
        ("import sys\nwhile True: print('y' * 1000, file=sys.stderr)", "it had not ended after its timeout of 0.5 s"),
        ("print('{}')", "it printed JSON"),
    ],
)
def test_a_command_without_a_key_is_one_clear_error(code, words):
    target = Target.model_validate({"url": URL, "key": command(code, timeout=0.5)})
    with pytest.raises(KeyCommandError) as raised:
        first_keys([target])
    assert str(raised.value).startswith(f"target.key: {sys.executable} … gives no key: ")
    assert words in str(raised.value)


def test_a_command_may_leave_something_running_that_holds_its_output():
    code = f"import subprocess; subprocess.Popen(['sleep', '3']); print('{KEY}')"
    target = Target.model_validate({"url": URL, "key": command(code, timeout=2.5)})
    first_keys([target])
    assert target.key.present == KEY


def test_a_program_that_does_not_exist_is_told(tmp_path):
    for given, words in (
        ({"command": "gone-program x"}, "there is no program gone-program"),
        ({"command": "true", "folder": str(tmp_path / "gone")}, "gone is not a folder"),
        ({"command": str(tmp_path)}, "it cannot be started: Permission denied"),
    ):
        with pytest.raises(KeyCommandError, match=words):
            first_keys([Target.model_validate({"url": URL, "key": given})])


def test_a_command_runs_in_the_folder_of_the_scenario_with_the_whole_environment(tmp_path):
    (tmp_path / "key.sh").write_text("#!/bin/sh\necho key-$BENCH_TEST_WORD-of-$(basename $PWD)\n")
    (tmp_path / "key.sh").chmod(0o700)
    scenario = read(written(tmp_path, {"url": "http://localhost:9", "key": {"command": "./key.sh"}}), environ={})
    os.environ["BENCH_TEST_WORD"] = "environment"
    try:
        first_keys([scenario.target])
    finally:
        del os.environ["BENCH_TEST_WORD"]
    assert scenario.target.key.present == f"key-environment-of-{tmp_path.name}"


def test_the_same_command_is_run_once_for_all_that_need_its_key(tmp_path):
    code = f"open(r'{tmp_path}/runs', 'a').write('x'); print('{KEY}')"
    targets = [Target.model_validate({"url": f"http://localhost:{n}", "key": command(code)}) for n in (1, 2)]
    assert [len(same) for same in key_commands(targets)] == [2]
    first_keys(targets)
    assert (tmp_path / "runs").read_text() == "x"
    assert [target.key.present for target in targets] == [KEY, KEY]


def test_a_scrubber_learns_further_secrets():
    scrub = scrubber([KEY], public=["my-model-name"])
    text = f"{KEY} and another-secret-key of my-model-name"
    assert scrub(text) == "*** and another-secret-key of my-model-name"
    assert sum(1 for _ in scrub.learn("another-secret-key")) > 1
    assert scrub(text) == "*** and *** of my-model-name"
    nothing = scrubber([])
    assert nothing(text) == text
    list(nothing.learn(KEY))
    assert nothing(text).startswith("*** and")


def answering(heads):
    """A script: every request is answered well, by a text that repeats its key; the keys are kept in `heads`."""

    def script(connection):
        while request := read_request(connection):
            head = request.partition(b"\r\n\r\n")[0].decode()
            [key] = [line.partition(" ")[2] for line in head.splitlines() if line.lower().startswith("api-key")]
            heads.append(key)
            body = {
                "id": key,
                "model": "m",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": key}}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1},
            }
            data = json.dumps(body).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data))

    return script


ROTATING = """\
import pathlib, sys
runs = pathlib.Path("runs")
number = len(runs.read_text()) + 1 if runs.exists() else 1
runs.write_text("x" * number)
if number == 2:
    sys.exit("the login has expired")
print(f"rotated-key-{number:04}-" + "abcdefghijkl" * 100)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_key_is_renewed_during_the_load_and_none_of_them_is_kept_anywhere(tmp_path, processes):
    (tmp_path / "key.py").write_text(ROTATING)
    heads = []
    with ScriptedServer(rest=answering(heads)) as server:
        target = {
            "url": server.url,
            "key": {"command": f"{sys.executable} key.py", "every": "1s"},
            "key_header": "api-key",
        }
        file = written(
            tmp_path,
            target,
            requests=[{"prompt": "Hi", "max_tokens": 5, "stream": False}],
            load={"rate": 20, "arrivals": "constant", "duration": "4s", "processes": processes},
            keep_bodies="all",
        )
        done = bench("run", file, "--out", "out", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr  # 3: the machine was busy
    [run] = (tmp_path / "out").iterdir()
    numbers = [int(key[len("rotated-key-") :][:4]) for key in heads]
    assert len(set(numbers)) >= 2
    assert 2 not in numbers, "the second run of the command gives no key"
    if processes == 1:  # several may renew at different moments
        assert 1 in numbers, "the first key was used on"
        assert numbers == sorted(numbers)
    assert len(heads) >= 80
    told = [line for line in done.stderr.splitlines() if "target.key" in line]
    assert "gave no new key: it ended with exit code 1: the login has expired; the old one is used on" in told[0]
    assert "gives keys again" in told[1]
    assert len(told) == 2
    assert "gave no new key: it ended with exit code 1: the login has expired" in " ".join(done.stdout.split())
    for path in (path for path in run.rglob("*") if path.is_file()):
        assert "abcdefghijkl" not in path.read_text("utf-8", "replace"), path
    assert "abcdefghijkl" not in done.stdout + done.stderr
    bodies = [line for path in run.glob("bodies*.jsonl") for line in path.read_text().splitlines()]
    assert len(bodies) == len(heads)
    assert all(r"\"content\": \"***\"" in line for line in bodies), bodies[0]


def test_a_command_without_a_key_ends_the_run_before_a_folder_is_made(tmp_path):
    target = {"url": "http://127.0.0.1:9", "key": {"command": "false"}}
    done = bench("run", written(tmp_path, target), "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "Error: target.key: false gives no key: it ended with exit code 1 and said nothing\n")  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["run", "send", "models"])
def test_a_ctrl_c_ends_the_command_for_a_key_too(tmp_path, verb):
    script = f"echo $$ > {tmp_path}/pid; sleep 60"
    target = {"url": "http://127.0.0.1:9", "key": {"command": ["sh", "-c", script], "timeout": "50s"}}
    command = Command([verb, written(tmp_path, target)], cwd=tmp_path)
    while not ((tmp_path / "pid").exists() and (pid := (tmp_path / "pid").read_text().strip())):
        assert command.poll() is None
        time.sleep(0.02)
    command.send_signal(signal.SIGINT)
    done = command.wait()
    assert done.returncode in (1, 3)
    assert "Traceback" not in done.stderr
    assert not Path(f"/proc/{pid}").exists()


def test_bench_plan_runs_no_command(tmp_path):
    file = written(tmp_path, {"url": "http://127.0.0.1:9", "key": {"command": "touch ran"}})
    assert bench("plan", file, cwd=tmp_path).returncode == 0
    assert not (tmp_path / "ran").exists()


# -- the command line -----------------------------------------------------------------------------

MODELS = {"data": [{"id": "some-model"}]}


def listing(requests):
    def script(connection):
        requests.append(read_request(connection).partition(b"\r\n\r\n")[0].decode().lower())
        data = json.dumps(MODELS).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(data), data))

    return script


def test_bench_models_takes_the_same_options(tmp_path):
    requests = []
    with ScriptedServer(listing(requests)) as server:
        done = bench("models", server.url, "--key-command", f"echo {KEY}", "--key-header", "api-key",
                     "--query", "api-version=2024-10-21", cwd=tmp_path)  # fmt: skip
    assert "some-model" in done.stdout, done.stderr
    assert requests[0].startswith("get /v1/models?api-version=2024-10-21 http/1.1")
    assert f"\r\napi-key: {KEY}" in requests[0]
    assert "authorization" not in requests[0]


def test_a_line_without_a_file_takes_the_same_options_and_shows_what_they_stand_for(tmp_path):
    heads = []
    with ScriptedServer(rest=answering(heads)) as server:
        options = ("--model", "m", "--no-stream", "--key-command", f"echo {KEY}", "--key-header", "api-key",
                   "--query", "api-version=2024-10-21", "--prompt", "Hi")  # fmt: skip
        done = bench("run", server.url, *options, "--requests", "5", "--users", "1", "--out", "out", "--save", "s.yaml",
                     cwd=tmp_path)  # fmt: skip
        once = bench("send", server.url, *options, cwd=tmp_path)
    assert (done.returncode in (0, 3), once.returncode) == (True, 0), done.stderr + once.stderr  # 3: a busy machine
    assert set(heads) == {KEY}
    saved = yaml.safe_load((tmp_path / "s.yaml").read_text())["target"]
    assert saved["key"] == {"command": f"echo {KEY}"}
    assert (saved["key_header"], saved["query"]) == ("api-key", {"api-version": "2024-10-21"})
    assert "api-key: ***" in once.stdout
    assert "?api-version=2024-10-21" in once.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--key-command", "echo a | cat"], "--key-command: target.key.command: has |, which means nothing without a shell"),
        (["--key-command", "echo 'a"], "--key-command: target.key.command: has a quotation mark that is not closed"),
        (["--key-command", "a", "--key-env", "HOME"], "got --key-env and --key-command; the key comes from one of them"),
        (["--key-header", "api-key"], "key_header is api-key, but there is no key"),
        (["--query", "api-version"], "--query: got no = in it; NAME=VALUE is expected"),
        (["--query", "?a=b"], "--query: '?a' is not the name of a parameter"),
        (["--client-key", "k.pem"], "got --client-key without --client-cert"),
        (["--client-cert", "gone.pem"], "gone.pem cannot be read: No such file or directory"),
        (["--key-env", "NO_SUCH_KEY"], "--key-env: the environment has no variable of that name"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "verb", [["models"], ["run", "--model", "m"], ["send", "--model", "m"]], ids=lambda verb: verb[0]
)
def test_broken_options_are_told_by_their_names(tmp_path, verb, options, words):
    done = bench(verb[0], "https://localhost:9", *verb[1:], *options, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_options_do_not_go_with_a_file(tmp_path):
    file = written(tmp_path, {"url": "http://127.0.0.1:9"})
    for verb in ("run", "send", "models"):
        done = bench(verb, file, "--key-header", "api-key", cwd=tmp_path)
        assert done.returncode == 2, verb
        assert "Error: " in done.stderr


# -- our own certificate --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """PEM files: the authority, our certificate with its key, the key alone, encrypted, and another's."""
    folder = tmp_path_factory.mktemp("papers")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    ours, other = authority.issue_cert("client@example.com"), authority.issue_cert("other@example.com")
    ours.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    ours.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    ours.private_key_pem.write_to_path(folder / "key.pem")
    other.private_key_pem.write_to_path(folder / "other.pem")
    (folder / "encrypted.pem").write_bytes(encrypted(ours.private_key_pem.bytes()))
    ours_whole = ours.private_key_and_cert_chain_pem.bytes()
    expired = authority.issue_cert("client@example.com", not_after=datetime(2024, 1, 1, tzinfo=UTC))
    commented = b"".join(b"# " + line for line in expired.cert_chain_pems[0].bytes().splitlines(keepends=True))
    (folder / "renewed.pem").write_bytes(commented + ours_whole)
    (folder / "chain-first.pem").write_bytes(authority.cert_pem.bytes() + ours_whole)
    (folder / "cut.pem").write_bytes(ours_whole.rpartition(b"-----END CERTIFICATE-----")[0])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server)
    return folder, server


def encrypted(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization  # trustme's

    key = serialization.load_pem_private_key(pem, None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open-sesame"),
    )


CERTIFICATES = {
    "one file": "both.pem",
    "one file, with the old one commented out": "renewed.pem",
    "two files": {"cert": "cert.pem", "key": "key.pem"},
    "an encrypted key": {"cert": "cert.pem", "key": "encrypted.pem", "password": "${PASSWORD}"},
}


@pytest.mark.parametrize("http2", [False, True], ids=["own transport", "httpx"])
@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_a_server_that_asks_for_a_certificate_gets_ours(papers, certificate, http2):
    folder, tls = papers
    heads = []
    with ScriptedServer(rest=answering(heads), tls=tls) as server:
        target = {
            "url": server.url,
            "verify": "ca.pem",
            "http2": http2,
            "headers": {"api-key": "not-secret"},
            "client_certificate": CERTIFICATES[certificate],
        }
        file = written(folder, target, requests=[{"prompt": "Hi", "max_tokens": 5, "stream": False}])
        done = bench("send", file, cwd=folder, env=os.environ | {"PASSWORD": "open-sesame"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert heads == ["not-secret"]


def test_a_connection_of_http1_does_not_offer_http2_because_another_arm_does():
    plain, other = (Target(url="https://h", http2=http2) for http2 in (False, True))
    assert context_for(plain) is context_for(plain)
    assert context_for(plain) is not context_for(other)  # httpx changes what its context offers


@pytest.mark.parametrize("http2", [False, True], ids=["own transport", "httpx"])
def test_without_a_certificate_the_server_says_no(papers, http2):
    folder, tls = papers
    with ScriptedServer(rest=answering([]), tls=tls) as server:
        target = {"url": server.url, "verify": "ca.pem", "http2": http2}
        done = bench("send", written(folder, target), "--format", "json", cwd=folder)
    assert done.returncode == 1
    record = json.loads(done.stdout)["record"]
    assert record["outcome"] in ("connect", "protocol")
    assert "certificate" in record["error"].lower()


def test_bench_models_shows_our_certificate(papers):
    folder, tls = papers
    requests = []
    with ScriptedServer(listing(requests), tls=tls) as server:
        file = written(folder, {"url": server.url, "verify": "ca.pem", "client_certificate": "both.pem"})
        done = bench("models", file, cwd=folder)
    assert "some-model" in done.stdout, done.stderr


BROKEN = [
    ("gone.pem", "gone.pem cannot be read: No such file or directory"),
    ("ca.pem", "ca.pem has no private key; a PEM file with BEGIN PRIVATE KEY is expected; name its file with key"),
    ("key.pem", "key.pem has no certificate; a PEM file with BEGIN CERTIFICATE is expected"),
    ({"cert": "cert.pem", "key": "other.pem"}, "the private key in other.pem is not that of the first certificate in cert.pem"),
    ({"cert": "cert.pem", "key": "cert.pem"}, "cert.pem has no private key"),
    ({"cert": "cert.pem", "key": "gone.pem"}, "gone.pem cannot be read"),
    ({"cert": "cert.pem", "key": "encrypted.pem"}, "the private key in encrypted.pem is encrypted; password: ${NAME} is expected"),
    ({"cert": "cert.pem", "key": "encrypted.pem", "password": "${WRONG}"}, "cert.pem with its private key cannot be read; the password may be wrong"),
    ({"cert": "cert.pem", "key": "encrypted.pem", "password": "open-sesame"}, "target.client_certificate.password is in the file"),
    ("chain-first.pem", "the private key in chain-first.pem is not that of the first certificate in chain-first.pem"),
    ("cut.pem", "cut.pem with its private key cannot be read; it may not be whole"),
    ({"key": "key.pem"}, "target.client_certificate.cert is missing"),
    ({"cert": "s.yaml"}, "s.yaml has no certificate"),
    ({"cert": "cert.pem", "passwort": "x"}, "did you mean password?"),
    ([], "target.client_certificate is []; keys and values"),
]  # fmt: skip


@pytest.mark.parametrize(("certificate", "words"), BROKEN)
def test_a_certificate_that_cannot_be_shown_is_told_with_its_line(papers, certificate, words):
    folder, _ = papers
    file = written(folder, {"url": "https://localhost:9", "client_certificate": certificate})
    with pytest.raises(Mistakes) as raised:
        read(file, environ={"WRONG": "not-the-password"})
    told = str(raised.value).replace(f"{folder}/", "")
    assert words in told
    assert told.startswith("s.yaml:"), told
    assert "open-sesame" not in told
    assert "not-the-password" not in told


def test_an_expired_certificate_is_told_before_anything_is_sent(tmp_path):
    expired = trustme.CA().issue_cert("client@example.com", not_after=datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC))
    expired.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    file = written(tmp_path, {"url": "https://localhost:9", "client_certificate": "both.pem"})
    with pytest.raises(Mistakes, match=r"both\.pem expired at 2024-02-03 04:05 UTC, and it is 20.* UTC; a new one is"):
        read(file, environ={})


def test_a_key_whose_variable_is_not_set_is_not_said_to_be_in_the_file(tmp_path):
    file = written(tmp_path, {"url": "https://localhost:9", "key": "${NOT_SET}"})
    with pytest.raises(Mistakes) as raised:
        read(file, environ={})
    assert "export NOT_SET=" in str(raised.value)
    assert "is in the file" not in str(raised.value)


def test_a_certificate_needs_an_encrypted_connection(papers):
    folder, _ = papers
    file = written(folder, {"url": "http://localhost:9", "client_certificate": "both.pem"})
    with pytest.raises(Mistakes, match="an https:// URL is expected"):
        read(file, environ={})
    assert read(file, environ={}, target="simulator").target.client_certificate is None
