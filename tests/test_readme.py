"""What the README and the guides say of the code is so: tables, outcomes, APIs, an API of one's own."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.analysis import FORMULAS, open_run
from bench.experiments.prompt_cache.hits import HIT
from bench.metrics import HIT_SHARE, OUTCOME_MEANINGS
from bench.wire.answer import Answer
from bench.wire.protocols import PROTOCOLS
from tests.conftest import bench
from tests.pages import text_of, write_files_of

OWN_APIS = Path("docs/own-apis.md")
METRICS = text_of(Path("docs/metrics.md"))


class Moderator(BaseHTTPRequestHandler):
    """What OpenAI's moderations answer, as their API reference has it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert (self.path, asked["model"]) == ("/v1/moderations", "omni-moderation-latest")
        answer = json.dumps({"id": "modr-1", "results": [{"flagged": False, "input": asked["input"]}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_an_api_is_added_with_one_object(tmp_path, monkeypatch):
    write_files_of(OWN_APIS, tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    with ThreadingHTTPServer(("127.0.0.1", 0), Moderator) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        done = bench("run", tmp_path / "judge.yaml", "--out", tmp_path / "out", "--set", f"target.url={url}")
        server.shutdown()
    [folder] = (tmp_path / "out").iterdir()
    run = open_run(folder)
    assert run.summary.verdict == "measured", done.stderr
    assert len(run.requests) == 40
    assert set(run.requests["api"]) == {"moderations.py:api"}
    assert (run.requests["items"] == 1).all()
    assert "verdicts" in done.stdout


class Ollama(BaseHTTPRequestHandler):
    """Ollama's chat, as its API reference has it: a JSON object per line, the counts in the last one."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert (self.path, asked["model"], asked["stream"]) == ("/api/chat", "llama3.2", True)
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for word in ("The ", "sky ", "is "):
            self.put({"model": "llama3.2", "message": {"role": "assistant", "content": word}, "done": False})
        self.put(
            {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 3}
        )
        self.wfile.write(b"0\r\n\r\n")

    def put(self, value):
        line = json.dumps(value).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def log_message(self, *_):
        pass


def test_an_api_that_streams_in_its_own_way_has_times_tokens_and_outcomes(tmp_path):
    write_files_of(OWN_APIS, tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Ollama) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        done = bench(
            "run", tmp_path / "ollama.yaml", "--out", tmp_path, "--name", "run", "--no-report", "--target", url
        )
        server.shutdown()
    rows = open_run(tmp_path / "run").requests
    assert list(rows["outcome"]) == ["ok"] * 20, done.stderr
    assert set(rows["prompt_tokens"]) == {26}
    assert set(rows["completion_tokens"]) == {3}
    assert rows[["ttft_s", "tpot_s", "e2e_s"]].notna().all().all()


def test_the_members_of_an_answer_are_those_that_the_guide_names():
    table = text_of(OWN_APIS).partition("| of an `Answer` |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    assert {field.name for field in fields(Answer)} == set(re.findall(r"`(\w+)`", " ".join(rows)))


def test_an_api_of_ones_own_that_raises_costs_no_record(bench_run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from bench.wire.unary import MODELS\n\n\nclass Broken:\n"
        "    name, family, path, method = 'mine', 'llm', 'models', 'GET'\n    body = MODELS.body\n\n"
        "    def read(self, reads, *, stream):\n        return {}['nothing']\n\n\napi = Broken()\n"
    )
    done = bench_run(requests=[{"api": "mine.py:api", "prompt": "Hi"}], load={"users": 1, "requests": 3})
    assert list(done.requests["outcome"]) == ["protocol"] * 3
    assert "unreadable for mine.py:api: KeyError: 'nothing'" in done.requests["error"].iloc[0]


def test_the_guide_says_what_a_hit_is_in_every_report_and_in_the_question():
    every_run, _, question = text_of(Path("docs/cache.md")).partition("## As a question")
    assert f"an answer is a hit if at least {100 * HIT_SHARE:.0f} % of its prompt came from the cache" in every_run
    assert f"a hit is a prompt of which at least {100 * HIT:.0f} % came from the cache" in question


def test_the_tables_are_the_codes_own():
    for name, formula in FORMULAS.items():
        assert f"| {name} | {formula} |" in METRICS
    words = METRICS.partition("Every request ends in one word")[2]
    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", words, re.MULTILINE) == list(OUTCOME_MEANINGS.items())


def test_every_api_is_in_the_table():
    table = text_of(Path("docs/apis.md"))
    assert [name for name in PROTOCOLS if f"`{name}`" not in table] == []


def test_every_key_of_a_scenario_is_told():
    from bench.experiments import schema
    from bench.report.reference import reference

    assert Path("docs/reference.md").read_text("utf-8") == reference(schema()), (
        "make it anew: bench schema --format markdown > docs/reference.md"
    )
