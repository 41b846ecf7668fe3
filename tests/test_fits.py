"""How long a synthetic prompt is made: what servers may say of a prompt's tokens, and what is believed of it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.analysis import open_run
from bench.experiments.fit import announcement, planned, steps
from bench.experiments.fit.steps import probe
from bench.experiments.load.question import LoadScenario
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Fit, fit
from tests.runs import record, write_run

# -- counts that are one, and counts that are none ----------------------------------------------------------


@pytest.mark.parametrize(
    ("few", "many", "tokens_per_word", "overhead"),
    [
        (48, 408, 1.0, 8.0),  # a token a word and a template
        (60, 528, 1.3, 8.0),
        (40, 400, 1.0, 0.0),  # embeddings and completions have no template
        (215, 2015, 5.0, 15.0),  # bytes
        (28, 208, 0.5, 8.0),  # two words a token
        (2048, 2408, 1.0, 2008.0),  # a gateway's own system prompt
        (36, 414, 1.05, -6.0),  # words that differ
    ],
)
def test_a_count_that_a_tokenizer_can_make_is_believed(few, many, tokens_per_word, overhead):
    found = fit([(40, few), (400, many)])
    assert found.tokens_per_word == pytest.approx(tokens_per_word)
    assert found.overhead == pytest.approx(overhead)
    assert found.doubt is None


@pytest.mark.parametrize(
    ("few", "many", "told"),
    [
        (10, 10, "it counts 10 tokens in a prompt of 40 words and 10 in one of 400; that is 0 tokens per word"),
        (0, 0, "0 tokens per word; from 0.5 to 8 are possible"),
        (10**9, 10**9, "0 tokens per word"),
        (40, 10**9, "tokens per word; from 0.5 to 8"),
        (10**9, 2 * 10**9, "tokens per word"),
        (400, 40, "that is -1 tokens per word"),
        (48, 58, "that is 0.0278 tokens per word"),
        (8, 16, "0.0222 tokens per word"),
        (48, 4008, "that is 11 tokens per word"),
        (10**9, 10**9 + 360, "that is 999,999,960 tokens more than words; from -20 to 20,000 are possible"),
        (1, 361, "that is -39 tokens more than words"),
        (0, 408, "tokens more than words"),
    ],
)
def test_a_count_that_no_tokenizer_makes_is_refused_with_the_reason(few, many, told):
    with pytest.raises(ValueError, match="it counts") as raised:
        fit([(40, few), (400, many)])
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("known", "tokens", "words"),
    [
        (Fit(), 60, 52),
        (Fit(1.3, 8.0), 60, 40),
        (Fit(1.0, 100.0), 60, 1),
        (Fit(0.01, 8.0), 60, 104),  # never more than two words a token, however it came about
        (Fit(0.01, -20.0), 60, 160),
        (Fit(1.0, 8.0), 1, 1),
    ],
)
def test_a_prompts_length_is_bounded(known, tokens, words):
    assert known.words(tokens) == words


# -- asking -------------------------------------------------------------------------------------------------

SIZED = {"name": "a", "prompt": {"tokens": 60}}
SOUND = [["ok", 48], ["ok", 408]]


@pytest.fixture
def measured():
    """What the experiment makes of request classes and a server's counts of the short and the long probe."""

    def measure(requests, script, *, models=("m",), seed=1, nonce_seed=1, fit=True):
        asked = []

        def answer(planned, _):
            text = planned.input if isinstance(planned.input, str) else planned.input[-1]
            text = text if isinstance(text, str) else text["content"]
            asked.append([planned.seq, planned.model, planned.api, len(text.split()), text])
            answers = script.get(f"{planned.model} {planned.api}", script.get("*"))
            outcome, tokens = answers[len(text.split()) > 100]
            return record(outcome=outcome, prompt_tokens=tokens, error=None if outcome == "ok" else "the test's")

        plain = {"name": "s", "target": "simulator", "load": {"users": 8, "requests": 1}}
        scenario = LoadScenario.model_validate(plain | {"models": models, "requests": requests, "fit": fit})
        learned = SimulatedPerformer(answer).perform(steps(scenario, seed=seed, nonce_seed=nonce_seed))
        told = [[*key, one.tokens_per_word, one.overhead, one.doubt] for key, one in learned.fits.items()]
        return {"asked": asked, "warned": learned.doubts, "fits": told}

    return measure


def test_a_fit_is_made_per_model_and_api(measured):
    mix = [SIZED, SIZED | {"name": "b", "api": "completions"}, SIZED | {"name": "c", "api": "messages", "max_tokens": 5},
           SIZED | {"name": "d", "api": "embeddings"}, SIZED | {"name": "e"}]  # fmt: skip
    script = {"*": SOUND, "n chat": [["ok", 80], ["ok", 800]], "m completions": [["ok", 40], ["ok", 400]]}
    found = measured(mix, script, models=("m", "n"))
    sound = [1.0, 8.0, None]
    assert found["fits"] == [
        ["m", "chat", *sound], ["n", "chat", 2.0, 0.0, None],
        ["m", "completions", 1.0, 0.0, None], ["n", "completions", *sound],
        ["m", "messages", *sound], ["n", "messages", *sound],
        ["m", "embeddings", *sound], ["n", "embeddings", *sound],
    ]  # fmt: skip
    assert [one[3] for one in found["asked"]] == [40, 400] * 8
    assert [one[0] for one in found["asked"]] == list(range(16)), "each has a place of its own"
    assert found["warned"] == []


@pytest.mark.parametrize(
    ("request_class", "apis"),
    [
        ({"prompt": "Hi"}, []),
        ({"prompt": {"messages": [{"role": "user", "content": "Hi"}]}}, []),
        ({"prompt": {"text": "Hi", "nonce": True}}, []),
        ({"prompt": {"tokens": 60}}, ["chat"]),
        ({"prompt": {"text": "Hi", "prefix": {"tokens": 100}}}, ["chat"]),
        ({"api": "batch", "prompt": {"tokens": 60}}, ["chat"]),
        ({"api": "batch", "endpoint": "completions", "prompt": {"tokens": 60}}, ["completions"]),
        ({"api": "rerank", "prompt": {"tokens": 60}, "documents": ["a"]}, []),
        ({"api": "images", "prompt": {"tokens": 60}}, []),
        ({"api": "models"}, []),
    ],
    ids=str,
)
def test_a_fit_is_made_only_where_a_class_needs_it(measured, request_class, apis):
    found = measured([{"name": "a"} | request_class], {"*": SOUND})
    assert [one[1] for one in found["fits"]] == apis


@pytest.mark.parametrize(
    ("script", "kept", "told"),
    [
        (SOUND, [1.0, 8.0], None),
        ([["empty", 48], ["empty", 408]], [1.0, 8.0], None),  # no text, but usage
        ([["truncated", 48], ["empty", 408]], [1.0, 8.0], None),
        ([["ok", 10], ["ok", 10]], [1.0, 8.0], "it counts 10 tokens in a prompt of 40 words and 10 in one of 400"),
        ([["ok", None], ["ok", None]], [1.0, 8.0], "it does not say how many tokens a prompt has"),
        ([["ok", 48], ["ok", None]], [1.0, 8.0], "it does not say how many tokens a prompt has"),
        ([["auth", None]] * 2, [1.0, 8.0], "the request that should show how it counts ended as auth: the test's"),
        ([["server_error", 48], ["ok", 408]], [1.0, 8.0], "ended as server_error"),
        ([["ok", 0], ["ok", 10**9]], [1.0, 8.0], "tokens per word; from 0.5 to 8 are possible"),
        ([["ok", 140], ["ok", 500]], [1.0, 100.0], "it counts 100 tokens besides the text, so no prompt can have 60"),
    ],
)
def test_what_is_made_of_a_servers_counts(measured, script, kept, told):
    found = measured([SIZED], {"*": script})
    [[_, _, *numbers, doubt]] = found["fits"]
    assert numbers == pytest.approx(kept)
    assert (doubt is None) == (told is None)
    assert found["warned"] == ([] if told is None else [doubt])
    assert told is None or (doubt.startswith("m (chat): ") and told in doubt)


def test_a_server_that_refuses_is_asked_once_and_not_twice(measured):
    assert len(measured([SIZED], {"*": [["auth", None]] * 2})["asked"]) == 1


def test_probes_are_new_in_every_run_where_the_prompts_are_and_only_there(measured):
    fresh = [{"name": "a", "prompt": {"tokens": 60, "nonce": True}}]
    one, other = (measured(fresh, {"*": SOUND}, nonce_seed=seed)["asked"] for seed in (1, 2))
    for (*_, text), (*_, later) in zip(one, other, strict=True):
        assert text.split()[:4] != later.split()[:4]
        assert text.split()[4:] == later.split()[4:]
    one, other = (measured([SIZED], {"*": SOUND}, nonce_seed=seed)["asked"] for seed in (1, 2))
    assert one == other


def test_a_fit_that_is_refused_sends_nothing_and_says_that_lengths_are_estimates(measured):
    found = measured([SIZED], {"*": SOUND}, fit=False)
    assert found["asked"] == []
    [[_, _, *numbers, doubt]] = found["fits"]
    assert numbers == [1.0, 8.0]
    assert doubt.startswith("m (chat): prompt lengths are estimates")
    assert "fit: false" in doubt


@pytest.mark.parametrize(
    ("models", "change", "told"),
    [
        (["m"], {}, "sends 2 short requests first to learn how m counts tokens; --no-fit"),
        (["m", "n"], {}, "sends 4 short requests first to learn how m and n count tokens"),
        (["a", "b", "c"], {}, "sends 6 short requests first to learn how 3 models count tokens"),
        (["m"], {"fit": False}, None),
        (["m"], {"requests": [{"prompt": "Hi"}]}, None),
    ],
)
def test_what_is_sent_before_the_load_is_announced(models, change, told):
    plain = {"name": "s", "target": "simulator", "load": {"users": 8, "requests": 1}, "requests": [SIZED]}
    scenario = LoadScenario.model_validate(plain | {"models": models} | change)
    found = announcement(scenario)
    assert found is None if told is None else found.startswith(told)
    assert (found is None) == (planned(scenario) == [])


# -- the whole way ------------------------------------------------------------------------------------------


@contextmanager
def counting_ten(words: list[int]):
    """A chat server that answers at once and counts ten tokens in every prompt; `words` are those that it saw."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            words.append(len(asked["messages"][0]["content"].split()))
            choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
            body = json.dumps({"id": "1", "model": "m", "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_mock_that_counts_ten_of_everything_is_not_believed(bench_run):
    words: list[int] = []
    with counting_ten(words) as url:
        done = bench_run(target=url, models=["m"], requests=[{"prompt": {"tokens": 60}, "max_tokens": 5, "stream": False}],
                         load={"users": 1, "requests": 3})  # fmt: skip
    [known] = json.loads((done.folder / "run.json").read_bytes())["prompt_fits"]
    assert known["tokens_per_word"] == 1.0
    assert "it counts 10 tokens in a prompt of 40 words and 10 in one of 400" in known["doubt"]
    assert "sends 2 short requests first to learn how m counts tokens" in done.err
    assert "warning: m (chat): prompt lengths are estimates, made as if each word were one token" in done.err
    assert "m (chat): prompt lengths are estimates, made as if each word were one token" in done.out
    assert words == [40, 400, 52, 52, 52], "the probes, then prompts of 60 tokens less the template's eight"


def test_no_request_of_a_fit_is_sent_where_the_command_line_says_so(bench_run):
    words: list[int] = []
    with counting_ten(words) as url:
        asked = {"target": url, "models": ["m"], "requests": [{"prompt": {"tokens": 60}, "stream": False}]}
        done = bench_run("--no-fit", **asked, load={"users": 1, "requests": 3})
    assert words == [52, 52, 52]
    assert "sends" not in done.err
    assert "m (chat): prompt lengths are estimates" in done.out


@pytest.mark.parametrize(("doubt", "told"), [(None, False), ("m (chat): it miscounts", True)])
def test_a_fits_doubt_is_told_by_every_report(tmp_path, doubt, told):
    folder = write_run(tmp_path, [record(n) for n in range(20)])
    path = folder / "run.json"
    fits = [{"model": "m", "api": "chat", "tokens_per_word": 1.0, "overhead": 8.0, "doubt": doubt}]
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"prompt_fits": fits}))
    assert ("m (chat): it miscounts" in open_run(folder).summary.doubts) == told


def test_a_probe_of_responses_asks_for_the_least_that_openai_allows():
    assert probe(0, "m", "responses", "text").parameters == {"max_output_tokens": 16}
    assert probe(0, "m", "chat", "text").parameters == {"max_tokens": 1}
