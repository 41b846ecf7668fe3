"""False alarms and power of the gate, and of the rules that others use, on simulated worlds.

    python benchmarks/gate.py [--repetitions 1000] [--seed 1] [--quick]

A world has prompts of unequal length, noise, a drift of the server, stalls of ten seconds that hit both arms, and, for
rules that compare one run with a later one, a difference from run to run. The gate's statistics were chosen in this
weather; five others, in which they were not, try them too. Times are drawn, nothing is sent. The last table says what
the gate has to reach, and whether it did: the exit code is 1 if it did not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import exp, log, sqrt

import numpy as np

from bench.analysis import run_comparison
from bench.analysis.gate import Judged, decided, effect_of, judge, kept, looks, overall, verdict_of
from bench.analysis.run_comparison import ALPHA, SPREAD, Value, shift_of
from bench.metrics import PERCENTILES
from bench.plan.gate import Line, parse_gate

GATE = {
    "ttft p50": "5%",
    "ttft p95": "15%",
    "ttft p99": "40%",
    "ttft tail": "1.4%",
    "tpot p50": "5%",
    "error_rate": "1.5%",
}
PER_S = 5.0  # pairs a second
DRIFT_S, RUN = 60.0, 0.03  # how long a drift lasts; standard deviation of the log from run to run
STALL_S, STALL = 10.0, (0.6, 2.0)  # how long a stall lasts, how much it adds


@dataclass(frozen=True)
class Weather:
    """What a server does to either arm. Standard deviations are those of the log of a time."""

    prompt: float = 0.25  # from prompt to prompt
    noise: float = 0.20  # from request to request
    drift: float = 0.08  # of the server over time
    stall_every_s: float = 120.0  # infinite: never
    failing: float = 0.004  # share of requests that fail in either arm
    freedom: float = np.inf  # of the noise, Student's t: few degrees are a long tail; infinite: the normal distribution
    moods: float = 1.0  # two replicas, of which the other is so many times as slow; each request meets either


USUAL = Weather()
CALM = Weather(drift=0.0, stall_every_s=np.inf, failing=0.0)
LONG_TAIL = Weather(noise=0.25, freedom=3.0)
TWO_REPLICAS = Weather(noise=0.15, moods=1.5)
STORM = Weather(prompt=0.6, noise=0.35, drift=0.3, stall_every_s=30.0, failing=0.02)
THROTTLED = Weather(failing=0.3)


@dataclass(frozen=True)
class World:
    """What differs between the arms, and the weather that both have."""

    name: str
    slower: float = 1.0  # times the TTFT of every request
    tail: float = 0.0  # share of the requests that take twice as long
    failing: float = 0.0  # share of further failures
    weather: Weather = USUAL

    @property
    def truths(self) -> dict[str, float]:
        """What the lines of a gate should find, by metric or title: ratios, or differences of shares."""
        found = {"error_rate": self.failing * (1.0 - self.weather.failing)}
        if not self.failing:  # more failures are worst ranks: then the times alone are not the truth
            found["tpot"] = 1.0
            if not self.tail:
                found["ttft"] = self.slower
        if self.slower == 1.0 and not self.tail and not self.failing:
            found["ttft tail"] = 0.0
        return found


def common(rng: np.random.Generator, n: int, weather: Weather) -> np.ndarray:
    """What the server does over time, as a log: the same for both requests of a pair."""
    at = np.cumsum(rng.exponential(1 / PER_S, n))
    keep = exp(-1 / PER_S / DRIFT_S)
    shocks = rng.normal(0, weather.drift * np.sqrt(1 - keep**2), n).tolist()
    drift = np.array(list(accumulate(shocks, lambda was, shock: keep * was + shock)))
    stalls = np.zeros(n)
    for begin in rng.uniform(0, at[-1], rng.poisson(at[-1] / weather.stall_every_s)):
        stalls[(at >= begin) & (at < begin + STALL_S)] += np.log1p(rng.uniform(*STALL))
    return drift + stalls


def noise(rng: np.random.Generator, n: int, weather: Weather) -> np.ndarray:
    """What differs between the two requests of a pair, as a log."""
    drawn = rng.normal(0, 1, n) if np.isinf(weather.freedom) else rng.standard_t(weather.freedom, n)
    return weather.noise * drawn + log(weather.moods) * (rng.random(n) < 0.5)


def arm(rng: np.random.Generator, base: np.ndarray, world: World, *, changed: bool) -> np.ndarray:
    """The times of one arm; infinite where the request failed."""
    times = np.exp(base + noise(rng, len(base), world.weather))
    if changed:
        times *= world.slower
        times = np.where(rng.random(len(base)) < world.tail, 2 * times, times)
        times = np.where(rng.random(len(base)) < world.failing, np.inf, times)
    return np.where(rng.random(len(base)) < world.weather.failing, np.inf, times)


def paired(rng: np.random.Generator, n: int, world: World) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """TTFT, TPOT and failures of n pairs."""
    base = log(0.3) + rng.normal(0, world.weather.prompt, n) + common(rng, n, world.weather)
    a, b = arm(rng, base, world, changed=False), arm(rng, base, world, changed=True)
    still = log(0.02) + rng.normal(0, 0.05, n) + 0.5 * common(rng, n, world.weather)
    tpot = tuple(np.where(np.isinf(one), np.inf, np.exp(still + rng.normal(0, 0.06, n))) for one in (a, b))
    return {"ttft": (a, b), "tpot": tpot, "error_rate": (np.isinf(a) * 1.0, np.isinf(b) * 1.0)}


def gate(
    lines: tuple[Line, ...], samples: Mapping[str, tuple[np.ndarray, np.ndarray]], most: int
) -> tuple[str, int, list[Judged]]:
    """The gate's verdict, after how many pairs, and each line's."""
    judged: list[Judged] = []
    for pairs, alpha in looks(most):
        first = {line: tuple(one[:pairs] for one in samples[line.metric]) for line in lines}
        judged = kept(judge(lines, first, alpha), judged)
        if decided(judged):
            break
    return overall(judged), pairs, judged


# -- the rules that others use: one run after the other ---------------------------------------------------------


def apart(rng: np.random.Generator, n: int, world: World) -> tuple[np.ndarray, np.ndarray]:
    """Two runs, one after the other, each with weather of its own."""
    runs = []
    for changed in (False, True):
        base = log(0.3) + rng.normal(0, world.weather.prompt, n) + common(rng, n, world.weather) + rng.normal(0, RUN)
        times = arm(rng, base, world, changed=changed)
        runs.append(times[np.isfinite(times)])  # as those tools do: failures are left out
    return runs[0], runs[1]


def p50_threshold(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.median(b) > 1.05 * np.median(a))


def p50_sign(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.median(b) > np.median(a))


def p50_fifth(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.median(b) > 1.2 * np.median(a))


def mann_whitney(a: np.ndarray, b: np.ndarray) -> bool:
    from scipy import stats

    return bool(stats.mannwhitneyu(b, a, alternative="greater").pvalue < 0.05)


def intervals_apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two 95 % t intervals of the means do not overlap, with the candidate's above."""
    from scipy import stats

    ends = [stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x)) for x in (a, b)]
    return bool(ends[1][0] > ends[0][1])


RIVALS: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {
    "p50 worse by more than 5 %": p50_threshold,
    "p50 worse by more than 20 %": p50_fifth,
    "p50 worse at all (the sign)": p50_sign,
    "Mann-Whitney, one run after the other": mann_whitney,
    "95 % t intervals that do not overlap": intervals_apart,
}


# -- what was found ------------------------------------------------------------------------------------------------


@dataclass
class Tried:
    """A world, tried many times with so many pairs."""

    world: World
    pairs: int
    verdicts: list[str] = field(default_factory=list)
    used: list[float] = field(default_factory=list)  # share of the pairs
    covered: dict[str, list[bool]] = field(default_factory=dict)  # by line: whether its interval holds the truth

    def share(self, word: str) -> float:
        return float(np.mean([one == word for one in self.verdicts]))


@dataclass(frozen=True)
class Target:
    """Something that the gate has to reach."""

    name: str
    got: float
    least: float
    most: float = 1.0

    @property
    def reached(self) -> bool:
        return self.least <= self.got <= self.most


def trial(rng: np.random.Generator, world: World, pairs: int, given: Mapping[str, str], many: int) -> Tried:
    """The gate of these lines, on a world, so many times. Coverage is that of all pairs, whatever the looks."""
    lines, tried = parse_gate(given), Tried(world, pairs)
    for _ in range(many):
        samples = paired(rng, pairs, world)
        verdict, used, _ = gate(lines, samples, pairs)
        tried.verdicts.append(verdict)
        tried.used.append(used / pairs)
        for line in lines:
            truth = world.truths.get(line.title if line.statistic == "tail" else line.metric)
            if 1.0 - PERCENTILES.get(line.statistic, 0.5) <= world.weather.failing:
                continue  # the figure itself is that of a failure
            effect = effect_of(line, samples[line.metric])
            if truth is not None and effect.low is not None and effect.high is not None:
                tried.covered.setdefault(line.title, []).append(effect.low <= truth <= effect.high)
    return tried


P99 = {"ttft p99": "30%"}
TRIALS = (
    (World("equal arms"), 1000, GATE),
    (World("equal arms"), 2000, GATE),
    (World("TTFT 5 % slower", slower=1.05), 1000, GATE),
    (World("TTFT 10 % slower", slower=1.1), 1000, GATE),
    (World("p99 30 % higher, p99 alone", slower=1.3), 2000, P99),
    (World("3 % twice as slow", tail=0.03), 2000, GATE),
    (World("2 % more failures", failing=0.02), 1000, GATE),
)
OTHER_WEATHER = (
    (World("calm: equal arms", weather=CALM), 1000, GATE),
    (World("calm: TTFT 5 % slower", slower=1.05, weather=CALM), 1000, GATE),
    (World("long tail: equal arms", weather=LONG_TAIL), 1000, GATE),
    (World("long tail: TTFT 5 % slower", slower=1.05, weather=LONG_TAIL), 1000, GATE),
    (World("two replicas: equal arms", weather=TWO_REPLICAS), 1000, GATE),
    (World("two replicas: TTFT 5 % slower", slower=1.05, weather=TWO_REPLICAS), 1000, GATE),
    (World("storm: equal arms", weather=STORM), 1000, GATE),
    (World("storm: TTFT 20 % slower", slower=1.2, weather=STORM), 1000, GATE),
    (World("throttled: equal arms", weather=THROTTLED), 1000, GATE),
)
COUNTED = ("error_rate", "ttft tail")
"""Lines that count rare requests: a few whole numbers can't hold the truth in exactly 95 %, only in more."""
RUNS = ((1, 1), (5, 1), (10, 3))
SPREADS = (0.01, 0.02, 0.04)
WITHIN = 0.01  # sampling error of a run's p50


def stored(rng: np.random.Generator, runs: tuple[int, int], spread: float, slower: float, many: int) -> list[str]:
    """Verdicts on the p50 of runs kept on disk, each of which is off by what differs from run to run."""
    [line] = parse_gate({"ttft p50": "5%"})
    error = sqrt(spread**2 + WITHIN**2)
    found = []
    for _ in range(many):
        a = [Value(0.3 * exp(rng.normal(0, error)), WITHIN) for _ in range(runs[0])]
        b = [Value(0.3 * slower * exp(rng.normal(0, error)), WITHIN) for _ in range(runs[1])]
        found.append(verdict_on(line, a, b))
    return found


def verdict_on(line: Line, a: Sequence[Value], b: Sequence[Value]) -> str:
    """The verdict on one line alone, from the figure of each run of the baseline and of the candidate."""
    shift = shift_of(line, a, b, None, SPREAD)
    effect = run_comparison.effect_of(line, shift, len(a) + len(b))
    return verdict_of(line, effect, ALPHA, proven_worse=effect.larger <= ALPHA, unit="runs")[0]


def two_intervals(rng: np.random.Generator, spread: float, slower: float, many: int) -> float:
    """How often one run against another is called worse by its requests alone."""
    from scipy import stats

    error = sqrt(spread**2 + WITHIN**2)
    shift = log(slower) + rng.normal(0, error, many) - rng.normal(0, error, many)
    return float(np.mean(shift / (WITHIN * sqrt(2)) > stats.norm.ppf(0.95)))


def targets(tried: Sequence[Tried], seconds: float, *, slack: float = 0.0) -> list[Target]:
    """What the gate has to reach; with `slack`, for so few repetitions that a share is known to so much only."""
    by = {(one.world.name, one.pairs): one for one in tried}
    equal = [one for one in tried if "equal arms" in one.world.name]
    found = [
        Target(
            f"{one.world.name}, {one.pairs:,} pairs: false alarms of all lines and looks",
            one.share("fail"),
            0.0,
            0.05 + slack,
        )
        for one in equal
    ]
    found += [
        Target("equal arms, 1,000 pairs: pass", by["equal arms", 1000].share("pass"), 0.90 - slack),
        Target("TTFT 5 % slower, 1,000 pairs: fail", by["TTFT 5 % slower", 1000].share("fail"), 0.95 - slack),
        Target(
            "p99 30 % higher, 2,000 pairs: fail", by["p99 30 % higher, p99 alone", 2000].share("fail"), 0.95 - slack
        ),
        Target("3 % twice as slow, 2,000 pairs: fail", by["3 % twice as slow", 2000].share("fail"), 0.90 - slack),
    ]
    for name, most, lines in (("of times", min(1.0, 0.97 + slack), False), ("of counts", 1.0, True)):
        shares = [
            (float(np.mean(holds)), f"{line}, {one.world.name}")
            for one in tried
            for line, holds in one.covered.items()
            if (line in COUNTED) == lines
        ]
        for end in (min, max):
            share, where = end(shares)
            found.append(Target(f"intervals {name} that hold the truth: {'least' if end is min else 'most'} ({where})",
                                share, 0.93 - slack, most))  # fmt: skip
    return [*found, Target("100,000 pairs are judged in, s", seconds, 0.0, 20.0)]


def print_coverage(tried: Sequence[Tried]) -> None:
    """In how many repetitions a 95 % interval held the truth, by world and line; of all pairs, without looks."""
    titles = [line.title for line in parse_gate(GATE)]
    print("\n95 % intervals that hold the truth:\n")
    print(f"{'world':<30}{'pairs':>7}" + "".join(f"{title:>12}" for title in titles))
    for one in tried:
        cells = [f"{np.mean(one.covered[title]):>12.1%}" if title in one.covered else f"{'':>12}" for title in titles]
        print(f"{one.world.name:<30}{one.pairs:>7}" + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="40 repetitions, with bounds for so few")
    given = parser.parse_args()
    many = 40 if given.quick else given.repetitions
    rng = np.random.default_rng(given.seed)
    print(f"The gate {GATE}, {many} repetitions, up to three looks:\n")
    print(f"{'world':<30}{'pairs':>7}{'fail':>9}{'pass':>9}{'inconcl.':>10}{'pairs used':>12}")
    tried = []
    for world, pairs, lines in (*TRIALS, *OTHER_WEATHER):
        one = trial(rng, world, pairs, lines, many)
        tried.append(one)
        words = [one.share(word) for word in ("fail", "pass", "inconclusive")]
        print(
            f"{world.name:<30}{pairs:>7}{words[0]:>9.1%}{words[1]:>9.1%}{words[2]:>10.1%}{np.mean(one.used):>12.0%}",
            flush=True,
        )
    print_coverage(tried)
    print("\nThe rules that others use, a run of 1,000 requests and then another:\n")
    print(f"{'rule':<42}{'alarms on equal servers':>24}{'finds 5 % slower':>18}{'finds 3 % twice as slow':>25}")
    for name, rule in RIVALS.items():
        shares = [
            np.mean([rule(*apart(rng, 1000, world)) for _ in range(many)])
            for world in (World(""), World("", slower=1.05), World("", tail=0.03))
        ]
        print(f"{name:<42}{shares[0]:>24.1%}{shares[1]:>18.1%}{shares[2]:>25.1%}", flush=True)
    print(
        "\nRuns kept on disk, ttft p50: 5 % (bench compare): fail on equal servers / on one 5 % slower / 50 % slower\n"
    )
    print(f"{'runs (baseline, candidate)':<42}" + "".join(f"{f'sd {spread:.0%}':>24}" for spread in SPREADS))
    for runs in RUNS:
        cells = []
        for spread in SPREADS:
            shares = [
                np.mean([word == "fail" for word in stored(rng, runs, spread, slower, many)])
                for slower in (1.0, 1.05, 1.5)
            ]
            cells.append(" / ".join(f"{share:.1%}" for share in shares))
        print(f"{f'{runs[0]}, {runs[1]}':<42}" + "".join(f"{cell:>24}" for cell in cells))
    naive = [
        " / ".join(f"{two_intervals(rng, spread, slower, 20_000):.1%}" for slower in (1.0, 1.05, 1.5))
        for spread in SPREADS
    ]
    print(f"{'1, 1, by the requests within them alone':<42}" + "".join(f"{cell:>24}" for cell in naive))
    lines = parse_gate(GATE)
    samples = paired(rng, 100_000, World("", slower=1.05))
    began = time.perf_counter()
    judge(lines, {line: samples[line.metric] for line in lines}, 0.05)
    wanted = targets(tried, time.perf_counter() - began, slack=0.10 if given.quick else 0.0)
    print(f"\n{'What it has to reach':<112}{'bound':>16}{'got':>9}")
    for one in wanted:
        small = one.most <= 1.0
        bound = (f"≥ {one.least:.0%}" if one.most >= 1.0 else f"≤ {one.most:.0%}" if one.least <= 0.0
                 else f"{one.least:.0%} – {one.most:.0%}") if small else f"≤ {one.most:g}"  # fmt: skip
        got = f"{one.got:.1%}" if small else f"{one.got:.1f}"
        print(f"{one.name:<112}{bound:>16}{got:>9}  {'reached' if one.reached else 'MISSED'}")
    sys.exit(0 if all(one.reached for one in wanted) else 1)


if __name__ == "__main__":
    main()
