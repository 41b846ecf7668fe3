"""What the records of one model say about its cache. Every number is made of a run's rows alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.analysis.charges import input_cost, miscounted
from bench.analysis.costs import beyond_the_prompt
from bench.analysis.figures import mean_of
from bench.analysis.statistics import Interval, mean_interval, slope_interval
from bench.analysis.survival import Look, SurvivalCurve, survival_curve
from bench.experiments.prompt_cache.hits import ANSWERED, HIT, REAL, limit_by_time, misses_needed
from bench.plan.prices import Price

SURE = 0.999  # confidence with which a cache is said to lie, or to be there though it says nothing
FASTER = 1.5  # times what the reported tokens explain, that a server saves before it is said to report too few
PART = 0.05  # share of a known prompt that is said to be read, from which on something is
FEWEST_LATER = 2  # hits among the few prompts that are read later; a single one may be chance
KnownBy = Literal["usage", "time"]


@dataclass(frozen=True, slots=True)
class Saving:
    """Cold and warm prompts of one length."""

    tokens: float  # of the prompts, on average
    pairs: int
    hits: int | None  # of the warm ones, as the server says; None: it says nothing
    hits_by_time: int | None  # as their TTFT says; None: it cannot tell
    disagree: int | None  # warm ones of which the server and the time say different things
    cold: Interval | None  # TTFT, s
    warm: Interval | None  # of hits where the server tells them, else of all
    saved: Interval | None  # cold − warm within pairs, s; of hits as `warm` is
    saved_on_average: Interval | None  # of all pairs, hits or not
    cached: float | None  # tokens read by a hit, on average


@dataclass(frozen=True, slots=True)
class Survival:
    """One beginning that was read once."""

    shortest: float  # s; its age was at least this
    longest: float  # s; and at most this
    read: bool
    beside: float  # tokens of other prompts that were written meanwhile


@dataclass(frozen=True, slots=True)
class Estimates:
    """One model's cache; None is not learned."""

    model: str
    tells: bool | None  # whether answers state cached tokens
    exists: bool | None  # whether prompts are read from it a moment after they were sent
    reported: bool | None  # whether the server reports hits
    part: float | None  # share of a known prompt that it says it read, if that is too little for a hit; else None
    honest: bool | None  # whether the hits that are reported and those by time agree
    savings: tuple[Saving, ...]
    prefill: Interval | None  # s per prompt token, by cold prompts
    per_token: Interval | None  # s saved per cached token
    common_tokens: int  # read from the cache for every prompt, such as those of a chat template
    minimum_tokens: int | None
    block_tokens: int | None
    lifetime: tuple[float, float | None] | None  # s; between which it lies; None: longer than was tried
    refreshed: bool | None
    survival: tuple[Survival, ...]
    curve: SurvivalCurve | None  # None: all were read, or none, or few were tried
    evicted: tuple[float, float | None] | None  # tokens of other prompts between which a beginning is pushed out
    hits_by_time: bool  # whether single hits are recognized by their TTFT, as the server reports none
    at_once: dict[int, tuple[int, int]]  # hits and reads, by how many asked at a time
    at_rate: dict[int, tuple[int, int]]  # the same by requests per minute that read one beginning
    shared: bool | None  # whether a second key reads what the first wrote
    other_hits: tuple[int, int] | None  # of the second key, of how many
    cost_usd: float | None
    saved_usd: float | None
    writes_usd: float | None
    later: tuple[int, int] | None  # hits and reads some seconds later, where there were no hits before
    cold_hits: tuple[int, int] | None  # hits that are reported of new prompts, and how many there were
    miscounted: str | None  # what cannot be in the server's counts; None: nothing
    break_even: float | None  # reads of each written token with which writing pays; None where prices are unknown

    @property
    def gradual(self) -> SurvivalCurve | None:
        """How prompts are forgotten one by one; None if all are at one age, as far as is known."""
        return self.curve if self.curve is not None and self.curve.gradual else None

    @property
    def is_late(self) -> bool:
        """Whether prompts are read from the cache only when they are sent again some seconds later."""
        return not self.exists and self.later is not None and self.later[0] >= FEWEST_LATER

    @property
    def longest(self) -> Saving | None:
        return self.savings[-1] if self.savings else None


def estimates(model: str, rows: pd.DataFrame, price: Price | None) -> Estimates:
    """What one model's records say."""
    good = rows[rows["outcome"].isin(ANSWERED) & (rows["model"] == model)]
    good = good.assign(took=good["ttft_s"].fillna(good["e2e_s"]))
    told = good["cached_tokens"].notna()
    tells = bool(told.any()) if len(good) else None
    prefill = slope_of_prefill(good)
    savings = tuple(savings_of(good, prefill))
    reported = hits_are_told(savings) if tells else (False if savings else None)
    part = None if reported else part_of(good)
    exists, honest = judged(savings, prefill, reported, part or 0.0)
    good, known = with_hits(good, prefill, reported)
    new_hits = cold_hits(good) if reported else None
    if new_hits is not None and new_hits[0] == new_hits[1]:  # what else it says of its cache means nothing
        good = good[good["stage"].str.startswith("savings")]
    minimum, block = granularity(good[~miscounted(good)])
    survival = tuple(survival_of(good))
    pushed_out = evicted(good, oldest_read(survival), by_time=known == "time")
    fresh = fresh_hits(good, by_time=known == "time")
    lifetime = lifetime_of(survival, fresh, pushed_out, by_time=known == "time")
    curve = curve_of(survival, fresh, pushed_out)
    shared, other = scope(good, known=known)
    impossible = beyond_the_prompt(good)
    return Estimates(
        model=model,
        tells=tells,
        exists=exists,
        reported=reported,
        part=part,
        honest=honest,
        savings=savings,
        prefill=prefill,
        per_token=saved_per_token(good) if reported and impossible is None else None,
        common_tokens=common_of(good),
        minimum_tokens=minimum,
        block_tokens=block,
        lifetime=lifetime,
        refreshed=None if curve is not None and curve.gradual else refreshed(good, lifetime),
        survival=survival,
        curve=curve,
        evicted=pushed_out,
        hits_by_time=known == "time",
        at_once=hits_by_stage(good, "parallel,"),
        at_rate=hits_by_stage(good, "rate,"),
        shared=shared,
        other_hits=other,
        later=later_hits(good),
        cold_hits=new_hits,
        miscounted=impossible,
        **dollars(rows[rows["model"] == model], price),
    )


# -- savings --------------------------------------------------------------------------------------------------


def pairs_of(good: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair of which both were answered: cold and warm TTFT, tokens, cached, length by its stage."""
    chosen = good[good["stage"].str.startswith("savings")]
    cold = chosen[chosen["name"] == "cold"].set_index("pair")
    warm = chosen[chosen["name"] == "warm"].set_index("pair")
    both = cold.index.intersection(warm.index)
    cold, warm = cold.loc[both], warm.loc[both]
    return pd.DataFrame({
        "length": [int(re.findall(r"\d+", str(stage))[0]) for stage in cold["stage"]],
        "cold": cold["took"].to_numpy(),
        "warm": warm["took"].to_numpy(),
        "tokens": cold["prompt_tokens"].to_numpy(),  # some servers leave cached ones out
        "cached": warm["cached_tokens"].to_numpy(),
        "cold_cached": cold["cached_tokens"].to_numpy(),
    }).dropna(subset=["cold", "warm"])  # fmt: skip


def slope_of_prefill(good: pd.DataFrame) -> Interval | None:
    """Seconds that a prompt token takes, by the TTFT of cold prompts of several lengths."""
    pairs = pairs_of(good)
    tokens = pairs["tokens"].fillna(pairs["length"])
    return slope_interval(tokens.to_numpy(float), pairs["cold"].to_numpy(float), confidence=SURE)


def savings_of(good: pd.DataFrame, prefill: Interval | None) -> list[Saving]:
    found = []
    for length, pairs in pairs_of(good).groupby("length"):
        tells = pairs["cached"].notna().any()
        counted = mean_of(pairs["tokens"])
        tokens = float(length) if counted is None else counted  # type: ignore[arg-type]
        is_hit = (pairs["cached"] >= HIT * tokens).to_numpy()
        by_time = hits_by_time(pairs, tokens, prefill)
        some = is_hit.any()
        chosen = pairs[is_hit] if some else pairs
        found.append(
            Saving(
                tokens=tokens,
                pairs=len(pairs),
                hits=int(is_hit.sum()) if tells else None,
                hits_by_time=None if by_time is None else int(by_time.sum()),
                disagree=int((by_time != is_hit).sum()) if by_time is not None and tells else None,
                cold=mean_interval(pairs["cold"].to_numpy(float)),
                warm=mean_interval(chosen["warm"].to_numpy(float)),
                saved=mean_interval((chosen["cold"] - chosen["warm"]).to_numpy(float)),
                saved_on_average=mean_interval((pairs["cold"] - pairs["warm"]).to_numpy(float)),
                cached=float(chosen["cached"].mean()) if some else None,
            )
        )
    return found


def hits_by_time(pairs: pd.DataFrame, tokens: float, prefill: Interval | None) -> np.ndarray | None:
    """Which warm prompts came so early that most of their prefill was saved; None where that is less than the noise."""
    if prefill is None:
        return None
    limit = limit_by_time(pairs["cold"].tolist(), prefill.estimate, tokens)
    return None if limit is None else (pairs["warm"] < limit).to_numpy()


def hits_are_told(savings: Sequence[Saving]) -> bool | None:
    if not savings:
        return None
    return any(one.hits for one in savings)


def part_of(good: pd.DataFrame) -> float | None:
    """The share of the longest known prompts that the server says came from its cache, beyond that of new ones; None if
    it is next to nothing."""
    pairs = pairs_of(good)
    longest = pairs[pairs["length"] == pairs["length"].max()]
    more = (longest["cached"] - longest["cold_cached"].fillna(0.0)) / longest["tokens"].fillna(longest["length"])
    share = float(more.mean())
    return share if share >= PART else None


def later_hits(good: pd.DataFrame) -> tuple[int, int] | None:
    """Hits, reported or by time, among prompts that were read once more some seconds later; None if none were."""
    rows = good[good["stage"] == "later"]
    return (int((told_hits(rows) | rows["hit"]).sum()), len(rows)) if len(rows) else None


def cold_hits(good: pd.DataFrame) -> tuple[int, int]:
    """Hits that are reported of prompts that nobody had sent before, and how many there were."""
    cold = good[(good["name"] == "cold") & good["stage"].str.startswith("savings")]
    return hits_in(cold), len(cold)


def judged(
    savings: Sequence[Saving], prefill: Interval | None, reported: bool | None, part: float = 0.0
) -> tuple[bool | None, bool | None]:
    """Whether there is a cache, and whether what the server says of it is true; `part` is the share of a known prompt
    that it says it read, where it reports no hits."""
    if not savings:
        return None, None
    longest = savings[-1]
    if reported:
        saved = of_confidence(longest.saved)
        whole = prefill.low * (longest.cached or 0.0) if prefill is not None else 0.0
        if saved is not None and whole > 0 and saved.high < REAL * whole:
            return True, False
        return True, True if saved is not None and saved.low > 0 else None
    faster = of_confidence(longest.saved_on_average)
    if faster is not None and faster.low > 0:
        if prefill is None:  # what the part that it reports saves is unknown
            return True, None if part else False
        return True, faster.low <= FASTER * prefill.high * part * longest.tokens
    return (True, None) if part else (False, True)


def of_confidence(interval: Interval | None) -> Interval | None:
    """A 95 % interval of a mean as one of the confidence with which somebody is accused."""
    if interval is None:
        return None
    from bench.analysis.statistics import student_quantile

    wider = student_quantile(0.5 + SURE / 2, interval.n - 1) / student_quantile(0.975, interval.n - 1)
    reach = (interval.high - interval.estimate) * wider
    return Interval(interval.n, interval.estimate, interval.estimate - reach, interval.estimate + reach)


def saved_per_token(good: pd.DataFrame) -> Interval | None:
    """Seconds saved per cached token, of hits of all lengths: a line through 0, so that long prompts count more."""
    pairs = pairs_of(good)
    hits = pairs[pairs["cached"] >= HIT * pairs["tokens"]]
    if len(hits) < 3:
        return None
    more = (hits["cached"] - hits["cold_cached"].fillna(0.0)).to_numpy(float)
    saved = (hits["cold"] - hits["warm"]).to_numpy(float)
    weight = float((more * more).sum())
    if not weight:  # new prompts are said to be as cached as known ones
        return None
    slope = float((more * saved).sum()) / weight
    left = saved - slope * more
    error = math.sqrt(float((more * more * left * left).sum())) / weight * math.sqrt(len(hits) / (len(hits) - 1))
    from bench.analysis.statistics import student_quantile

    reach = student_quantile(0.975, len(hits) - 1) * error
    return Interval(len(hits), slope, slope - reach, slope + reach)


Line = dict[str, Any]
"""A request's facts by column; NaN where there is none."""


def lines(rows: pd.DataFrame) -> list[Line]:
    return [{str(name): value for name, value in line.items()} for line in rows.to_dict("records")]


def by_pair(rows: pd.DataFrame, name: str) -> dict[float, Line]:
    """The requests of this name by the number of their pair."""
    return {line["pair"]: line for line in lines(rows[rows["name"] == name])}


def told_hits(rows: pd.DataFrame) -> pd.Series[bool]:
    """Requests of which most of the prompt came from the cache, as the server says."""
    return rows["cached_tokens"] >= HIT * rows["prompt_tokens"]


def hits_in(rows: pd.DataFrame) -> int:
    """How many of these requests are such."""
    return int(told_hits(rows).sum())


def with_hits(
    good: pd.DataFrame, prefill: Interval | None, reported: bool | None
) -> tuple[pd.DataFrame, KnownBy | None]:
    """A column `hit`, and how hits are recognized: as the server reports them, or where it reports none by the TTFT of
    the longest prompts, if what a hit saves stands out of the noise. None: not at all, and the column is all False."""
    if reported:
        return good.assign(hit=told_hits(good)), "usage"
    pairs = pairs_of(good)
    longest = pairs[pairs["length"] == pairs["length"].max()]
    if prefill is None or not len(longest):
        return good.assign(hit=False), None
    tokens = float(longest["tokens"].fillna(longest["length"]).mean())
    if (limit := limit_by_time(longest["cold"].tolist(), prefill.estimate, tokens)) is None:
        return good.assign(hit=False), None
    return good.assign(hit=good["took"] < limit), "time"


# -- granularity ----------------------------------------------------------------------------------------------


def granularity(good: pd.DataFrame) -> tuple[int | None, int | None]:
    """The smallest prefix that was read, and the block, in tokens."""
    reads = good[(good["stage"] == "granularity") & (good["name"] == "read")]
    counts = [int(read) for read in reads["cached_tokens"].dropna() if read > 0]
    if len(counts) < 3:
        return None, None
    cold = good[good["name"].isin(["cold", "prime"])]["cached_tokens"].dropna()
    common = [int(read) for read in cold if read > 0]
    return min(counts + common), math.gcd(*counts)


def common_of(good: pd.DataFrame) -> int:
    """Tokens that even a prompt reads that nobody has sent before."""
    cold = good[good["name"] == "cold"]["cached_tokens"].dropna()
    return int(cold.min()) if len(cold) else 0


# -- lifetime -------------------------------------------------------------------------------------------------


def survival_of(good: pd.DataFrame) -> list[Survival]:
    """Each beginning that was read once, with its age; the age is as exact as the times on both sides let it be."""
    chosen = good[good["stage"].isin(["lifetime", "refresh"])]
    primes = by_pair(chosen, "prime")
    found = []
    for read in lines(chosen[chosen["name"].isin(["read", "early"])]):
        if (prime := primes.get(read["pair"])) is not None:
            begun = read["done"] if np.isnan(read["first_token_at"]) else read["first_token_at"]
            age = max(0.0, read["sent"] - prime["done"])
            found.append(Survival(age, begun - prime["sent"], bool(read["hit"]), written_between(good, prime, read)))
    return sorted(found, key=lambda one: one.shortest)


def lifetime_of(
    survival: Sequence[Survival],
    fresh: tuple[int, int],
    pushed_out: tuple[float, float | None] | None,
    *,
    by_time: bool,
) -> tuple[float, float | None] | None:
    """Between which ages a beginning is forgotten: the oldest that was read, and the youngest of those that were not
    and are older. Where some requests go to a cache that never saw the beginning, several misses have to agree; one
    that other prompts may have pushed out says nothing of its age."""
    if not survival:
        return None
    read, most = oldest_read(survival), most_beside(pushed_out)
    gone = sorted(one.longest for one in survival if not one.read and one.longest > read and one.beside <= most)
    needed = misses_needed(*fresh, by_time=by_time)
    return read, (gone[needed - 1] if len(gone) >= needed else None)


def curve_of(
    survival: Sequence[Survival], fresh: tuple[int, int], pushed_out: tuple[float, float | None] | None
) -> SurvivalCurve | None:
    """How many are left at which age, of those that our own prompts did not push out."""
    most = most_beside(pushed_out)
    looks = [Look(one.shortest, one.longest, one.read) for one in survival if one.beside <= most]
    return survival_curve(looks, fresh)


def most_beside(pushed_out: tuple[float, float | None] | None) -> float:
    """Tokens of other prompts that push nothing out."""
    return pushed_out[0] if pushed_out is not None and pushed_out[1] is not None else math.inf


def oldest_read(survival: Sequence[Survival]) -> float:
    """The age of the oldest beginning that was read, s; 0 if none was."""
    return max((one.shortest for one in survival if one.read), default=0.0)


def fresh_hits(good: pd.DataFrame, *, by_time: bool) -> tuple[int, int]:
    """Hits, and all reads, of beginnings that were just written; by time, of the longest alone."""
    warm = good[(good["name"] == "warm") & good["stage"].str.startswith("savings")]
    if by_time:
        longest = pairs_of(good)["length"].max()
        warm = warm[warm["stage"] == f"savings, {longest} tokens"]
    return int(warm["hit"].sum()), len(warm)


def refreshed(good: pd.DataFrame, lifetime: tuple[float, float | None] | None) -> bool | None:
    """Whether what was read within its time is there when it would be gone without; None where none was read early."""
    chosen = good[good["stage"] == "refresh"]
    early = by_pair(chosen, "early")
    again = [
        bool(late["hit"]) for pair, late in by_pair(chosen, "late").items() if pair in early and early[pair]["hit"]
    ]
    if lifetime is None or lifetime[1] is None or not again:
        return None
    return any(again)


def written_between(good: pd.DataFrame, prime: Line, read: Line) -> float:
    """Tokens of other prompts that were not read from the cache, sent between these two."""
    between = good[(good["sent"] > prime["sent"]) & (good["done"] < read["done"])]
    return float((between["prompt_tokens"] - between["cached_tokens"].fillna(0.0)).sum())


def evicted(good: pd.DataFrame, lives: float, *, by_time: bool) -> tuple[float, float | None] | None:
    """Tokens of other prompts beside which a beginning was still read, and beside which it was gone though younger than
    `lives`, an age at which one was read (s; 0: not known)."""
    chosen = good[good["stage"] == "eviction"].sort_values("sent")
    primes = by_pair(chosen, "prime")
    kept, gone = 0.0, []
    for read in lines(chosen[chosen["name"] == "read"]):
        prime = primes.get(read["pair"])
        if prime is None or read["sent"] - prime["done"] >= lives > 0:
            continue  # too old to tell the one from the other
        tokens = written_between(good, prime, read)
        if read["hit"]:
            kept = max(kept, tokens)
        else:
            gone.append(tokens)
    if not len(chosen[chosen["name"] == "read"]):
        return None
    beyond = sorted(tokens for tokens in gone if tokens > kept)
    needed = misses_needed(*fresh_hits(good, by_time=by_time), by_time=by_time)
    return kept, (beyond[needed - 1] if len(beyond) >= needed else None)


def hits_by_stage(good: pd.DataFrame, begin: str) -> dict[int, tuple[int, int]]:
    """Hits and reads by the number in the names of their stages."""
    chosen = good[good["stage"].str.startswith(begin)]
    found: dict[int, tuple[int, int]] = {}
    for stage, rows in chosen.groupby("stage", observed=True):
        many = int(re.findall(r"\d+", str(stage))[0])
        found[many] = (hits_in(rows), len(rows))
    return dict(sorted(found.items()))


# -- scope and dollars ----------------------------------------------------------------------------------------


def scope(good: pd.DataFrame, *, known: KnownBy | None) -> tuple[bool | None, tuple[int, int] | None]:
    """Whether the second key reads what the first wrote, and in how many of its tries; where single hits are not known,
    by its TTFT of such prompts against that of new ones."""
    chosen = good[good["stage"] == "scope"]
    mine, other = chosen[chosen["name"] == "read"], chosen[chosen["name"] == "other key"]
    if not len(other) or not len(mine):
        return None, None
    own, hits = int(mine["hit"].sum()), int(other["hit"].sum())
    if own or hits:
        fewest = max(1.0, own / 2) if known == "time" else 1.0  # a single one may be early for another reason
        return hits >= fewest, (hits, len(other))
    cold = chosen[chosen["name"] == "other key, cold"]
    many = min(len(cold), len(other))
    saved = mean_interval(cold["took"].to_numpy(float)[:many] - other["took"].to_numpy(float)[:many])
    sure = of_confidence(saved)
    return (None if sure is None or sure.low <= 0 else True), None


def dollars(rows: pd.DataFrame, price: Price | None) -> dict[str, float | None]:
    """What the requests cost, and what the cache saved of it."""
    from bench.analysis.charges import cache_savings, cache_write_cost, cost

    unknown = dict.fromkeys(("cost_usd", "saved_usd", "writes_usd", "break_even"))
    if price is None or not len(rows):
        return unknown
    told = rows["cached_tokens"].notna().any()
    return {
        "cost_usd": cost(rows, price),
        "saved_usd": cache_savings(rows, price) if told and input_cost(rows, price) is not None else None,
        "writes_usd": cache_write_cost(rows, price),
        "break_even": break_even(price, hour=bool(rows["cache_write_1h_tokens"].sum() > 0)),
    }


def break_even(price: Price, *, hour: bool) -> float | None:
    """Reads of each written token with which writing it pays, for an hour or for five minutes: what writing costs more,
    by what reading saves."""
    if price.input is None or price.cached_input is None or price.cached_input >= price.input:
        return None
    write = price.input if price.cache_write is None else price.cache_write
    write = price.cache_write_1h if hour and price.cache_write_1h is not None else write
    return max(0.0, write - price.input) / (price.input - price.cached_input)
