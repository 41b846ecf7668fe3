"""Whatever raises, wherever: each request that was begun has its record, and a mistake of ours ends the run, once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from bench.records import read_records
from tests.conftest import bench, made_once
from tests.forks import Command

OWN = '''
from bench.wire.answer import Answer, Usage
from bench.wire.job import Awaited, Call
from bench.wire.unary import Unary

class Reads:
    name, family, path = "own", "llm", "chat/completions"
    def body(self, ask): return {"model": ask.model}
    def read(self, reads, *, stream): return Answer(**self.answer())
    def token_times(self, reads): return None, None
class Raises(Reads):
    def __init__(self, error): self.error = error
    def read(self, reads, *, stream): raise self.error
class Loops(Reads):
    def read(self, reads, *, stream): return self.read(reads, stream=stream)
class SaysNothing(Reads):
    def read(self, reads, *, stream): return None
class Says(Reads):
    def __init__(self, **answer): self.said = answer
    def answer(self): return self.said
class SaysLater(Says):
    """Past the checks of an Answer."""
    def read(self, reads, *, stream):
        answer = Answer()
        for name, value in self.said.items():
            object.__setattr__(answer, name, value)
        return answer
class NoBody(Reads):
    def body(self, ask): raise KeyError("messages")
class OddBody(Reads):
    def body(self, ask): return {"model": {1, 2}}
class Job:
    name, family = "own", "llm"
    def __init__(self, after, error=None, poll=False): self.after, self.error, self.poll = after, error, poll
    def steps(self, ask):
        for number in range(self.after):
            yield Call(f"call{number}", "chat/completions", body={})
        if self.poll:
            yield Awaited(Call("poll", "x", "GET"), self.finished, "k")
        if self.error is not None:
            raise self.error
        return None
    def finished(self, body): raise ZeroDivisionError("how far")

value_error, key_error, runtime = Raises(ValueError("odd")), Raises(KeyError("choices")), Raises(RuntimeError("stop"))
memory, exits, assertion = Raises(MemoryError()), Raises(SystemExit(3)), Raises(AssertionError("never"))
unicode_ = Raises(UnicodeDecodeError("utf-8", b"\\xff", 0, 1, "invalid start byte"))
recursion, os_error, zero = Loops(), Raises(OSError(5, "Input/output error")), Raises(ZeroDivisionError("by zero"))
nothing = SaysNothing()
no_member, no_usage, dict_usage = Says(nonsense=1), Says(usage=None), Says(usage={"prompt": 7})
too_large, not_text = SaysLater(output_chars=2**70), SaysLater(finish_reason=["stop"])
surrogate, odd_times = SaysLater(response_model="\\ud800"), SaysLater(arrivals=[("soon", 1)])
odd_server, odd_usage = SaysLater(server={"x": object()}), SaysLater(usage=None)
float_chars, text_chars, fewer_merged = Says(output_chars=3.5), Says(output_chars="3"), Says(merged=-1)
no_item = Unary("no_item", "x", lambda model, messages: {}, lambda value: Answer(items=3))
odd_source, half_tokens = Says(tokens_from="guess"), Says(arrivals=[(2e8, 0.5)])
class At(Reads):
    """Times as seconds after the last read."""
    def __init__(self, **answer): self.said = answer
    def read(self, reads, *, stream):
        end = reads[-1][0]
        later = {name: [(end + at, 1) for at in value] if name == "arrivals" else end + value
                 for name, value in self.said.items()}
        return Answer(**later)
disordered, before_run, too_late = At(arrivals=[0.0, -1e-6]), At(first_token_at=-1e6), At(first_token_at=100.0)
since_sent = Says(arrivals=[(0.25, 1)])
class Tokens(Reads):
    def __init__(self, times): self.times = times
    def token_times(self, reads): return self.times
one_time, text_times, no_number = Tokens(5), Tokens(("soon", "later")), Tokens((1.0, float("nan")))
class Replies(Says):
    """Asked for the next turn of a conversation."""
    def __init__(self, reply): self.said, self.replied = {"output_chars": 7}, reply
    def reply(self, answer, results): return self.replied
no_reply, odd_reply = Replies(None), Replies(["assistant"])
class Forgotten(Reads):
    def body(self, ask): {"model": ask.model}
no_body, odd_body, forgotten = NoBody(), OddBody(), Forgotten()
bare = Unary("bare", "x", lambda model, messages: None, Answer)
job_at_once, job_later, job_empty = Job(0, RuntimeError("early")), Job(1, RuntimeError("late")), Job(0)
job_poll, job_no_answer = Job(1, poll=True), Job(2)
job_key_error, job_stop = Job(1, KeyError("task")), Job(1, StopIteration())
'''
ITS_OWN = {
    "value_error": "own.py:value_error: ValueError: odd",
    "key_error": "own.py:key_error: KeyError: 'choices'",
    "runtime": "own.py:runtime: RuntimeError: stop",
    "memory": "own.py:memory: MemoryError",
    "exits": "own.py:exits: SystemExit: 3",
    "assertion": "own.py:assertion: AssertionError: never",
    "unicode_": "own.py:unicode_: UnicodeDecodeError: ",
    "recursion": "own.py:recursion: RecursionError: ",
    "os_error": "own.py:os_error: OSError: [Errno 5]",
    "zero": "own.py:zero: ZeroDivisionError: by zero",
    "nothing": "unreadable for own.py:nothing: TypeError: NoneType in place of an Answer",
    "no_member": "own.py:no_member: TypeError: ",
    "too_large": "own.py:too_large gave an answer that cannot be recorded: Integer exceeds 64-bit range",
    "float_chars": "own.py:float_chars gave an answer that cannot be recorded: output_chars: Expected int, got float",
    "text_chars": "own.py:text_chars gave an answer that cannot be recorded: output_chars: Expected int, got str",
    "fewer_merged": "own.py:fewer_merged gave an answer that cannot be recorded: merged: Expected int >= 0",
    "no_item": "the answer is one with items=3 and no item, which says what is counted",
    "odd_source": "own.py:odd_source gave an answer that cannot be recorded: tokens_from: Invalid enum value 'guess'",
    "half_tokens": "own.py:half_tokens gave an answer that cannot be recorded: arrivals[0][1]: Expected int, got float",
    "disordered": "own.py:disordered gave an answer that cannot be recorded: arrivals: they are not in the order of time",
    "before_run": "own.py:before_run gave an answer that cannot be recorded: first_token_at: Expected float >= 0.0",
    "too_late": "own.py:too_late gave an answer that cannot be recorded: first_token_at: 100.",
    "since_sent": "own.py:since_sent gave an answer that cannot be recorded: arrivals[0][0]: Expected float >= 0.0",
    "not_text": "own.py:not_text raised while making a record: TypeError: ",
    "surrogate": "own.py:surrogate gave an answer that cannot be recorded: str is not valid UTF-8: surrogates not allowed",
    "odd_times": "own.py:odd_times raised while making a record: TypeError: ",
    "odd_server": "own.py:odd_server gave an answer that cannot be recorded: Type is not JSON serializable: object",
    "odd_usage": "own.py:odd_usage raised while making a record: AttributeError: ",
    "no_usage": "unreadable for own.py:no_usage: TypeError: usage is NoneType; Usage(…) is expected",
    "dict_usage": "unreadable for own.py:dict_usage: TypeError: usage is dict; Usage(…) is expected",
    "one_time": "own.py:one_time raised while finding tokens: TypeError: 5 in place of the times of the first and the",
    "text_times": "own.py:text_times raised while finding tokens: TypeError: ('soon', 'later') in place of",
    "no_number": "own.py:no_number raised while finding tokens: TypeError: (1.0, nan) in place of",
    "no_reply": "the answer is one that own.py:no_reply cannot repeat: TypeError: 'NoneType' object is not iterable",
    "odd_reply": "the answer is one that own.py:odd_reply cannot repeat: ValueError: ",
    "no_body": "own.py:no_body raised while preparing a request: KeyError: 'messages'",
    "odd_body": "own.py:odd_body raised while preparing a request: TypeError: ",
    "job_at_once": "own.py:job_at_once raised while running a job: RuntimeError: early",
    "job_later": "own.py:job_later raised while running a job: RuntimeError: late",
    "job_empty": "own.py:job_empty raised while running a job: AssertionError: a job without a call",
    "job_poll": "JSON with another shape than this API's: ZeroDivisionError('how far')",
    "job_no_answer": "own.py:job_no_answer raised while reading an answer: TypeError: NoneType in place of an Answer",
    "job_key_error": "JSON with another shape than this API's: KeyError('task')",
    "job_stop": "own.py:job_stop raised while running a job: RuntimeError: ",
}
"""What the record says of each."""
RAISED = [
    'RuntimeError("odd")', "RecursionError()", "MemoryError()", 'UnicodeEncodeError("idna", "x" * 64, 0, 64, "too long")',
    'OverflowError("int too large")', "AssertionError()", 'KeyError("ftp")', "gevent.Timeout(1)", "SystemExit(2)",
    'OSError(5, "Input/output error")', 'ssl.SSLError(1, "odd")', 'struct.error("argument out of range")',
    'ExceptionGroup("two", [ValueError("a"), KeyError("b")])', 'TypeError("key sk-very-secret-key")', "StopIteration()",
]  # fmt: skip
PROGRAM = """
import bench.load
import io, json, ssl, struct, sys, time
from pathlib import Path
import gevent
from bench.load.runner import prepare, run_here
from bench.load.connections import caller_for, scrub_for
from bench.load.job import Job
from bench.load.record_builder import Slot
from bench.load.users import closed_user, open_user
from bench.experiments.load.question import LoadScenario
from bench.plan import Planned
from bench.records import RecordWriter
from bench.wire.clock import KernelClock
from bench.wire.bounds import TokenTimesError
from bench.wire.exchange import Exchange, Failure

folder = Path(sys.argv[1])
scenario = LoadScenario.model_validate({
    "name": "s", "target": {"url": "http://127.0.0.1:1", "key": "sk-very-secret-key"}, "models": ["m"],
    "requests": [{"name": "chat", "prompt": "Hi"}], "load": {"users": 1, "requests": 1},
})

class Answers:
    def exchange(self, request, *, timeouts, token_times=None):
        now, failure = time.monotonic(), None
        try:
            assert token_times is None or token_times([(now, b"data: {}")]) == (None, None)
        except TokenTimesError as error:
            failure = Failure("protocol", str(error))
        return Exchange(failure=failure, sent=now, headers_at=now, done=now, status=200, complete=True, reads=[(now, b"{}")])
class Raises(Answers):
    def __init__(self, error): self.error = error
    def exchange(self, request, *, timeouts, token_times=None): raise self.error

def sent(name, api, transport):
    path = folder / f"records-{len(list(folder.iterdir()))}.jsonl"
    with RecordWriter(path) as writer:
        caller = caller_for(scenario, {None: "http://127.0.0.1:1"}, 1, time.monotonic(), scrub_for(scenario))
        stages = scenario.load.as_stages()
        job = Job(scenario, 1, 1, {}, {None: "http://127.0.0.1:1"}, folder, caller.clock.started, stages=stages, salts=(0,))
        _, session = prepare(job, caller, writer, KernelClock())
        planned = Planned(seq=7, k=7, name="chat", model="m", api=api, stream=not name.startswith("job"),
                          input=[{"role": "user", "content": "Hi"}], parameters={}, extra_body={},
                          conversation=7 if name.endswith("reply") else None)
        for _ in range(2):
            session.call(planned, session.stages[0], Slot(stage="measure", worker=0, user=0, due=None), transport)
        session.close()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return {"records": records, "mistake": caller.mishaps.first, "over": session.over.is_set(),
            "in_flight": session.in_flight}

found = {}
for name in json.loads(sys.argv[2]):
    found[name] = sent(name, f"{folder}/own.py:{name}", Answers())
for text in json.loads(sys.argv[3]):
    found[text] = sent(text, "chat", Raises(eval(text)))
    found["job " + text] = sent("job", "txt2img", Raises(eval(text)))
print(json.dumps(found))
"""


def python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return Command(arguments, program=program).wait(60)


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """Two requests in each of these cases: their records, and what the run says of itself."""
    folder = tmp_path_factory.mktemp("mishaps")
    (folder / "own.py").write_text(OWN)

    def told() -> str:
        done = python(PROGRAM, folder, json.dumps([*ITS_OWN]), json.dumps(RAISED))
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return done.stdout

    return json.loads(made_once(tmp_path_factory, "mishaps", told))


@pytest.mark.parametrize("name", ITS_OWN)
def test_an_api_of_ones_own_may_raise_and_the_run_goes_on(sent, name):
    case = sent[name]
    assert [one["seq"] for one in case["records"]] == [7, 7]
    for record in case["records"]:
        assert record["outcome"] == "protocol", record
        assert ITS_OWN[name] in record["error"], record
    assert case["mistake"] is None
    assert not case["over"]
    assert case["in_flight"] == 0


def test_an_answer_that_cannot_be_repeated_keeps_its_figures(sent):
    assert [record["output_chars"] for record in sent["no_reply"]["records"]] == [7, 7]


@pytest.mark.parametrize("raised", [*RAISED, *(f"job {text}" for text in RAISED)])
def test_a_mistake_of_ours_costs_no_record_and_ends_the_run(sent, raised):
    case = sent[raised]
    kind = raised.removeprefix("job ").split("(")[0].rpartition(".")[2]
    assert [(one["outcome"], one["seq"]) for one in case["records"]] == [("protocol", 7)] * 2
    for record in case["records"]:
        assert f": {kind}" in record["error"], record
        assert record["sent"] is None
    assert case["over"]
    assert case["mistake"].startswith("a mistake in bench while sending to 127.0.0.1: ")
    assert ", at <string>:" in case["mistake"] or ", at bench/" in case["mistake"]
    assert "sk-very" not in json.dumps(case)
    assert case["in_flight"] == 0


USERS = """
import bench.load
import json, sys, time
from functools import partial
from pathlib import Path
import gevent
from gevent.event import Event
from locust.env import Environment
from bench.load.runner import prepare, run_session
from bench.load.connections import caller_for, scrub_for
from bench.load.job import Job
from bench.load.mishaps import catch_greenlet_errors
from bench.load.users import closed_user, open_user
from bench.experiments.load.question import LoadScenario

from bench.records import RecordWriter
from bench.wire.clock import KernelClock

folder, loop, place = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
load = {"users": 3, "duration": "20s"} if loop == "closed" else {"rate": 100, "duration": "20s"}
scenario = LoadScenario.model_validate({"name": "s", "target": {"url": "http://127.0.0.1:1"}, "models": ["m"],
    "requests": [{"name": "chat", "prompt": "Hi"}], "load": load | {"drain": "20s"}})
caller = caller_for(scenario, {None: "http://127.0.0.1:1"}, 1, time.monotonic(), scrub_for(scenario))
stages = scenario.load.as_stages()
job = Job(scenario, 1, 1, {}, {None: "http://127.0.0.1:1"}, folder, caller.clock.started, stages=stages, salts=(0,))

class Raises:
    def exchange(self, request, **_): raise LookupError("odd")
    def abort(self, failure): pass
    def close(self): pass

def transport():
    if place == "transport":
        raise LookupError("odd")
    if place == "callback":
        gevent.get_hub().loop.run_callback(lambda: [][1])
    if place == "greenlet":
        gevent.spawn(lambda: [][1])
    return Raises() if place == "exchange" else Waits()

class Waits(Raises):
    def exchange(self, request, **_): caller.given_up.wait(); raise LookupError("odd")

began = time.monotonic()
with RecordWriter(folder / "records.jsonl") as writer:
    environment, session = prepare(job, caller, writer, KernelClock())
    make = closed_user if loop == "closed" else open_user
    runner = Environment(user_classes=[make(session, transport)]).create_local_runner()
    with catch_greenlet_errors(caller.mishaps):
        session.begin(time.monotonic())
        runner.start(3 if loop == "closed" else 1, spawn_rate=3)
        run_session(session, job, KernelClock(), Event(), lambda progress: None)
        runner.quit()
records = (folder / "records.jsonl").read_text().splitlines()
print(json.dumps({"took": time.monotonic() - began, "mistake": caller.mishaps.first, "records": len(records),
                  "sent": session.stages[0].sent, "why": session.stopped_by}))
"""


def test_a_name_that_does_not_resolve_is_no_mistake_of_bench(tmp_path):
    scenario = {
        "target": {"url": "http://no-such-host.invalid"}, "models": ["m"], "fit": False,
        "requests": [{"prompt": "Hi"}], "load": {"users": 1, "requests": 1},
    }  # fmt: skip
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(scenario))
    done = bench("run", file, "--out", tmp_path / "out", "--no-report")
    assert "mistake" not in done.stderr
    [kept] = (tmp_path / "out").glob("*/records.jsonl")
    [record] = read_records(kept)
    assert (record.outcome, "no-such-host.invalid does not resolve" in record.error) == ("connect", True)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("loop", "place"),
    [("closed", "transport"), ("open", "transport"), ("closed", "exchange"), ("open", "exchange"),
     ("closed", "callback"), ("open", "greenlet")],
)  # fmt: skip
def test_a_mistake_anywhere_in_a_user_ends_the_run_soon_and_prints_no_traceback(tmp_path, loop, place):
    done = python(USERS, tmp_path, loop, place)
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["why"] == "mistake"
    assert said["mistake"].startswith("a mistake in bench while ")
    assert said["took"] < 15, "neither the duration nor the drain of 20 s was waited for"
    assert said["records"] == said["sent"]


REHEARSED = """
import bench.load
import json, sys
from pathlib import Path
from bench.load import UnknownApiError, rehearse
from bench.experiments.load.question import LoadScenario
from bench.plan import Mistakes
found = []
for case in json.loads(sys.argv[1]):
    base = {"name": "s", "target": {"url": "http://127.0.0.1:1"}, "models": ["m"], "load": {"users": 1, "requests": 1}}
    try:
        scenario = LoadScenario.model_validate(base | case)
        rehearse(scenario, "s.yaml", 1)
        found.append("")
    except (Mistakes, UnknownApiError) as error:
        found.append(str(error))
print(json.dumps(found))
"""
HI = {"prompt": "Hi"}


def case(target: dict | None = None, **request: object) -> dict:
    given = {"requests": [{"name": "c"} | HI | request]}
    return given | ({"target": {"url": "http://127.0.0.1:1"} | target} if target else {})


CASES: dict[str, tuple[dict, str]] = {
    "a chat": (case(), ""),
    "an API of one's own without a body": (case(api="FOLDER/own.py:no_body"), "own.py:no_body raised KeyError: 'messages'"),
    "a body that is no JSON": (case(api="FOLDER/own.py:odd_body"), "own.py:odd_body raised TypeError: Type is not JSON serializable: set"),
    "a body that is none": (case(api="FOLDER/own.py:bare"), "own.py:bare raised TypeError: its body is NoneType; a dict is expected"),
    "a body that is forgotten": (case(api="FOLDER/own.py:forgotten"), "own.py:forgotten raised TypeError: its body is NoneType; a dict is expected"),
    "a job without a step": (case(api="FOLDER/own.py:job_empty"), "own.py:job_empty has no steps"),
    "a job that raises at once": (case(api="FOLDER/own.py:job_at_once"), "own.py:job_at_once raised RuntimeError: early"),
    "an integer beyond 64 bits": (case(extra_body={"seed": 2**70}), "Integer exceeds 64-bit range"),
    "a row with an odd part": (
        case(api="messages", max_tokens=5, prompt={"file": "FOLDER/odd.jsonl"}), "row 2 of its data file"
    ),
    "a data file that can be sent": (case(prompt={"file": "FOLDER/good.jsonl"}), ""),
    "a prompt that is no Unicode": (case(prompt="a \ud800"), "surrogates not allowed"),
    "a batch": (case(api="batch", requests=3), ""),
    "images": (case(api="txt2img"), ""),
    "messages": (case(api="messages", max_tokens=5), ""),
    "messages with an odd part": (
        case(api="messages", max_tokens=5, prompt={"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        "messages raised KeyError: 'image_url'",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rehearsed")
    (folder / "own.py").write_text(OWN)
    rows = [json.dumps({"prompt": text}) for text in ("a", "b")]
    odd = json.dumps({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})
    (folder / "odd.jsonl").write_text(f"{rows[0]}\n{odd}\n")
    (folder / "good.jsonl").write_text("\n".join(rows))
    cases = json.dumps([given for given, _ in CASES.values()]).replace("FOLDER", str(folder))

    def told() -> str:
        done = python(REHEARSED, cases)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return dict(zip(CASES, json.loads(made_once(tmp_path_factory, "rehearsed", told)), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_sent_is_a_mistake_of_the_scenario(rehearsed, name):
    wanted = CASES[name][1]
    if not wanted:
        assert rehearsed[name] == ""
    else:
        assert rehearsed[name].startswith("s.yaml: requests.0 (c) cannot be sent: ")
        assert wanted in rehearsed[name]
        assert "sk-k" not in rehearsed[name]


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_such_a_mistake_is_exit_2_and_leaves_no_folder(tmp_path, verb):
    (tmp_path / "own.py").write_text(OWN)
    scenario = "{target: 'http://127.0.0.1:1', models: [m], requests: [{api: 'own.py:no_body', prompt: Hi}], load: {users: 1, requests: 1}}"
    (tmp_path / "s.yaml").write_text(scenario)
    done = bench(verb, tmp_path / "s.yaml", *(["--out", tmp_path / "out"] if verb == "run" else []))
    assert done.returncode == 2
    assert "s.yaml:1: requests.0 (own.py:no_body) cannot be sent: own.py:no_body raised KeyError" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(tmp_path / "out").exists()


INTERRUPTED = """
import gevent
from bench.load.mishaps import interrupts_without_traceback
def interrupt(): raise KeyboardInterrupt
interrupts_without_traceback()
gevent.get_hub().loop.run_callback(interrupt)
try:
    gevent.sleep(5)
except KeyboardInterrupt:
    print("ended")
"""


def test_a_ctrl_c_that_comes_while_the_hub_runs_prints_no_traceback(tmp_path):
    done = python(INTERRUPTED, tmp_path)
    assert (done.stdout, done.stderr) == ("ended\n", "")
