"""False alarms and power of the gate, and of the rules that others use, on simulated worlds.

    python benchmarks/gate.py [--repetitions 1000] [--seed 1]

A world has prompts of unequal length, noise, a drift of the server, stalls of ten seconds that hit both arms, and, for
rules that compare one run with a later one, a difference from run to run. Times are drawn, nothing is sent.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

import numpy as np
from scipy import stats
from scipy.signal import lfilter

from bench.analysis.gate import Judged, decided, effect_of, judge, looks, overall
from bench.plan.gate import Line, parse_gate

GATE = {"ttft p50": "5%", "ttft p95": "15%", "ttft p99": "30%", "ttft tail": "2%", "tpot p50": "5%", "error_rate": "1%"}
PER_S = 5.0  # pairs a second
PROMPT, NOISE, DRIFT, DRIFT_S, RUN = 0.25, 0.20, 0.08, 60.0, 0.03  # standard deviations of the log; of the drift also s
STALL_EVERY_S, STALL_S, STALL = 120.0, 10.0, (0.6, 2.0)  # how often, how long, how much is added
FAILING = 0.004  # share of requests that fail in either arm


@dataclass(frozen=True)
class World:
    """What differs between the arms."""

    name: str
    slower: float = 1.0  # times the TTFT of every request
    tail: float = 0.0  # share of the requests that take twice as long
    failing: float = 0.0  # share of further failures


def common(rng: np.random.Generator, n: int) -> np.ndarray:
    """What the server does over time, as a log: the same for both requests of a pair."""
    at = np.cumsum(rng.exponential(1 / PER_S, n))
    keep = np.exp(-1 / PER_S / DRIFT_S)
    drift = lfilter([1.0], [1.0, -keep], rng.normal(0, DRIFT * np.sqrt(1 - keep**2), n))
    stalls = np.zeros(n)
    for begin in rng.uniform(0, at[-1], rng.poisson(at[-1] / STALL_EVERY_S)):
        stalls[(at >= begin) & (at < begin + STALL_S)] += np.log1p(rng.uniform(*STALL))
    return drift + stalls


def arm(rng: np.random.Generator, base: np.ndarray, world: World | None) -> np.ndarray:
    """The times of one arm; infinite where the request failed."""
    times = np.exp(base + rng.normal(0, NOISE, len(base)))
    failing = FAILING
    if world is not None:
        times *= world.slower
        times = np.where(rng.random(len(base)) < world.tail, 2 * times, times)
        failing += world.failing
    return np.where(rng.random(len(base)) < failing, np.inf, times)


def paired(rng: np.random.Generator, n: int, world: World) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """TTFT, TPOT and failures of n pairs."""
    base = log(0.3) + rng.normal(0, PROMPT, n) + common(rng, n)
    a, b = arm(rng, base, None), arm(rng, base, world)
    still = log(0.02) + rng.normal(0, 0.05, n) + 0.5 * common(rng, n)
    tpot = tuple(np.where(np.isinf(one), np.inf, np.exp(still + rng.normal(0, 0.06, n))) for one in (a, b))
    return {"ttft": (a, b), "tpot": tpot, "error_rate": (np.isinf(a) * 1.0, np.isinf(b) * 1.0)}


def gate(
    lines: tuple[Line, ...], samples: Mapping[str, tuple[np.ndarray, np.ndarray]], most: int
) -> tuple[str, int, list[Judged]]:
    """The gate's verdict, after how many pairs, and each line's."""
    for pairs, alpha in looks(most):
        first = {line: tuple(one[:pairs] for one in samples[line.metric]) for line in lines}
        judged = judge(lines, first, alpha)
        if decided(judged):
            break
    return overall(judged), pairs, judged


# -- the rules that others use: one run after the other ---------------------------------------------------------


def apart(rng: np.random.Generator, n: int, world: World) -> tuple[np.ndarray, np.ndarray]:
    """Two runs, one after the other, each with weather of its own."""
    runs = []
    for change in (None, world):
        base = log(0.3) + rng.normal(0, PROMPT, n) + common(rng, n) + rng.normal(0, RUN)
        times = arm(rng, base, change)
        runs.append(times[np.isfinite(times)])  # as those tools do: failures are left out
    return runs[0], runs[1]


def p50_threshold(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.median(b) > 1.05 * np.median(a))


def p50_sign(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.median(b) > np.median(a))


def p50_fifth(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.median(b) > 1.2 * np.median(a))


def mann_whitney(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(stats.mannwhitneyu(b, a, alternative="greater").pvalue < 0.05)


def intervals_apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two 95 % t intervals of the means do not overlap, with the candidate's above."""
    ends = [stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x)) for x in (a, b)]
    return bool(ends[1][0] > ends[0][1])


RIVALS: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "p50 worse by more than 5 %": p50_threshold,
    "p50 worse by more than 20 %": p50_fifth,
    "p50 worse at all (the sign)": p50_sign,
    "Mann-Whitney, one run after the other": mann_whitney,
    "95 % t intervals that do not overlap": intervals_apart,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    lines, rng, many = parse_gate(GATE), np.random.default_rng(given.seed), given.repetitions
    print(f"The gate {GATE}, {many} repetitions, up to three looks:\n")
    print(
        f"{'world':<28}{'pairs':>7}{'fail':>9}{'pass':>9}{'inconcl.':>10}{'pairs used':>12}{'p50 covers':>12}{'p99 covers':>12}"
    )
    for world, n in (
        (World("equal arms"), 1000),
        (World("equal arms"), 2000),
        (World("TTFT 5 % slower", slower=1.05), 1000),
        (World("TTFT 10 % slower", slower=1.1), 1000),
        (World("TTFT 30 % slower", slower=1.3), 2000),
        (World("3 % twice as slow", tail=0.03), 2000),
        (World("2 % more failures", failing=0.02), 1000),
    ):
        verdicts, used, covered, covered_p99, found_p99 = [], [], [], [], []
        p50, p99 = lines[0], lines[2]
        for _ in range(many):
            samples = paired(rng, n, world)
            verdict, pairs, _ = gate(lines, samples, n)
            verdicts.append(verdict)
            used.append(pairs)
            for line, found in ((p50, covered), (p99, covered_p99)):
                effect = effect_of(line, samples["ttft"])
                found.append(effect.low is not None and effect.low <= world.slower <= effect.high)
            found_p99.append(effect.larger <= 0.05)
        share = {word: np.mean([one == word for one in verdicts]) for word in ("fail", "pass", "inconclusive")}
        cover = "" if world.tail else f"{np.mean(covered):>11.1%} {np.mean(covered_p99):>11.1%}"
        print(f"{world.name:<28}{n:>7}{share['fail']:>9.1%}{share['pass']:>9.1%}{share['inconclusive']:>10.1%}"
              f"{np.mean(used) / n:>12.0%}{cover}"
              + (f"   (p99 alone found worse: {np.mean(found_p99):.1%})" if world.slower > 1.2 else ""))  # fmt: skip
    print("\nThe rules that others use, a run of 1,000 requests and then another:\n")
    print(f"{'rule':<42}{'alarms on equal servers':>24}{'finds 5 % slower':>18}")
    for name, rule in RIVALS.items():
        alarms = np.mean([rule(*apart(rng, 1000, World(""))) for _ in range(many)])
        finds = np.mean([rule(*apart(rng, 1000, World("", slower=1.05))) for _ in range(many)])
        print(f"{name:<42}{alarms:>24.1%}{finds:>18.1%}")
    samples = paired(rng, 100_000, World("", slower=1.05))
    began = time.perf_counter()
    judge(lines, {line: samples[line.metric] for line in lines}, 0.05)
    print(f"\n100,000 pairs are judged in {time.perf_counter() - began:.1f} s.")


if __name__ == "__main__":
    main()
