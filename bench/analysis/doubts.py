"""The doubts of a run: sentences that leave the measurement sound and warn of reading too much into its figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.costs import beyond_the_prompt, cached_shares, unequal_caching
from bench.analysis.facts import Facts
from bench.analysis.figures import percentiles
from bench.analysis.groups import ALL, Group
from bench.analysis.likeness import counted_otherwise, same_length
from bench.analysis.numerals import at_stage, count, counted, duration, milliseconds, number, percent
from bench.analysis.stops import stop_of
from bench.metrics import FLOORS
from bench.plan.load import MEASURE
from bench.records import StepLine

EVENTS = 5  # content events that a stream has at least, before it can be said to have come in one piece
AT_ONCE = 0.05  # share of E2E within which all of such a stream came
FEWEST_WHOLE = 3  # such streams, before a doubt is raised
MERGED_SHARE = 0.2  # of the gaps between tokens; beyond it percentiles of ITL say more about reads than about tokens
SHIFTED = 0.05  # of TPOT, by which it may be too low before a doubt is raised
STEADY = 4  # times the p50 of E2E that a stage should last, so that most of its answers are not of its opening burst
ROUNDED_S = 0.001  # by which the times in steps.jsonl may be rounded


@dataclass(frozen=True, slots=True)
class ShortStage:
    """A stage of users whose answers took longer than it lasted: few users asked twice."""

    stage: str
    length: float  # of the stage, s
    answer: float  # the p50 of E2E, s
    late: int  # answers that came after the stage's end
    requests: int


def doubts(rows: pd.DataFrame, groups: Sequence[Group], stopped_by: str, *, warm: bool) -> list[str]:
    """What a reader should know before quoting a figure, in sentences."""
    found = (
        stopped_early(stopped_by),
        unanswered(rows),
        tokens_at_once(rows, groups),
        large_events(rows),
        counted_events(rows),
        without_end_mark(rows),
        known_by_polls(rows),
        *short_of(groups),
        unequal_lengths(groups),
        beyond_the_prompt(rows),
        unequal_caching(cached_shares(groups)),
        None if warm else "there was no warm-up, so the figures include cold connections and caches; set load.warmup",
        reopened_connections(rows),
    )
    return [doubt for doubt in found if doubt is not None]


def other_lengths(rows: pd.DataFrame, facts: Facts) -> list[str]:
    """Models whose servers count prompts of exactly so many tokens as other lengths: a template adds the same to each.

    `rows` are the measured requests."""
    found = []
    answered = rows[(rows["outcome"] == "ok") & (rows["turn"] == 0) & rows["prompt_tokens"].notna()]
    for model in facts.scenario.tokenizers:
        for one in facts.scenario.requests:
            wanted = None if one.prompt is None or one.prompt.images or one.conversation else one.prompt.tokens
            counts = answered.loc[(answered["model"] == model) & (answered["name"] == one.name), "prompt_tokens"]
            if wanted is None or counts.empty or (counts.min() == counts.max() and counts.min() >= wanted):
                continue
            counted = f"{counts.min():,.0f}" + (f" to {counts.max():,.0f}" if counts.max() > counts.min() else "")
            found.append(
                f"{model} counts {counted} tokens in prompts of {one.name} that have {wanted:,} by its tokenizer's "
                "file, and a chat's template adds the same to each: the file may be another model's"
            )
    return found


def told_by_load(facts: Facts) -> list[str]:
    """Doubts that the load itself wrote to run.json, in sentences."""
    found = [fit.doubt for fit in facts.prompt_fits if fit.doubt is not None]
    if facts.repeats is not None:
        found.append(f"the requests are those of {facts.repeats}, nonces included, so a server may know them already")
    return found


def stopped_early(stopped_by: str) -> str | None:
    stop = stop_of(stopped_by)
    return None if stop is None else f"{stop.sentence}, so it measured less than the scenario asked for"


def short_stages(rows: pd.DataFrame, stages: Sequence[StepLine]) -> list[ShortStage]:
    """The stages of users whose answers took longer than they lasted. `rows` are the measured requests."""
    found = []
    for stage in stages:
        mine = rows[rows["stage"] == stage.name]
        good, length = mine[mine["outcome"] == "ok"], stage.ended - stage.began
        if stage.users is None or not stage.measured or not len(good):
            continue
        [answer] = percentiles(good["e2e_s"].to_numpy(np.float64), ["p50"])
        if answer > length:
            found.append(ShortStage(stage.name, length, answer, int((good["done"] > stage.ended).sum()), len(mine)))
    return found


def told_by_short_stages(found: Sequence[ShortStage]) -> list[str]:
    told = []
    for one in found:
        whose = "" if one.stage == MEASURE else f"{one.stage}: "
        text = f"{whose}answers took longer ({duration(one.answer)}, p50) than the stage ({duration(one.length)}), and "
        text += f"{one.late:,} of {counted(one.requests, 'requests')} were answered after its end, so latencies are "
        text += "those of a burst, not of users who ask again and again; let the stage last "
        told.append(f"{text}{math.ceil(STEADY * one.answer):,} s or longer")
    return told


def never_loaded(stages: Sequence[StepLine]) -> list[str]:
    """Stages that had fewer requests than users, or were over before their ramp was, in sentences."""
    measured = [one for one in stages if one.measured]
    ramps = [cut_ramp(one.name, one.users, one.rate, one.ramp_s, one.ended - one.began) for one in measured]
    closed = [one for one in measured if one.users is not None and one.ended_by == "requests"]
    told = (idle_users(one.name, one.users or 0.0, one.planned) for one in closed)
    return [sentence for sentence in (*ramps, *told) if sentence]


def cut_ramp(stage: str, users: float | None, rate: float | None, ramp: float, length: float) -> str:
    """That a stage of this length (s) never gets to its users or its rate, without a full stop; empty if it does."""
    if ramp <= length + ROUNDED_S:
        return ""
    whose = "" if stage == MEASURE else f"{stage}: "
    level = counted(users, "users") if users is not None else f"{number(rate)} requests/s"
    return (
        f"{whose}the ramp to {level} takes {duration(ramp)}, but the stage is over after {duration(length)}, so this "
        f"is no load of {level}; let the stage last longer, or make the ramp shorter"
    )


def idle_users(stage: str, users: float, requests: int) -> str:
    """That users of a stage never ask, since its requests do not suffice, without a full stop; empty if they do."""
    if requests >= users:
        return ""
    whose = "" if stage == MEASURE else f"{stage}: "
    return (
        f"{whose}at most {count(requests)} of the {count(users)} users ever ask, since only "
        f"{counted(requests, 'requests', 'are')} sent, so this is no load of {count(users)} users; set more requests, "
        "or fewer users"
    )


def unanswered(rows: pd.DataFrame) -> str | None:
    if not (censored := int((rows["outcome"] == "censored").sum())):
        return None
    return (
        f"{counted(censored, 'requests')} had no answer yet when the run ended, and no latency includes that; a longer "
        "load.drain waits for it"
    )


def tokens_at_once(rows: pd.DataFrame, groups: Sequence[Group]) -> str | None:
    """Streams that came in one piece, or else tokens that came several at a time."""
    if buffered := whole_streams(rows):
        return (
            f"{buffered} came in one piece, so their TTFT equals their E2E and there are no gaps between tokens: "
            "something buffers the stream, such as nginx without proxy_buffering off, or the server does not stream"
        )
    if merged := merged_streams(groups):
        paced = any(group.tpot_s.n for group in groups)
        judged = "judge the pace by TPOT, not by ITL" if paced else "ITL says little about the pace"
        return (
            f"several {'tokens' if paced else 'pieces'} often arrived at once ({merged} gaps are 0): the server, a "
            f"proxy or a busy client sends them together, so {judged}"
        )
    return None


def large_events(rows: pd.DataFrame) -> str | None:
    """Models whose events hold so many tokens that the unknown number in the first one shifts TPOT."""
    streams = rows[(rows["outcome"] == "ok") & rows["stream"] & (rows["tokens_from"] == "usage") & rows["tpot_s"].gt(0)]
    streams = streams[streams["reasoning_tokens"].fillna(0) == 0]
    each = streams["completion_tokens"] / streams["arrived_tokens"]
    # as it is if the first event holds one token / as it is if it holds as many as the others
    low = (1.0 - streams["first_tokens"] / streams["arrived_tokens"]) / (
        1.0 - streams["first_tokens"] / streams["completion_tokens"]
    )
    told = []
    for model, mine in streams.groupby("model", observed=True, sort=False).groups.items():
        typical, off = float(each.loc[mine].median()), 1.0 - float(low.loc[mine].median())
        if off >= SHIFTED:
            told.append(
                f"{number(typical)} tokens come in an event of {model}, so its TPOT may be up to {percent(off)} too low"
            )
    if not told:
        return None
    return (
        f"{'; '.join(told)}, and its tokens/s of a stream as much too high: nobody says how many of them are in the "
        "first event; compare E2E too"
    )


def counted_events(rows: pd.DataFrame) -> str | None:
    """Answers whose tokens are an estimate."""
    if not (estimated := int(((rows["tokens_from"] == "events") & (rows["outcome"] == "ok")).sum())):
        return None
    return (
        f"the server did not say how many tokens {counted(estimated, 'answers')} had; events were counted instead, "
        "and an event may hold several tokens"
    )


def without_end_mark(rows: pd.DataFrame) -> str | None:
    if not (unterminated := int(((rows["unterminated"] == 1) & (rows["outcome"] == "ok")).sum())):
        return None
    return (
        f"{counted(unterminated, 'streams')} ended without the API's end mark; that is ok here, since there was a "
        "finish reason and usage, and this server never sends the mark; target.terminator: required counts that as "
        "truncated"
    )


def known_by_polls(rows: pd.DataFrame) -> str | None:
    """How much too long the E2E of jobs may be."""
    gaps = (rows["done"] - rows["unfinished_at"])[(rows["outcome"] == "ok") & rows["polls"].gt(0)].dropna()
    if not len(gaps):
        return None
    [middle] = percentiles(gaps.to_numpy(), ["p50"])
    return (
        f"bench asked for the results of jobs again and again, so a job may have ended up to "
        f"{milliseconds(middle)} ms (p50) before its E2E says; result: webhook, or a shorter "
        "poll.interval, is more exact"
    )


def unequal_lengths(groups: Sequence[Group]) -> str | None:
    lengths = answer_lengths(groups)
    if len(lengths) < 2 or same_length(*ends(lengths)):
        return None
    told = ", ".join(f"{model} {tokens:.0f}" for model, tokens in lengths.items())
    characters = per_answer(groups, lambda group: group.output_chars)
    known = len(characters) == len(lengths)
    if known and counted_otherwise(ends(per_answer(groups, visible_tokens)), ends(characters)):
        return (
            f"the models' tokens are not the same (mean tokens: {told}, for about as many characters), so compare TTFT "
            "and E2E, not TPOT and tokens/s"
        )
    return f"the models' answers differ in length (mean tokens: {told}), so compare TTFT and TPOT, not E2E"


def reopened_connections(rows: pd.DataFrame) -> str | None:
    if not (reopened := int(rows["reopened"].sum())):
        return None
    return f"the server had closed {counted(reopened, 'connections')} between requests; bench opened new ones"


def whole_streams(rows: pd.DataFrame) -> str | None:
    """How many streams came in one piece at their end, where that is at least half of those that can be judged."""
    judged = rows[(rows["outcome"] == "ok") & rows["stream"] & (rows["arrived_events"] >= EVENTS)]
    at_once = judged["zero_gaps"] >= 0.5 * (judged["arrived_events"] - 1)
    whole = at_once & (judged["done"] - judged["first_token_at"] < AT_ONCE * judged["e2e_s"])
    if whole.sum() < max(FEWEST_WHOLE, 0.5 * len(judged)):
        return None
    return f"{int(whole.sum()):,} of {counted(len(judged), 'streams')}"


def merged_streams(groups: Sequence[Group]) -> str:
    """The share of gaps that are 0, of each model with many."""
    shares = {group.model: group.zero_gap_share for group in groups if group.name == ALL}
    return ", ".join(
        f"{percent(share)} of {model}'s" for model, share in shares.items() if share and share >= MERGED_SHARE
    )


def short_of(groups: Sequence[Group]) -> list[str]:
    """Percentiles of E2E that are not shown: the answers that the first of them needs, and the answers there were."""
    several = len({group.stage for group in groups}) > 1
    short: dict[tuple[str, ...], list[tuple[str, int]]] = {}  # by the missing percentiles: whose, and their answers
    for group in groups:
        missing = tuple(name for name in FLOORS if name != "p99.9" and group.e2e_s.stat(name) is None)
        if group.name == ALL and group.e2e_s.n and missing:
            whose = f"{group.model} {at_stage(group.stage)}" if several else group.model
            short.setdefault(missing, []).append((whose, group.e2e_s.n))
    told = []
    for (least, *higher), groups_short in short.items():
        alone = len({group.model for group in groups}) == 1 and len(groups_short) == 1 and not several
        had = ", ".join(f"{whose} had {n:,}" for whose, n in groups_short)
        had = f", had {groups_short[0][1]:,}" if alone else f" ({had})"
        what = f"{least} and higher percentiles not shown: {least}" if higher else f"{least} not shown:"
        told.append(
            f"{what} needs {FLOORS[least]} successful requests{had}; run longer to see {'them' if higher else 'it'}"
        )
    return told


def answer_lengths(groups: Sequence[Group]) -> dict[str, float]:
    """Mean completion tokens of each model's answers."""
    return per_answer(groups, lambda group: group.completion_tokens or 0)


def visible_tokens(group: Group) -> int:
    """Completion tokens without reasoning, of which a server may show nothing."""
    return (group.completion_tokens or 0) - (group.reasoning_tokens or 0)


def per_answer(groups: Sequence[Group], amount: Callable[[Group], int]) -> dict[str, float]:
    """An amount per answer of each model, where there is one."""
    sums, answers = Counter[str](), Counter[str]()
    for group in groups:
        if group.name == ALL:
            sums[group.model] += amount(group)
            answers[group.model] += group.outcomes.get("ok", 0)
    return {model: many / answers[model] for model, many in sums.items() if many and answers[model]}


def ends(lengths: Mapping[str, float]) -> tuple[float, float]:
    """The shortest and the longest; zeros if there are none."""
    return min(lengths.values(), default=0.0), max(lengths.values(), default=0.0)
