"""Does anything that a server may send make a reader raise, or leave a record that cannot be read back? Does any run that
such records make stop a report, or have its forms tell different numbers?

    python benchmarks/fuzz.py [--minutes 10] [--seed 1]

Good answers of every API are broken at random: values of another type, size or depth, keys that are gone or come twice,
cut and spliced bytes, invalid UTF-8, odd headers, other reads. Each becomes a record, which must hold finite numbers
and short words. Beside them random runs are drawn in every form. Prints the inputs tried per reader and each kind of failure with its place and its smallest input;
the exit code is 1 where there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from random import Random

import orjson

from bench.load.checks import Checks
from bench.load.record_builder import Meaning, RunClock, Slot, Try, to_record
from bench.plan import Planned
from bench.records import Record

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.mutations import READERS, Reader, Reading, hold_headers, plain
from tests.random_runs import hold_drawers, random_run

ROUND = 50  # inputs of one reader before it is the next one's turn
SLOW_S = 1.0  # an answer of some kilobytes that takes longer to read is a finding
Place = tuple[str, str, str]  # the reader, what was raised, where


def place_of(reader: str, error: Exception) -> Place:
    frames = traceback.extract_tb(error.__traceback__)
    ours = next((frame for frame in reversed(frames) if "/bench/" in frame.filename), frames[-1])
    what = f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
    return reader, what, f"{Path(ours.filename).name}:{ours.lineno} {ours.name}"


def record_of(reader: Reader, reading: Reading) -> Record:
    """As a load makes it."""
    planned = Planned(
        seq=0, k=0, name="fuzz", model="m", api=reader.api, stream=reader.stream, input="", parameters={}, extra_body={}
    )
    one = Try(reading.exchange, job_result=reading.job_result)
    meaning = Meaning(reading.answer, reading.outcome, reading.error, Checks())
    return to_record(planned, Slot("measure", 0, 0, None), [one], [meaning], RunClock(0.0), lambda text: text)


def hold(reader: Reader, bodies: tuple[bytes, ...], seed: str) -> None:
    """Read to a record, write it, read it back. Raises whatever is a finding."""
    record = record_of(reader, reader.hold(bodies, Random(seed)))
    assert orjson.loads(orjson.dumps(record)) == plain(asdict(record)), "it is read back as something else"


def broken_by(reader: Reader, bodies: tuple[bytes, ...], seed: str) -> Place | None:
    """Where reading these bodies fails; None where it does not."""
    begun = time.perf_counter()
    try:
        hold(reader, bodies, seed)
    except Exception as error:
        return place_of(reader.name, error)
    took = time.perf_counter() - begun
    return (reader.name, f"it takes more than {SLOW_S:g} s", "") if took > SLOW_S else None


def smaller(reader: Reader, bodies: tuple[bytes, ...], seed: str, place: Place) -> tuple[bytes, ...]:
    """The same failure with as little as possible: pieces are taken away as long as it stays."""
    for number in range(len(bodies)):
        size = len(bodies[number]) // 2
        while size:
            at = 0
            while at < len(bodies[number]):
                less = bodies[number][:at] + bodies[number][at + size :]
                tried = (*bodies[:number], less, *bodies[number + 1 :])
                if broken_by(reader, tried, seed) == place:
                    bodies = tried
                else:
                    at += size
            size //= 2
    return bodies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("error")
    tried: Counter[str] = Counter()
    found: dict[Place, tuple[bytes, ...]] = {}
    until, turn = time.monotonic() + 60.0 * given.minutes, 0
    while time.monotonic() < until:
        for reader in READERS:
            for number in range(turn, turn + ROUND):
                seed = f"{given.seed}:{reader.name}:{number}"
                bodies = reader.input(Random(seed))
                place = broken_by(reader, bodies, seed)
                if place is not None and place not in found:
                    found[place] = smaller(reader, bodies, seed, place)
            tried[reader.name] += ROUND
        for number in range(turn, turn + ROUND):
            try:
                hold_headers(Random(f"{given.seed}:headers:{number}"))
            except Exception as error:
                found.setdefault(
                    place_of("headers", error), (f"headers of seed {given.seed}, number {number}".encode(),)
                )
        tried["headers"] += ROUND
        try:
            with tempfile.TemporaryDirectory() as folder:
                hold_drawers(
                    random_run(Random(f"{given.seed}:run:{turn}"), Path(folder)), drawn=turn % (8 * ROUND) == 0
                )
        except Exception as error:
            found.setdefault(place_of("runs", error), (f"run of seed {given.seed}, number {turn}".encode(),))
        tried["runs"] += 1
        turn += ROUND
    for name, count in tried.items():
        print(f"{name:24} {count:>9,} inputs")
    print(f"{'all':24} {sum(tried.values()):>9,} inputs, {len(found)} distinct findings")
    for (name, what, where), bodies in sorted(found.items()):
        print(f"\n{name}: {what}\n    at {where}")
        for body in bodies:
            print(f"    {body[:300]!r}{' …' if len(body) > 300 else ''}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
