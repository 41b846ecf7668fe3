"""Parts of the load that need no server: waiting between tries, folders, the alarm.

Importing the load patches the standard library for gevent, so each test is a program of its own.
"""

from __future__ import annotations

from tests.forks import python


def test_back_off_doubles_is_jittered_and_has_a_ceiling():
    python("""
import random
from bench.load.caller import Retries
retries, rng = Retries(attempts=5, backoff=1.0, max_backoff=4.0), random.Random(1)
for tried, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 4.0)):
    waits = [retries.wait(tried, None, rng) for _ in range(200)]
    assert 0 <= min(waits) < 0.1 * longest, waits
    assert 0.9 * longest < max(waits) <= longest, waits
""")


def test_a_server_that_says_how_long_is_obeyed_unless_told_otherwise():
    python("""
import random
from bench.load.caller import Retries
rng = random.Random(1)
assert Retries(attempts=2).wait(1, 7.5, rng) == 7.5
assert Retries(attempts=2).wait(3, 7.5, rng) == 7.5
assert Retries(attempts=2).wait(1, 0.0, rng) == 0.0
assert sum(Retries(attempts=9).wait(4, 0.0, rng) for _ in range(20)) > 0.0  # zero was in vain three times
assert Retries(attempts=2, obey_retry_after=False, backoff=1.0).wait(1, 7.5, rng) <= 1.0
""")


def test_a_date_in_the_headers_of_an_earlier_attempt_counts_from_its_answer():
    python("""
import time
from email.utils import formatdate
import httpx
from bench.load.checks import Checks
from bench.load.record_builder import Meaning, RunClock, Try, to_attempt
from bench.wire.answer import Answer
from bench.wire.exchange import Exchange
answered = time.monotonic() - 50.0  # and fifty seconds later the last attempt has ended
headers = {"retry-after": formatdate(time.time() - 20.0, usegmt=True), "x-ratelimit-remaining-requests": "0",
           "x-ratelimit-remaining-tokens": "10"}
exchange = Exchange(sent=answered - 1.0, headers_at=answered, done=answered, status=429, headers=httpx.Headers(headers))
class Texts:
    clean = staticmethod(lambda text: text)
    clean_names = staticmethod(lambda numbers: numbers)
found = to_attempt(Try(exchange, 30.0), Meaning(Answer(), "throttled", None, Checks()), RunClock(answered - 2.0), Texts())
assert 28.0 < found.retry_after < 31.0, found
assert (found.spent, found.limit_style) == (["requests"], "openai"), found
""")


def test_a_refusal_is_known_by_its_status_or_by_its_words():
    python("""
import httpx
from bench.experiments.load.question import LoadScenario
from bench.load.connections import caller_for, scrub_for
from bench.load.record_builder import Slot
from bench.plan import RequestPlan
from bench.wire.transport import HttpxTransport
asked = LoadScenario.model_validate({"name": "chat", "target": {"url": "http://one.test"}, "models": ["m"], "requests": [{"prompt": "Hi"}],
                                     "load": {"users": 1, "duration": 1}})
caller = caller_for(asked, {None: "http://one.test"}, seed=1, started=0.0, scrub=scrub_for(asked))
planned, slot = RequestPlan(asked, 1, {}).request(0, 0), Slot(stage="measure", worker=0, user=0, due=None)
error = '{"error": {"code": 429, "message": "slow down"}}'
text = '{"choices": [{"index": 0, "delta": {"content": "an error: 429, rate limit"}, "finish_reason": "stop"}]}'
answers = [
    (429, "", True),
    (503, "", True),
    (403, '{"error": "come back later"}', True, {"retry-after": "2"}),
    (200, f"data: {text}\\n\\ndata: [DONE]\\n\\n", False, {"retry-after": "2"}),
    (403, '{"code": 4031, "message": "Rate limit exceeded"}', True),
    (400, "Too many requests", True),
    (200, f"data: {error}\\n\\n", True),
    (200, f"event: error\\ndata: {error}\\n\\n", True),
    (403, '{"error": "no such key"}', False),
    (500, '{"error": "rate limiter broken"}', False),
    (200, f"data: {text}\\n\\ndata: [DONE]\\n\\n", False),
]
for status, body, refused, *headers in answers:
    answer = httpx.Response(status, content=body.encode(), headers=dict(*headers))
    line = HttpxTransport(httpx.MockTransport(lambda _: answer))
    exchange = caller.send(planned, slot, line)[-1].exchange
    assert caller.is_refused(planned, exchange) == refused, (status, body)
""")


def test_a_second_run_in_the_same_second_gets_a_folder_of_its_own(tmp_path):
    code = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from bench.load import new_folder
now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
made = [new_folder(Path(sys.argv[1]), "chat", now).name for _ in range(2)]
assert made == ["chat-20260102T030405Z", "chat-20260102T030405Z-2"], made
"""
    python(code, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_alarm_rings_after_its_moment_and_never_before():
    python("""
import time
from bench.load.timer import Alarm
alarm = Alarm()
for wait in (0.0, 0.0004, 0.003, 0.02):
    moment = time.monotonic() + wait
    alarm.sleep_until(moment)
    assert time.monotonic() >= moment, wait
alarm.close()
""")


def test_deferred_work_runs_in_order_one_piece_at_a_time():
    python("""
import gevent
from bench.wire.deferred import WorkQueue
queue, seen = WorkQueue(), []
for number in range(5):
    queue.add(lambda number=number: seen.append(number))
assert seen == []
gevent.sleep(0.05)
assert seen == [0, 1, 2, 3, 4], seen
queue.add(lambda: seen.append(5))
queue.finish()
assert seen[-1] == 5
""")


def test_a_webhook_finds_whoever_waits_for_it_before_or_after_it_comes():
    python("""
import json
import time
import gevent
import httpx
from bench.load.webhooks import Listener
from bench.plan.scenario import Webhook
listener = Listener(Webhook())
listener.start()
def tell(body):
    return gevent.spawn(httpx.post, listener.url, content=body).get()
def result(task):
    return json.dumps({"event_type": "ASYNC_TASK_RESULT", "payload": {"task": {"task_id": task}}})
assert listener.wait_for("a", 0.01) is None
waiting = gevent.spawn(listener.wait_for, "a", 5.0)
gevent.sleep(0.01)
assert tell(result("a")).status_code == 200
at, body = waiting.get()
assert json.loads(body)["payload"]["task"]["task_id"] == "a"
tell(result("b"))
assert listener.wait_for("b", 0.01) is not None
tell(result(17))
assert listener.wait_for("17", 0.01) is not None
tell(result("c"))
between = time.monotonic()
tell(result("c"))
assert listener.wait_for("c", 0.01)[0] <= between
tell(result("e"))
tell(result("e").replace("}}}", ', "status": "TASK_STATUS_SUCCEED"}}}'))
assert b"SUCCEED" in listener.wait_for("e", 0.01)[1]
for garbage in (b"", b"{", b"[1]", b'{"payload": {}}'):
    assert tell(garbage).status_code == 400
listener.close()
""")


def test_every_text_gets_one_embedding():
    python("""
from dataclasses import replace
from bench.load.checks import miscounted
from bench.plan import Planned
from bench.wire.answer import Answer
asked = Planned(0, 0, "a", "m", "embeddings", False, ["a", "b", "c"], {}, {})
def told(count, planned=asked):
    return miscounted(Answer(item="embedding", items=count), planned)
assert told(3) is None
assert told(2) == "the answer has 2 embeddings for 3 texts"
assert told(4) == "the answer has 4 embeddings for 3 texts"
assert told(2, replace(asked, extra_body={"input": ["other"]})) is None
assert told(2, replace(asked, api="mine.py:api")) is None
assert told(2, replace(asked, input="a")) is None
""")
