"""A load's session on a transport that answers at once, holds, or refuses: no server, no Locust users, no report."""

from __future__ import annotations

import errno
import json
import time
from weakref import WeakKeyDictionary

import gevent
import httpx
import pytest
from gevent.event import Event

from bench.experiments import read_scenario, steps_of
from bench.records import RecordWriter, read_records
from bench.wire.exchange import Exchange, Failure

URL = "http://127.0.0.1:9"
SCENARIO = """\
name: s
target: {{url: "{url}"}}
models: {models}
requests: [{request}]
load: {load}
seed: 1
"""


@pytest.fixture(scope="module", autouse=True)
def load():
    """Imported without what Locust patches: nothing here opens a socket, and other tests' are not gevent's."""
    global Job, Session, Slot, caller_for, result_of, scrub_for
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
        from bench.load.connections import caller_for, scrub_for
        from bench.load.job import Job
        from bench.load.record_builder import Slot
        from bench.load.runner import result_of
        from bench.load.session import Session


RECORDS = WeakKeyDictionary()
"""Where each session writes its records."""


def answering(said="Hello", status=200):
    body = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    return status, body


class FakeTransport:
    """Answers each request at once with the next of `answers`, the last again and again; None is held until aborted."""

    def __init__(self, *answers) -> None:
        self.answers, self.asked, self.closed = list(answers), [], False
        self.held: list[tuple[Exchange, Event]] = []

    def exchange(self, request: httpx.Request, *, timeouts, token_times=None) -> Exchange:
        self.asked.append(json.loads(request.content))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        exchange = Exchange(sent=time.monotonic())
        if isinstance(answer, Failure):
            exchange.sent, exchange.failure = None, answer
        elif answer is None:
            released = Event()
            self.held.append((exchange, released))
            released.wait()
        else:
            status, body = answer
            exchange.status, exchange.http, exchange.complete = status, "HTTP/1.1", True
            exchange.headers_at = time.monotonic()
            exchange.reads = [(time.monotonic(), json.dumps(body).encode())]
        exchange.done = time.monotonic()
        gevent.sleep(0.001)
        return exchange

    def abort(self, failure: Failure) -> None:
        for exchange, released in self.held:
            exchange.failure = failure
            released.set()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def session_of(tmp_path):
    """Makes a session of a scenario's load, and the file of its records."""
    writers = []

    def make(
        load, *, models="[m]", request="{prompt: Hi, stream: false, max_tokens: 5}", disk=lambda it: it, **changes
    ):
        file = tmp_path / "s.yaml"
        file.write_text(SCENARIO.format(url=URL, models=models, request=request, load=load))
        scenario = read_scenario(file)
        stages = tuple(steps_of(scenario))
        caller = caller_for(scenario, {None: URL}, 1, time.monotonic(), scrub_for(scenario))
        writers.append(RecordWriter(tmp_path / "records.jsonl"))
        job = Job(scenario, 1, 1, {}, {None: URL}, tmp_path, caller.clock.started, stages=stages,
                  salts=tuple(2**32 * place for place in range(len(stages))), **changes)  # fmt: skip
        session = Session(job, caller, disk(writers[-1]), lambda _: None)
        RECORDS[session] = writers[-1].path
        return session

    yield make
    for writer in writers:
        writer.close()


def perform(session, transport, *, users=1, drain=5.0):
    """Users who ask until the load is over, then the drain. Returns the records of the file."""
    session.keep(transport)
    session.begin(time.monotonic())

    def user(number):
        while (taken := session.take(number, number % session.models)) is not None:
            planned, running = taken
            session.call(planned, running, Slot(running.stage.name, 0, number, None), transport)

    asking = [gevent.spawn(user, number) for number in range(users)]
    with gevent.Timeout(20):
        while not session.finished():
            gevent.sleep(0.001)
        session.drain(drain, Event())
        gevent.joinall(asking, raise_error=True)
    session.close()
    return list(read_records(RECORDS[session]))


def test_stages_follow_each_other_and_each_begins_when_the_one_before_ended(session_of):
    session = session_of("{stages: [{users: 1, requests: 2}, {users: 2, duration: 30ms}, {users: 3, requests: 7}]}")
    records = perform(session, FakeTransport(answering()), users=3)
    first, second, third = result_of(session).stages
    assert (first.ended, second.ended) == (second.began, third.began)
    assert [one.ended_by for one in (first, second, third)] == ["requests", "duration", "requests"]
    assert (first.sent, third.sent) == (2, 7)
    assert second.ended - second.began == pytest.approx(0.03)
    names = [record.stage for record in records]
    assert names == sorted(names, key=[stage.stage.name for stage in session.stages].index)
    assert {record.user for record in records if record.stage == names[0]} == {0}, "the first stage has one user"


def test_a_process_that_has_sent_its_share_says_so_once_and_waits_for_the_others(session_of):
    session, told = session_of("{stages: [{users: 1, requests: 2}, {users: 2, requests: 3}]}"), []

    def all_have(index):
        told.append(index)
        session.agree(index, time.monotonic() + 0.02)

    session.share_ends(all_have)
    perform(session, FakeTransport(answering()), users=2)
    first, second = result_of(session).stages
    assert told == [0, 1]
    assert (first.sent, second.sent) == (2, 3)
    assert (first.ended, first.ended_by, second.ended_by) == (session.stages[0].agreed, "requests", "requests")
    assert second.began == first.ended


def test_models_get_equal_shares_of_a_number_of_requests(session_of):
    session = session_of("{users: 2, requests: 7}", models="[a, b]")
    records = perform(session, FakeTransport(answering()), users=2)
    assert sorted(record.model for record in records) == ["a"] * 4 + ["b"] * 3
    assert (session.tally.ok, session.tally.failures.total(), session.in_flight) == (7, 0, 0)


def test_what_is_in_flight_at_the_end_is_waited_for(session_of):
    session = session_of("{users: 1, duration: 300ms}")
    transport = FakeTransport(answering(), None)

    def release():
        session.over.wait()
        gevent.sleep(0.01)
        transport.answers = [answering()]
        for exchange, released in transport.held:
            exchange.status, exchange.complete = 200, True
            exchange.reads = [(time.monotonic(), json.dumps(answering()[1]).encode())]
            released.set()

    gevent.spawn(release)
    records = perform(session, transport)
    assert [record.outcome for record in records] == ["ok", "ok"]
    assert records[-1].done > session.ended - session.caller.clock.started


def test_what_does_not_end_within_the_drain_is_censored_and_still_recorded(session_of):
    session = session_of("{users: 2, duration: 100ms}")
    records = perform(session, FakeTransport(None), users=2, drain=0.02)
    assert [record.outcome for record in records] == ["censored", "censored"]
    assert all("still unanswered when the run ended, 0.02 s after the load" in record.error for record in records)
    assert result_of(session).stopped_by == "duration"


def test_a_load_whose_first_requests_all_fail_is_stopped_and_says_why(session_of):
    dead = Failure("connect", "connection refused")
    session = session_of("{users: 1, requests: 500}")
    records = perform(session, FakeTransport(dead))
    found = result_of(session)
    assert found.stopped_by == "refused"
    assert found.because == "the first 10 requests all failed, most of them with connect: connection refused"
    assert 10 <= len(records) < 30


@pytest.mark.parametrize(("answers", "keep_going"), [(1, False), (0, True)])
def test_one_answer_among_them_or_keep_going_lets_it_go_on(session_of, answers, keep_going):
    dead = Failure("connect", "connection refused")
    session = session_of("{users: 1, requests: 40}", keep_going=keep_going)
    records = perform(session, FakeTransport(*[answering()] * answers, dead))
    assert len(records) == 40
    assert result_of(session).stopped_by == "requests"


CONVERSATION = "{prompt: {tokens: 8}, stream: false, max_tokens: 5, conversation: {turns: 3, tokens: 4}}"


def test_a_user_knows_the_last_of_the_requests_that_followed_from_one(session_of):
    """By its answer the user waits, if the server refused it."""
    session, transport = session_of("{users: 1, requests: 1}", request=CONVERSATION), FakeTransport(answering())
    planned, running = session.take(0, 0)
    last, exchange = session.call(planned, running, Slot(running.stage.name, 0, 0, None), transport)
    session.close()
    assert (planned.turn, last.turn) == (0, 2)
    assert exchange.status == 200


def test_a_conversation_sends_all_that_was_said_and_stays_with_its_user(session_of):
    session = session_of("{users: 2, requests: 2}", request=CONVERSATION)
    transport = FakeTransport(answering("first"))
    records = perform(session, transport, users=2)
    assert sorted((record.conversation, record.turn) for record in records) == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2),
    ]  # fmt: skip
    for number in (0, 1):
        assert len({record.user for record in records if record.conversation == number}) == 1
    longest = max(transport.asked, key=lambda body: len(body["messages"]))
    assert [message["role"] for message in longest["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert longest["messages"][1]["content"] == "first"
    [stage] = result_of(session).stages
    assert (stage.planned, stage.sent, stage.followed) == (2, 6, 4)


def test_a_conversation_ends_with_a_turn_that_failed(session_of):
    session = session_of("{users: 1, requests: 1}", request=CONVERSATION)
    records = perform(session, FakeTransport(answering(), (500, {"error": {"message": "no"}})))
    assert [(record.turn, record.outcome) for record in records] == [(0, "ok"), (1, "server_error")]


def test_no_turn_is_begun_after_the_end_of_its_stage(session_of):
    asks = CONVERSATION.replace("tokens: 4", "tokens: 4, think_time: 100s")
    session = session_of("{users: 1, duration: 30ms}", request=asks)
    records = perform(session, FakeTransport(answering()))
    assert [record.turn for record in records] == [0]


def test_a_disk_that_takes_no_more_ends_the_load(session_of):
    full = OSError(errno.ENOSPC, "No space left on device")

    class FullDisk:
        """A writer whose disk is full after two records."""

        def __init__(self, writer):
            self.path, self.writer, self.room = writer.path, writer, 2

        def append(self, record):
            if not self.room:
                raise full
            self.room -= 1
            self.writer.append(record)

    session = session_of("{users: 1, requests: 1000}", disk=FullDisk)
    assert len(perform(session, FakeTransport(answering()))) == 2
    assert (result_of(session).stopped_by, result_of(session).error) == ("disk", full)
    assert session.stages[0].sent < 20, "it stops with the first record that is refused"


def test_only_the_first_reason_to_end_counts_and_connections_are_closed(session_of):
    session = session_of("{users: 1, duration: 60s}")
    transport = FakeTransport(answering())
    gevent.spawn_later(0.01, session.end, "interrupt")
    gevent.spawn_later(0.02, session.end, "disk")
    perform(session, transport)
    assert result_of(session).stopped_by == "interrupt"
    assert result_of(session).stages[0].ended_by == "stopped"
    assert transport.closed
