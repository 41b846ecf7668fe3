"""Is what `kind: prompt_cache` finds true? Simulated caches with a known truth, lying ones, honest ones, a real engine.

    python benchmarks/prompt_cache.py [--caches 40] [--repetitions 1000] [--seed 1] [--engine]

The caches and their accounts are the simulator's, on a simulated clock; with --engine, llama.cpp is asked instead.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis import open_run
from bench.simulator.config import PrefixCache
from bench.targets.servers import llama_cpp
from tests.cached_server import CachedServer, Explored, explore, question
from tests.forks import Command

ALL = ("savings", "granularity", "lifetime")
BUDGET = {"requests": 100_000, "duration": "2h"}
LONGEST_S = 900.0  # of a run against the engine
ENGINE_TOKENS = 128  # of its prompts, which take it a second or so
SLOTS = 4  # of the engine: prompts that it keeps


def some_cache(rng: random.Random) -> PrefixCache:
    """Any cache that tells of itself."""
    block = rng.choice([1, 16, 32, 64, 100, 128, 256])
    replicas = rng.choice([1, 1, 1, 2, 4])
    return PrefixCache(
        block=block,
        minimum=block * rng.randint(1, max(1, 1024 // block)),
        ttl=math.exp(rng.uniform(math.log(4.0), math.log(900.0))),
        refresh=rng.random() < 0.5,
        capacity=rng.choice([None, None, 200_000]),
        replicas=replicas,
        routing=rng.choice(["random", "prefix", "sticky"]) if replicas < 3 else rng.choice(["prefix", "sticky"]),
        scope=rng.choice(["shared", "key"]),
        usage=rng.choice(["openai", "deepseek"]),
    )


def some_server(rng: random.Random, config: PrefixCache | None) -> CachedServer:
    return CachedServer(config, rng, per_token=rng.uniform(0.00005, 0.0004), noise=rng.uniform(0.002, 0.03))


def judged(one: Explored) -> dict[str, bool]:
    """What was found right."""
    config, found = one.server.config, one.found
    assert config is not None
    smallest = -(-max(config.minimum, 1) // config.block) * config.block
    low, high = found.lifetime or (math.inf, -math.inf)
    return {
        "minimum": found.minimum_tokens == smallest,
        "block": found.block_tokens == config.block,
        "lifetime": low <= config.ttl <= (math.inf if high is None else high),
        "refreshed": found.refreshed in (None, config.refresh),
        "dollars": found.cost_usd is not None and abs(found.cost_usd - float(one.server.ledger.usd)) < 0.005,
    }


def caches(many: int, seed: int) -> dict[str, int]:
    """How many of so many caches were found right."""
    right = dict.fromkeys(("minimum", "block", "lifetime", "refreshed", "dollars"), 0)
    for place in range(many):
        rng = random.Random(f"{seed}:{place}")
        one = explore(some_server(rng, some_cache(rng)), question(learn=ALL, budget=BUDGET), seed=place)
        verdicts = judged(one)
        for name, good in verdicts.items():
            right[name] += good
        if not all(verdicts.values()):
            print("  missed", [name for name, good in verdicts.items() if not good], one.server.config,
                  one.found.minimum_tokens, one.found.block_tokens, one.found.lifetime)  # fmt: skip
    return right


def coverage(repetitions: int, seed: int) -> float:
    """How often the interval of the TTFT that a hit saves covers the truth."""
    asked, covered = question(learn=["savings"], requests=[{"prompt": {"tokens": 400}, "max_tokens": 1}]), 0
    for place in range(repetitions):
        rng = random.Random(f"{seed}:coverage:{place}")
        server = some_server(rng, PrefixCache(block=16, minimum=16))
        one = explore(server, asked, seed=place)
        longest = one.found.longest
        assert longest is not None
        assert longest.saved is not None
        covered += longest.saved.low <= server.truly_saved(one.rows) <= longest.saved.high
    return covered / repetitions


def forgetful(many: int, seed: int, *, shape: float) -> tuple[int, int, int]:
    """Of so many caches that forget one by one, by a gamma distribution (shape 1: at random; 10: after ten prompts of
    others, which come at random): how many were seen to, and of these how many half-lives lie in their interval; and
    of those not seen to, how many lie in the interval of the curve all the same."""
    unit = gamma_median(shape)
    seen = right = others = 0
    for place in range(many):
        rng = random.Random(f"{seed}:forgetful:{shape}:{place}")
        half = math.exp(rng.uniform(math.log(5.0), math.log(300.0)))
        server = some_server(rng, PrefixCache(block=64, minimum=64, refresh=False))
        server.lifetimes = lambda rng=rng, half=half: rng.gammavariate(shape, half / unit)  # type: ignore[misc]
        found = explore(server, question(learn=["savings", "lifetime"], budget=BUDGET), seed=place).found
        inside = found.curve is not None and bool(found.curve.low <= half <= found.curve.high)
        seen += found.gradual is not None
        right += found.gradual is not None and inside
        others += found.gradual is None and inside
    return seen, right, others


def gamma_median(shape: float) -> float:
    """Of the gamma distribution with this shape and scale 1."""
    from scipy.special import gammaincinv

    return float(gammaincinv(shape, 0.5))


def accused(many: int, seed: int, **lies: Any) -> int:
    """How many of so many caches were said to lie."""
    told = 0
    for place in range(many):
        rng = random.Random(f"{seed}:{sorted(lies.items())}:{place}")
        config = None if lies.get("none") else PrefixCache(block=64, minimum=64, **lies)
        server = CachedServer(config, rng, per_token=rng.uniform(0.0001, 0.0004), noise=rng.uniform(0.002, 0.03))
        told += explore(server, question(learn=["savings"]), seed=place).found.honest is False
    return told


def engine() -> None:
    """The cache of llama.cpp; its absence where it is switched off; and what pushes prompts out of its slots where it
    has no memory beside them."""
    on, off = (asked_of_engine(learn, cache_prompt=on) for learn, on in ((ALL, True), (ALL[:2], False)))
    print("llama.cpp, cache on:", found_by_engine(on), flush=True)
    print("llama.cpp, cache off:", found_by_engine(off), flush=True)
    with llama_cpp(slots=SLOTS, ram_mib=0) as served:
        slots = asked_of_engine(("savings", "lifetime"), cache_prompt=True, api="completions", target=served.url)
        print(f"llama.cpp, {SLOTS} slots and nothing else:", found_by_engine(slots), flush=True)
    print(f"  {SLOTS} other prompts of {ENGINE_TOKENS} tokens push one out of the slots, 3 don't")


def asked_of_engine(learn: Sequence[str], *, cache_prompt: bool, target: str = "llama.cpp", **of_class: Any) -> Any:
    """A scenario."""
    request = {"prompt": {"tokens": ENGINE_TOKENS}, "max_tokens": 1, "extra_body": {"cache_prompt": cache_prompt}}
    return {
        "kind": "prompt_cache", "name": "engine", "target": target, "models": ["SmolLM2-135M-Instruct"],
        "requests": [request | of_class], "learn": list(learn),
        "budget": {"requests": 400, "tokens": 100_000, "duration": "8m"},
    }  # fmt: skip


def found_by_engine(scenario: dict[str, Any]) -> str:
    """What a run finds, and what the engine's own timings say of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "engine.json"
        file.write_text(json.dumps(scenario))
        done = Command(["run", file, "--out", folder, "--no-report"]).wait(LONGEST_S)
        if not (runs := [path for path in Path(folder).iterdir() if path.is_dir()]):
            raise SystemExit(done.stderr)
        [found] = json.loads((runs[0] / "findings.json").read_bytes())["caches"]
        saved = prefill_saved(open_run(runs[0]).records)
    timed = (
        "" if saved is None else f"\n  by its own timings, a warm prompt's prefill is {saved:.4f} s shorter on average"
    )
    return json.dumps(found) + timed


def prefill_saved(rows: pd.DataFrame) -> float | None:
    """Seconds of prefill that the longest warm prompts saved, as the engine times it itself; None if it does not."""
    if "server.prompt_ms" not in rows:
        return None
    chosen = rows[rows["stage"].astype(str).str.startswith("savings")]
    tokens = chosen["stage"].astype(str).str.extract(r"(\d+)", expand=False).astype(int)
    means = chosen[tokens == tokens.max()].groupby(chosen["name"].astype(str))["server.prompt_ms"].mean()
    return float(means["cold"] - means["warm"]) / 1e3


def known(many: int, repetitions: int, seed: int) -> None:
    """Caches whose truth is known."""
    right = caches(many, seed)
    print(f"of {many} caches: " + ", ".join(f"{name} right {count}" for name, count in right.items()))
    print(f"a hit's TTFT saving: the 95 % interval covers the truth in {coverage(repetitions, seed):.1%} "
          f"of {repetitions}")  # fmt: skip
    for shape in (1.0, 4.0, 10.0):
        seen, right, others = forgetful(many, seed, shape=shape)
        print(f"forgetting one by one (gamma, shape {shape:g}): {seen} of {many} seen to, {right} half-lives in their "
              f"interval; {others} of the other {many - seen} curves hold it too")  # fmt: skip
    half = 10
    print(f"told and not faster: {accused(half, seed, saves=0.0)} of {half} called out")
    print(f"faster and told as 0: {accused(half // 2, seed, usage='zero')} of {half // 2} called out")
    print(f"faster and not told: {accused(half // 2, seed, usage='none')} of {half // 2} called out")
    honest = accused(14, seed) + accused(6, seed, none=True)
    print(f"honest, 14 with and 6 without a cache: {honest} of 20 accused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--caches", type=int, default=40)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", action="store_true", help="ask llama.cpp, and nothing else")
    given = parser.parse_args()
    if given.engine:
        engine()
    else:
        known(given.caches, given.repetitions, given.seed)


if __name__ == "__main__":
    main()
