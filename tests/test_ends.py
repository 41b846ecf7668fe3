"""Ends, kills, disks and strangers: nothing of them may hang a run, leave a process behind or bend what it says."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import get_args

import psutil
import pytest
import yaml

from bench.analysis import open_run
from bench.analysis.stops import STOPS, stop_of
from bench.analysis.validity import check_complete
from bench.environment import child_environment
from bench.records import StoppedBy, files_of, read_records
from tests.conftest import made_once
from tests.ends import CASES, faults_of
from tests.forks import Command, python

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("case", [case for case in CASES if case.quick], ids=str)
def test_a_run_that_is_ended_ends_in_seconds_alone_and_says_so(case, tmp_path):
    assert faults_of(case, tmp_path) == []


# -- disks ----------------------------------------------------------------------------------------------


def started(tmp_path, *, files: int | None = None, environment=None, **scenario) -> subprocess.CompletedProcess:
    """A run in which no file may be larger than `files` bytes."""
    plain = {
        "target": "simulator", "models": ["sim/instant"], "seed": 1,
        "requests": [{"prompt": "Hi", "max_tokens": 5}], "load": {"users": 4, "duration": "20s"},
    }  # fmt: skip
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(plain | scenario))
    limits = {resource.RLIMIT_FSIZE: (files, files)} if files else {}
    return Command(["run", file, "--out", tmp_path / "out"], env=environment, limits=limits).wait()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_ends_the_run_says_what_is_kept_and_the_report_says_what_is_missing(tmp_path, processes):
    done = started(tmp_path, files=9000, load={"users": 4, "duration": "20s", "processes": processes})
    [folder] = (tmp_path / "out").iterdir()
    kept = [record for path in files_of(folder, "records") for record in read_records(path)]
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "File too large; raise the limit on the size of files" in done.stderr
    assert f"{len(kept)} records are kept in {folder}; bench report {folder} says what they show" in done.stderr
    assert kept
    summary = open_run(folder).summary
    assert summary.stopped_by == "disk"
    assert any("the run ended when the disk took no more" in doubt for doubt in summary.doubts)
    assert any("left no record; the disk took no more" in reason for reason in summary.validity.reasons)
    assert not list(folder.glob("*.tmp"))


def test_a_disk_that_takes_no_first_file_ends_the_run_before_a_request(tmp_path):
    done = started(tmp_path, files=100)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr


def limited(code: str, size: int, *arguments: object) -> str:
    """What a piece of Python prints that may write files of so many bytes."""
    return python(code, *arguments, limits={resource.RLIMIT_FSIZE: (size, 1_000_000)})


def test_health_that_the_disk_refuses_ends_the_load_and_no_greenlet(tmp_path):
    told = limited("""
import sys
import bench.load
import gevent
from pathlib import Path
from bench.load.health import Health
from bench.wire.clock import KernelClock
refused = []
clock = KernelClock()
health = Health(Path(sys.argv[1]), started=0.0, worker=0, clock=clock, users=int, in_flight=int, on_disk_error=refused.append)
sampling = gevent.spawn(health.sample)
gevent.sleep(0.05)
sampling.kill()
print(sampling.exception, [type(error).__name__ for error in refused], Path(sys.argv[1]).stat().st_size)
clock.close()
""", 30, tmp_path / "health.jsonl")  # fmt: skip
    assert told == "None ['OSError'] 0\n"


def test_a_file_that_does_not_fit_leaves_the_old_one_and_no_half(tmp_path):
    told = limited("""
import sys
from pathlib import Path
from bench.records.json_file import write_json
path = Path(sys.argv[1])
write_json(path, {"old": 1})
try:
    write_json(path, {"new": "x" * 500})
except OSError as error:
    print(error.strerror, error.filename == str(path))
print(path.read_text().split(), [one.name for one in path.parent.iterdir()])
""", 100, tmp_path / "run.json")  # fmt: skip
    assert told == "File too large True\n['{', '\"old\":', '1', '}'] ['run.json']\n"


def test_the_end_is_written_in_the_room_that_was_taken_for_it(tmp_path):
    told = limited("""
import sys
from pathlib import Path
from bench.load.folder import End, reserve_end, write_end
folder = Path(sys.argv[1])
reserve_end(folder)
place = (folder / "end.tmp").stat().st_ino
write_end(folder, End(2.0, 0.5, (0.5, 2.0), 3, 3, "disk"))
print((folder / "end.json").stat().st_ino == place, [one.name for one in folder.iterdir()])
""", 5000, tmp_path)  # fmt: skip
    assert told == "True ['end.json']\n"
    assert json.loads((tmp_path / "end.json").read_bytes())["stopped_by"] == "disk"


@pytest.mark.parametrize(
    ("stopped_by", "sent", "says"),
    [
        ("disk", 12, "2 of 12 requests left no record; the disk took no more"),
        ("killed", 12, "2 of 12 requests left no record; was the run killed?"),
        ("worker", 10, "a worker process died, and what it had in flight is lost; run again"),
        ("silent worker", 10, "a worker stopped answering and was ended, and what it had in flight is lost; run again"),
        ("target", 10, "the target that the run had started died while it was measured; run again"),
    ],
)
def test_what_ended_a_run_early_makes_it_invalid_and_is_said(stopped_by, sent, says):
    found = check_complete(10, sent=sent, planned=sent, stopped_by=stopped_by)
    assert [(finding.level, finding.text) for finding in found] == [("invalid", says)]


def test_every_reason_that_ends_a_run_early_has_a_sentence_in_the_report():
    assert STOPS.keys() == set(get_args(StoppedBy)) - {"duration", "requests"}
    assert {reason for reason, stop in STOPS.items() if not stop.headline} == {"refused"}
    assert stop_of("duration") is stop_of("a reason of a later version") is None


def test_a_load_of_several_workers_ended_for_the_worst_of_their_reasons():
    told = python("""
import tempfile
import bench.load
from bench.load.job import LoadResult
from bench.load.workers import WorkerReports, merge_results
def merged(*reasons, lost=0, silent=()):
    results = dict(enumerate(LoadResult((), why) for why in reasons))
    with tempfile.TemporaryFile("w+") as log:
        return merge_results(WorkerReports(results=results, ended=set(silent)), len(reasons) + lost, log).stopped_by
print(merged("duration", "requests"), merged("budget", "duration"), merged("disk", "interrupt"))
print(merged("disk", lost=1), merged("disk", lost=1, silent=[1]))
""")
    assert told == "requests budget disk\nworker silent worker\n"


def test_the_workers_that_still_run_agree_once_that_a_stage_is_over():
    told = python("""
import bench.load
from bench.load.workers import WorkerReports, note_spent, spent_by_all
reports, found = WorkerReports(), []
for worker, index in ((0, 0), (1, 0), (1, 2), (0, 2)):
    note_spent(reports, worker, index)
    found.append((reports.news.is_set(), spent_by_all(reports, [0, 1])))
print(found, spent_by_all(reports, [0, 1]))
note_spent(reports, 1, 3)
print(spent_by_all(reports, [0, 1]), spent_by_all(reports, [1]), "the other one died")
""")
    assert told == "[(True, None), (True, 0), (True, None), (True, 2)] None\nNone 3 the other one died\n"


# -- secrets --------------------------------------------------------------------------------------------

KEY = "sk-in-no-environment-0123456789"


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("PATH", True), ("HOME", True), ("LANG", True), ("LC_ALL", True), ("TMPDIR", True), ("PYTHONPATH", True),
        ("PYTHONHASHSEED", True), ("VIRTUAL_ENV", True), ("LD_LIBRARY_PATH", True), ("SSL_CERT_FILE", True),
        ("XDG_STATE_HOME", True), ("OMP_NUM_THREADS", True), ("COVERAGE_PROCESS_START", True),
        ("OPENAI_API_KEY", False), ("NOVITA_API_KEY", False), ("PYTHON_API_KEY", False), ("AWS_SECRET_ACCESS_KEY", False),
        ("HTTPS_PROXY", False), ("MY_PATH", False), ("LC_KEY_2", False), ("GIT_CONFIG_VALUE_0", False),
    ],
)  # fmt: skip
def test_a_child_gets_the_environment_that_it_needs_and_no_key(monkeypatch, name, goes):
    monkeypatch.setenv(name, KEY)
    assert (child_environment().get(name) == KEY) is goes


@LINUX
@pytest.mark.parametrize("embedded", [True, False])
def test_the_key_is_in_no_childs_environment_and_on_no_command_line(tmp_path, new_simulator, embedded):
    with new_simulator(key=KEY) as url:
        scenario = {
            "target": "simulator" if embedded else {"url": url, "key": "${SOME_KEY}"},
            "models": ["sim/exact"], "requests": [{"prompt": "Hi", "max_tokens": 20}],
            "load": {"users": 2, "duration": "60s", "processes": 2},
        }  # fmt: skip
        file = tmp_path / "scenario.yaml"
        file.write_text(yaml.safe_dump(scenario))
        command = [sys.executable, "-m", "bench", "run", str(file), "--out", str(tmp_path / "out")]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"SOME_KEY": KEY}) as process:
            try:
                while not any(path.stat().st_size for path in (tmp_path / "out").glob("*/records-1.jsonl")):
                    assert process.poll() is None
                    time.sleep(0.05)
                children = psutil.Process(process.pid).children(recursive=True)
                assert len(children) == 2 + embedded, "two workers, and the simulator"
                for child in children:
                    for told in ("environ", "cmdline"):
                        assert KEY.encode() not in Path(f"/proc/{child.pid}/{told}").read_bytes()
            finally:
                process.kill()
        assert not psutil.wait_procs(children, timeout=5.0)[1], "nobody outlives the run"
    outcomes = {
        one.outcome for path in files_of(*(tmp_path / "out").iterdir(), "records") for one in read_records(path)
    }
    assert outcomes == {"ok"}, "the workers know the key all the same"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_whose_folder_is_removed_ends_and_says_so(tmp_path, processes):
    out, arguments = levels(tmp_path, users=4, duration="10m", processes=processes)
    with Command(arguments) as process:
        while not any(path.stat().st_size for path in out.glob("*/records*.jsonl")):
            assert process.poll() is None
            time.sleep(0.02)
        shutil.rmtree(out)
        done = process.wait(60)
    assert done.returncode == 3
    assert "was removed while the run wrote to it: nothing is kept; run again" in " ".join(done.stderr.split())
    assert not out.exists(), "nothing is half-written in its place"


# -- workers between the levels of a sweep -------------------------------------------------------------


def levels(tmp_path, **load) -> tuple[Path, list[Path | str]]:
    """Where a run of two processes, a sweep if not told otherwise, leaves its folder, and the command's arguments."""
    scenario = {
        "target": "simulator", "models": ["sim/instant"], "requests": [{"prompt": "Hi", "max_tokens": 5}],
        "load": {"users": [2, 4], "duration": "0.3s", "processes": 2} | load,
    }  # fmt: skip
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(scenario))
    return tmp_path / "out", ["run", file, "--out", tmp_path / "out"]


def workers_of(process: Command) -> set[psutil.Process]:
    """The workers of a run that are alive now."""
    found = set()
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.Error):
            if "bench.load.worker" in child.cmdline():
                found.add(child)
    return found


def test_the_same_workers_send_every_level_of_a_sweep_and_end_with_it(tmp_path):
    out, arguments = levels(tmp_path)
    seen: set[psutil.Process] = set()
    with Command(arguments) as process:
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                seen |= workers_of(process)
            time.sleep(0.02)
        done = process.wait(60)
    run = open_run(*out.iterdir())
    assert done.returncode in (0, 3), done.stderr
    assert len(run.stages) == 2
    assert len(seen) == 2
    assert not psutil.wait_procs(seen, timeout=5.0)[1]


def test_a_worker_that_dies_in_a_pause_ends_the_run_which_is_reported_all_the_same(tmp_path):
    out, arguments = levels(tmp_path, pause="1s")
    with Command(arguments) as process:
        while not any(path.stat().st_size for path in out.glob("*/steps.jsonl")):
            assert process.poll() is None
            time.sleep(0.02)
        workers = workers_of(process)
        min(workers, key=lambda worker: worker.pid).kill()
        done = process.wait(90)
    run = open_run(*out.iterdir())
    assert done.returncode == 3
    assert "a worker process died or does not respond" in done.stderr
    assert "a worker process died" in " ".join(run.summary.validity.reasons)
    assert len(run.stages) == 1
    assert list(out.glob("*/report.html"))
    assert not psutil.wait_procs(workers, timeout=5.0)[1]


# -- parents and children -------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a request that never ends"])
def test_a_simulator_ends_with_its_parent(tmp_path, busy):
    command = [sys.executable, "-m", "bench.simulator", "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        host, port = json.loads(process.stdout.readline())["url"].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 9\r\n\r\n" if busy else b"")
            process.stdin.close()
            assert process.wait(10) is not None


def test_a_worker_whose_master_dies_before_the_order_or_before_the_beginning_ends():
    begun = subprocess.Popen([sys.executable, "-m", "bench.load.worker"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    begun.stdin.close()
    assert begun.wait(20) != 0
    begun.stderr.close()


def test_a_worker_that_is_silent_is_ended_and_the_others_are_waited_for():
    told = python("""
import subprocess
import sys
import bench.load
import gevent
from gevent.event import Event
from bench.load.job import LoadResult
from bench.load.workers import WorkerReports, watch
class Seen:
    def progress(self, progress): pass
    def warn(self, text): print(text)
reports = WorkerReports()
processes = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)]
def look():
    reports.silent_s[1] = 0.0  # the second speaks
    if processes[0].poll() is not None:
        reports.results[1] = LoadResult(0.0, 0.0, 1.0, 1, 0, "duration")
watch(reports, processes, None, Event(), Event(), Seen(), look, silence=0.3)
print(reports.ended, [process.poll() for process in processes])
processes[1].kill()
""")  # fmt: skip
    assert told == "worker 0 has not answered for 0.3 s and was ended; the others go on\n{0} [-9, None]\n"


def test_signals_are_as_they_were_when_a_load_is_over():
    told = python("""
import signal
import bench.load
from gevent.event import Event
from bench.load.runner import interrupts
def mine(*_): pass
signal.signal(signal.SIGTERM, mine)
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
with interrupts(lambda: None, Event(), Event()):
    print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
print(signal.getsignal(signal.SIGTERM) is mine, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
""")
    assert told == "True\nTrue True\n"


def test_what_locust_says_of_users_that_have_ended_is_not_shown():
    told = python("""
import logging
import bench.load
import gevent
from bench.load.runner import is_news
from locust import User
from locust.env import Environment
lines = []
class Kept(logging.Handler):
    def emit(self, line): lines.append(is_news(line))
logging.getLogger("locust.runners").addHandler(Kept(logging.ERROR))
class Nobody(User):
    fixed_count = 1
    tasks = [lambda user: gevent.sleep(60)]
runner = Environment(user_classes=[Nobody]).create_local_runner()
runner.start(1, spawn_rate=1)
gevent.sleep(0)
ended = gevent.spawn(int)
ended.join()
runner.user_greenlets.greenlets.add(ended)  # as one is that ended a moment ago
runner.stop_users({"Nobody": 2})
print(lines)
logging.getLogger("locust.runners").error("Timeout waiting for all workers to stop")
print(lines)
""")
    assert told == "[False]\n[False, True]\n"


# -- strangers at Locust's port -------------------------------------------------------------------------

STRANGERS = """
import json
import logging
import os
import socket
import sys
import bench.load
import gevent
import msgpack
import zmq.green as zmq
from locust import User, __version__
from locust.env import Environment
from bench.load.locust_socket import create_master, create_worker
from zmq import curve_keypair
logging.disable()
class Nobody(User): pass
master, address = create_master(Environment(user_classes=[Nobody]))
results = []
master.register_message("bench_result", lambda environment, msg, **_: results.append(msg.data))

def raw(content):
    with socket.create_connection(("127.0.0.1", address.port)) as stranger:
        stranger.sendall(content)
        gevent.sleep(0.05)

def say(*frames, server_key=None):
    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.setsockopt(zmq.IDENTITY, b"stranger")
    if server_key:
        dealer.curve_publickey, dealer.curve_secretkey = curve_keypair()
        dealer.curve_serverkey = server_key
    dealer.connect(f"tcp://127.0.0.1:{address.port}")
    dealer.send_multipart(frames)
    answered = dealer.poll(150)
    dealer.close()
    return answered

def message(*parts):
    return msgpack.dumps(parts)

GREETING = b"\\xff" + bytes(8) + b"\\x7f\\x03\\x01NULL" + bytes(48)
ready = message("client_ready", __version__, "stranger")
CASES = {
    "nothing": lambda: raw(b""),
    "HTTP": lambda: raw(b"GET / HTTP/1.1\\r\\n\\r\\n"),
    "noise": lambda: raw(os.urandom(4096)),
    "a greeting": lambda: raw(GREETING),
    "a greeting and noise": lambda: raw(GREETING + os.urandom(4096)),
    "a frame of 2^63 bytes": lambda: raw(GREETING + b"\\x02" + b"\\x7f" + b"\\xff" * 7 + b"x" * 1000),
    "many connections": lambda: [raw(b"\\xff") for _ in range(30)] and None,
    "client_ready": lambda: say(ready),
    "bench_result": lambda: say(message("bench_result", {"worker": 0, "result": {}}, "stranger")),
    "quit": lambda: say(message("quit", None, "stranger")),
    "no message": lambda: say(b"\\xc1\\xc1"),
    "empty": lambda: say(b""),
    "client_ready with a wrong key": lambda: say(ready, server_key=curve_keypair()[0]),
}
held = {}
for name, do in CASES.items():
    answered = do()
    held[name] = not answered and not len(master.clients) and not results
worker = create_worker(Environment(user_classes=[Nobody]), address)
gevent.sleep(0.1)
held["our own worker is let in afterwards"] = list(master.clients) == [worker.client_id]
worker.send_message("bench_result", {"worker": 1})
gevent.sleep(0.2)
held["and is heard"] = results == [{"worker": 1}]
listening = master.server.socket.getsockopt(zmq.LAST_ENDPOINT)
held["and it is this machine's port alone"] = listening.startswith(b"tcp://127.0.0.1:")
print(json.dumps(held))
sys.stdout.flush()
os._exit(0)
"""
NAMES = [
    "nothing", "HTTP", "noise", "a greeting", "a greeting and noise", "a frame of 2^63 bytes", "many connections",
    "client_ready", "bench_result", "quit", "no message", "empty", "client_ready with a wrong key",
    "our own worker is let in afterwards", "and is heard", "and it is this machine's port alone",
]  # fmt: skip


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return json.loads(made_once(tmp_path_factory, "strangers", partial(python, STRANGERS)))


@pytest.mark.parametrize("name", NAMES)
def test_a_stranger_at_locusts_port_is_not_heard_and_not_answered(strangers, name):
    assert strangers[name]


# -- strangers at the webhook listener ------------------------------------------------------------------

WEBHOOKS = """
import json
import os
import sys
import bench.load
import gevent
from gevent import socket
from bench.load import webhooks
from bench.load.webhooks import Listener
from bench.plan.scenario import Webhook
listener = Listener(Webhook())
listener.start()
place = listener.url.partition("://")[2]
address, _, path = place.partition("/")
host, port = address.split(":")

def send(content, *, wait=3.0):
    "The status that comes back; none where the connection is closed without one."
    with socket.create_connection((host, int(port))) as stranger:
        stranger.settimeout(wait)
        try:
            stranger.sendall(content)
            answer = stranger.recv(4096)
        except ConnectionError:
            return "none"
        except TimeoutError:
            return "waiting"
    return answer.split(b" ")[1].decode() if answer else "none"

def post(body, *, where=f"/{path}", method="POST", extra="", length=None):
    head = f"{method} {where} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: {len(body) if length is None else length}\\r\\n{extra}\\r\\n"
    return send(head.encode() + body)

def result(task):
    return json.dumps({"payload": {"task": {"task_id": task}}}).encode()

said = {}
said["no path"] = post(result("a"), where="/")
said["the path without its secret"] = post(result("a"), where="/webhook")
said["a guessed secret"] = post(result("a"), where="/webhook/0123456789abcdef")
said["an odd path"] = post(result("a"), where="/%ff%00/" + path[-5:])
said["GET"] = post(b"", method="GET")
said["PUT"] = post(result("a"), method="PUT")
said["a made-up method"] = post(result("a"), method="\\x7f")
said["no JSON"] = post(b"{")
said["another shape"] = post(b"[1]")
said["deep JSON"] = post(b"[" * 100000)
said["an id that is a list"] = post(result(["a"]))
said["an id that is very long"] = post(result("a" * 10000))
said["a body that is too large"] = post(b"x", length=10**12)
said["a length that is none"] = post(b"x", length="ten")
said["a negative length"] = post(b"x", length=-1)
said["noise"] = send(os.urandom(2000).replace(b"\\n", b"") + b"\\r\\n\\r\\n")
said["a line that never ends"] = send(b"G" * 20000)
said["10,000 headers"] = send(f"POST /{path} HTTP/1.1\\r\\n".encode() + b"A: b\\r\\n" * 10000 + b"\\r\\n")
said["a chunked body"] = send(f"POST /{path} HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n".encode()
                             + b"%x\\r\\n%s\\r\\n0\\r\\n\\r\\n" % (len(result("c")), result("c")))
said["broken chunks"] = send(f"POST /{path} HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nxyz\\r\\n".encode())
slow = [gevent.spawn(send, f"POST /{path} HTTP/1.1\\r\\nA".encode(), wait=30.0) for _ in range(20)]
gevent.sleep(0.1)
said["a result while others are slow"] = post(result("b"))
said["it is handed over"] = str(listener.wait_for("b", 0.1) is not None)
said["the chunked one too"] = str(listener.wait_for("c", 0.1) is not None)
said["told again after that"] = post(result("b"))
for number in range(3 * webhooks.EARLY // 2):
    listener._hand_over(f"t{number}", 0.0, b"x")
said["what nobody asks for is forgotten"] = str(len(listener._early))
for number in range(20):
    listener._hand_over(f"large{number}", 0.0, b"x" * webhooks.LARGEST)
said["and bounded in bytes"] = str(listener._early_bytes <= webhooks.EARLY_BYTES)
said["what was waited for in vain is forgotten"] = str(listener.wait_for("never", 0.01)) + str(len(listener._waiting))
gevent.joinall(slow)
said["slow ones are ended"] = " ".join(sorted({one.value for one in slow}))
url = Listener(Webhook(url="https://me.example/hook?a=b")).url
said["the scenario's own address keeps its query"] = str(url.startswith("https://me.example/hook/") and url.endswith("?a=b"))
listener.close()
print(json.dumps(said))
"""
ANSWERS = {
    "no path": "404", "the path without its secret": "404", "a guessed secret": "404", "an odd path": "404",
    "GET": "405", "PUT": "405", "a made-up method": "405", "no JSON": "400", "another shape": "400",
    "deep JSON": "400", "an id that is a list": "400", "an id that is very long": "400",
    "a body that is too large": "413", "a length that is none": "400", "a negative length": "400", "noise": "400",
    "a line that never ends": "414", "10,000 headers": "400", "a chunked body": "200", "broken chunks": "400",
    "a result while others are slow": "200", "it is handed over": "True", "the chunked one too": "True",
    "told again after that": "200", "what nobody asks for is forgotten": "1000", "and bounded in bytes": "True",
    "what was waited for in vain is forgotten": "None0", "slow ones are ended": "none",
    "the scenario's own address keeps its query": "True",
}  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return json.loads(made_once(tmp_path_factory, "webhooks", partial(python, WEBHOOKS)))


@pytest.mark.parametrize(("name", "answer"), ANSWERS.items())
def test_whatever_comes_to_the_webhook_listener_is_answered_and_bounded(told, name, answer):
    assert told[name] == answer
