"""What a run says of a prompt cache: findings.json, sentences, tables and charts, of the run's folder alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np

from bench.analysis import Run
from bench.analysis.charts import role_of
from bench.analysis.conclusion import BARE, Conclusion, General
from bench.analysis.numerals import count, counted, dollars, duration, listed, milliseconds, number, share
from bench.analysis.sections import (
    About,
    Axis,
    Cell,
    Chart,
    Column,
    Numbers,
    Part,
    Row,
    Section,
    Sentence,
    Series,
    Span,
    Stroke,
    Table,
)
from bench.analysis.statistics import Interval, share_interval
from bench.analysis.stops import stop_of
from bench.analysis.survival import SurvivalCurve
from bench.experiments.prompt_cache.estimates import Estimates, Saving, Survival, estimates, oldest_read
from bench.experiments.prompt_cache.hits import HIT
from bench.experiments.prompt_cache.steps import LATER_S
from bench.experiments.prompt_cache.workload import Workload, workload_of

UNKNOWN = "unknown"
YOUNGEST_S = 0.1  # a logarithmic axis has no 0
SAME_AGE_S, SAME_AGE = 0.1, 0.02  # prompts whose ages differ by less, in s or as a share, are one point of the chart
ALIKE = 1.0  # the same share where prompts are forgotten one by one: few of one age say little
OF_LOAD: tuple[General, ...] = ("summary", "errors", "validity", "cost", "turns", "definitions", "circumstances")


def findings(run: Run) -> Conclusion:
    """The caches of all models that were asked."""
    prices = run.understood.prices
    found = [estimates(model, run.records, prices.get(model)) for model in run.facts.scenario.models]
    loads = [workload_of(run, one) for one in found]
    parts: list[Part] = [sentence for one in found for sentence in sentences(one)]
    sections = [
        Section("prompt-cache", "The prompt cache", (*parts, *unfinished(run))),
        Section("savings", "What hits save", tuple(savings_parts(run, found))),
        Section("lifetime", "How long a prompt is kept", tuple(lifetime_parts(run, found))),
        Section("routing", "Hits where many requests share a beginning", tuple(routing_parts(run, found))),
        Section("workload", "What this mix gets of it", tuple(workload_parts(loads))),
    ]
    accused = any(one.honest is False for one in found)
    return Conclusion(
        sections=tuple(section for section in sections if section.parts),
        verdict="fail" if accused else "measured" if any(one.savings for one in found) else "inconclusive",
        document={"caches": [document(one, load) for one, load in zip(found, loads, strict=True)]},
        headline="; ".join(in_short(one) for one in found),
        general=OF_LOAD if any(load is not None for load in loads) else ("errors", *BARE),
    )


def document(one: Estimates, load: Workload | None) -> dict[str, Any]:
    """One of `caches` in findings.json; null is not learned."""
    longest = one.longest
    reads = longest if longest is not None and one.exists else None
    saved = None if reads is None else reads.saved
    return {
        "model": one.model,
        "exists": one.exists or one.is_late if one.exists is not None else None,
        "reported": one.reported,
        "minimum_tokens": one.minimum_tokens,
        "block_tokens": one.block_tokens,
        "lifetime_s": None if one.lifetime is None else list(one.lifetime),
        "half_life_s": half_life(one.gradual),
        "ttft_saved_s": None if saved is None else [saved.estimate, saved.low, saved.high],
        "ms_per_1000_tokens": None if one.per_token is None else one.per_token.estimate * 1e6,
        "saved_usd": one.saved_usd,
        "honest": one.honest,
        "refreshed": one.refreshed,
        "hit_rate": None if reads is None or reads.hits is None else reads.hits / reads.pairs,
        "hit_rate_by_time": None if reads is None or reads.hits_by_time is None else reads.hits_by_time / reads.pairs,
        "ttft_saved_on_average_s": None if reads is None else bounds(reads.saved_on_average),
        "prefill_ms_per_1000_tokens": None if one.prefill is None else one.prefill.estimate * 1e6,
        "evicted_after_tokens": None if one.evicted is None else list(one.evicted),
        "hits_at_once": {str(many): list(hits) for many, hits in one.at_once.items()} or None,
        "hits_at_rate": {str(rate): list(hits) for rate, hits in one.at_rate.items()} or None,
        "shared_between_keys": one.shared,
        "cost_usd": one.cost_usd,
        "cache_write_usd": one.writes_usd,
        "break_even_reads": one.break_even,
        "hits_later": None if one.later is None else list(one.later),
        "workload": None if load is None else load.document(),
    }


def half_life(curve: SurvivalCurve | None) -> list[float] | None:
    return None if curve is None else [curve.half, curve.low, curve.high]


def bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.estimate, interval.low, interval.high]


# -- sentences ------------------------------------------------------------------------------------------------


def in_short(one: Estimates) -> str:
    """The answer for one model in a few words."""
    if one.exists is None:
        return f"{one.model}: nothing learned"
    if one.is_late:
        return f"{one.model}: a prompt cache, but not for prompts that were just sent"
    if not one.exists:
        return f"{one.model}: no prompt cache"
    if one.honest is False:
        silent = "hits are faster and are not reported" if one.part is None else "hits are faster than what it reports"
        return f"{one.model}: {'reported hits are not faster' if one.reported else silent}"
    if one.part is not None:
        return f"{one.model}: a prompt cache; it reports {share(one.part)} of a known prompt"
    saved = one.longest.saved if one.longest is not None else None
    told = "" if saved is None else f" saves {milliseconds(saved.estimate)} ms of TTFT"
    return f"{one.model}: a prompt cache{told}"


def sentences(one: Estimates) -> list[Sentence]:
    """What was found of one model, the most important first."""
    about = About(model=one.model)
    if one.exists is None:
        told = f"Nothing was learned of {one.model}: no pair of a cold and a warm prompt was answered."
        return [Sentence(told, "doubt", about=about)]
    found = [Sentence(existence(one), "bad" if one.honest is False else "plain", details=evidence(one), about=about)]
    if one.miscounted is not None:
        found.append(Sentence(f"{one.miscounted}.", "doubt", about=about))
    if one.tells is False:
        text = f"{one.model} does not say how many prompt tokens came from a cache; silence is not zero."
        found.append(Sentence(text, about=about))
    found += [
        Sentence(text, about=about)
        for text in (*granularity(one), *lasting(one), *routing(one), *unlearned(one), *money(one))
    ]
    if one.shared is not None:
        found.append(privacy(one, about))
    return found


def existence(one: Estimates) -> str:
    if one.is_late and one.later is not None:
        text = (
            f"{one.model} has a prompt cache, but nothing was read from it that had been sent once, a moment before. "
        )
        text += f"Sent a third time, {LATER_S:g} s later, {one.later[0]} of {one.later[1]} prompts were hits: it takes "
        return text + "seconds to write a prompt, or keeps what was sent twice. Nothing else was learned of it."
    if not one.exists:
        return f"{one.model} shows no prompt cache: it reports no hits, and warm prompts are as slow as cold ones."
    if one.part is not None:
        return of_a_part(one.model, one.part, honest=one.honest)
    longest = one.longest
    assert longest is not None
    rate = "" if longest.hits is None else f" {longest.hits} of {longest.pairs} warm prompts were hits."
    if one.honest is False and one.reported:
        return f"{one.model} reports hits that are not faster.{rate}"
    if one.honest is False:
        return f"{one.model} answers known prompts faster, and does not report hits."
    if longest.saved is None:
        return f"{one.model} has a prompt cache.{rate}"
    saved = longest.saved
    text = f"{one.model} has a prompt cache: a hit saves {milliseconds(saved.estimate)} ms of TTFT "
    text += f"({milliseconds(saved.low)} to {milliseconds(saved.high)}) of a prompt of {count(longest.tokens)} tokens."
    doubt = "" if one.honest else " Too little is saved to say whether hits are as fast as they should be."
    return text + rate + doubt


def of_a_part(model: str, part: float, *, honest: bool | None) -> str:
    """What is said of a cache that reports reads, but none that is a hit."""
    if honest is False:
        return (
            f"{model} answers known prompts much faster than is explained by the {share(part)} of them that it reports "
            "as cached."
        )
    text = f"{model} has a prompt cache: it says that {share(part)} of a known prompt came from it, on average. "
    return f"{text}Here a hit is {share(HIT)} or more, so what is learned from hits is unknown."


def evidence(one: Estimates) -> tuple[str, ...]:
    """What stands behind it."""
    longest, found = one.longest, []
    if longest is not None and longest.cold is not None and longest.warm is not None:
        warm, cold = milliseconds(longest.warm.estimate), milliseconds(longest.cold.estimate)
        found.append(f"TTFT of the longest prompts: cold {cold} ms, warm {warm} ms, on average.")
    if one.prefill is not None and one.honest is False:
        found.append(f"Cold prompts take {number(one.prefill.estimate * 1e6)} ms per 1,000 tokens.")
    if longest is not None and longest.hits is not None and longest.hits_by_time is not None:
        found.append(f"By their time, {longest.hits_by_time} of {longest.pairs} warm prompts were hits.")
    if one.cold_hits is not None and one.cold_hits[0]:
        new, many = one.cold_hits
        found.append(f"{count(new)} of {count(many)} new prompts are reported as hits, too: none of them can be one.")
    return tuple(found)


def granularity(one: Estimates) -> list[str]:
    if one.block_tokens is None or one.minimum_tokens is None:
        return []
    block = "any length" if one.block_tokens == 1 else f"whole blocks of {one.block_tokens:,} tokens"
    text = f"It reads beginnings of prompts in {block}; the smallest that was read has {one.minimum_tokens:,} tokens."
    return [text]


def lasting(one: Estimates) -> list[str]:
    found = []
    if (curve := one.gradual) is not None:
        text = f"Prompts are forgotten one by one: half are gone after {duration(curve.half)} "
        text += f"({duration(curve.low)} to {duration(curve.high)}); "
        found.append(f"{text}the oldest that was read was {duration(oldest_read(one.survival))} old.")
    elif one.lifetime is not None:
        low, high = one.lifetime
        if high is None:
            found.append(f"A prompt is kept for at least {duration(low)}; whether longer is unknown.")
        else:
            found.append(f"A prompt that nobody reads is kept for between {duration(low)} and {duration(high)}.")
    if one.refreshed is not None:
        found.append("Reading it keeps it longer." if one.refreshed else "Reading it keeps it no longer.")
    if one.evicted is not None:
        low, high = one.evicted
        if high is not None:
            found.append(f"Other prompts push it out after between {count(low)} and {count(high)} tokens.")
        elif low:
            found.append(f"It is still there after {count(low)} tokens of other prompts; more were not tried.")
    return found


def routing(one: Estimates) -> list[str]:
    """The share of hits where many requests share a beginning, by their rate and by how many come at the same time."""
    found = []
    for levels, word, unit in ((one.at_rate, "at", "a minute"), (one.at_once, "with", "at the same time")):
        if len(levels) > 1:
            counts = [f"{hits} of {reads} {word} {many}" for many, (hits, reads) in levels.items()]
            found.append(f"Hits of requests that share a beginning: {counts[0]} {unit}, {listed(counts[1:])}.")
    return found


def unlearned(one: Estimates) -> list[str]:
    """What cannot be learned of a cache that reports no hits."""
    if not one.exists or one.reported:
        return []
    found = []
    if one.part is None:
        found.append("Its block and its smallest prefix are unknown: no answer says how many tokens were read.")
    if one.hits_by_time:
        found.append("Hits were recognized by their time to the first token, as no answer reports them.")
    elif one.lifetime is None:
        found.append(
            "How long it keeps a prompt is unknown too: a hit saves less than single answers differ by; longer "
            "prompts (requests.0.prompt.tokens) save more."
        )
    return found


def money(one: Estimates) -> list[str]:
    if one.cost_usd is None and one.miscounted is not None:
        return []
    if one.cost_usd is None:
        return [f"What the requests cost is unknown: prices: {{{one.model}: {{input: …, output: …}}}} states prices."]
    text = f"The requests of this run cost {dollars(one.cost_usd)}"
    text += "; what the cache saved is unknown." if one.saved_usd is None else (
        f"; without a cache they would have cost {dollars(one.cost_usd + one.saved_usd)}."
    )  # fmt: skip
    found = [text]
    if one.break_even:
        found.append(f"Writing to the cache pays if each written token is read {number(one.break_even)} times or more.")
    return found


def privacy(one: Estimates, about: About) -> Sentence:
    tries = "" if one.other_hits is None else f" ({one.other_hits[0]} of {one.other_hits[1]} tries)"
    if one.shared:
        text = (
            f"Another key reads what the first one wrote{tries}: who guesses a prompt can tell whether others sent it."
        )
        return Sentence(text, "bad", details=("The audit of Gu et al. (2025) asks the same.",), about=about)
    return Sentence(f"Another key does not read what the first one wrote{tries}.", "good", about=about)


def unfinished(run: Run) -> list[Sentence]:
    """What is missing, and why."""
    stop = stop_of(run.end.stopped_by)
    if stop is None:
        return []
    text = f"Not everything was learned: {stop.sentence}; what is missing is null in findings.json."
    return [Sentence(text, "doubt")]


# -- savings --------------------------------------------------------------------------------------------------


def savings_parts(run: Run, found: list[Estimates]) -> list[Part]:
    some = any(saving.hits != saving.pairs for one in found for saving in one.savings)
    rows = [savings_row(one, saving, some=some) for one in found for saving in one.savings]
    if not rows:
        return []
    columns = [
        Column("", text=True),
        Column("prompt", "tokens"),
        Column("pairs"),
        Column(
            "hits", "reported", meaning="warm prompts of which at least half came from the cache, as the server says"
        ),
        Column("hits", "by time", meaning="warm prompts that came so early that most of their prefill was saved"),
        Column("disagree", meaning="warm prompts of which the server and the time say different things"),
        Column("TTFT cold", "ms, mean"),
        Column("TTFT warm", "ms, mean", meaning="of hits, if any are told"),
        Column("a hit saves", "ms, 95 %", meaning="cold − warm within pairs of hits"),
    ]
    if some:
        meaning = "cold − warm within all pairs, hits or not"
        columns.append(Column("a warm one saves", "ms, 95 %", meaning=meaning))
    note = "Means, since a median over hits and misses is neither. Pairs in random order."
    table = Table("savings", "Cold and warm prompts of equal length", tuple(columns), tuple(rows), note)
    chart = savings_chart(run, found)
    return [table, *per_token(found), chart]


def per_token(found: list[Estimates]) -> list[Sentence]:
    told = []
    for one in found:
        if one.per_token is not None:
            rate = one.per_token
            text = f"{one.model}: {number(rate.estimate * 1e6)} ms per 1,000 cached tokens "
            told.append(Sentence(f"{text}({number(rate.low * 1e6)} to {number(rate.high * 1e6)})."))
    return told


def savings_row(one: Estimates, saving: Saving, *, some: bool) -> Row:
    """One length; `some`: not all warm prompts of the table were hits."""

    def whole(value: int | None) -> Cell:
        return Cell(UNKNOWN if value is None else count(value), value)

    cells = (
        Cell(one.model),
        Cell(count(saving.tokens), saving.tokens),
        whole(saving.pairs),
        whole(saving.hits),
        whole(saving.hits_by_time),
        whole(saving.disagree),
        mean(saving.cold),
        mean(saving.warm),
        span(saving.saved if saving.hits else None),
        *([span(saving.saved_on_average)] if some else []),
    )
    return Row(cells, About(model=one.model))


def mean(interval: Interval | None) -> Cell:
    return Cell("") if interval is None else Cell(milliseconds(interval.estimate), interval.estimate)


def span(interval: Interval | None) -> Cell:
    if interval is None:
        return Cell("")
    text = f"{milliseconds(interval.estimate)} ({milliseconds(interval.low)} to {milliseconds(interval.high)})"
    return Cell(text, interval.estimate)


def savings_chart(run: Run, found: list[Estimates]) -> Chart:
    """TTFT against the length of the prompt, cold and warm."""
    series = []
    for one in found:
        for title in ("cold", "warm"):
            points = [
                (saving.tokens, (1e3 * interval.estimate, 1e3 * interval.low, 1e3 * interval.high))
                for saving in one.savings
                if (interval := getattr(saving, title)) is not None
            ]
            stroke: Stroke = "solid" if title == "cold" else "dashed"
            series.append(series_of(run, one, points, title=f"{one.model}, {title}", stroke=stroke))
    told = "; ".join(f"{one.title}: {', '.join(number(float(value)) for value in one.y)} ms" for one in series)
    return Chart(
        name="cache-savings",
        title="TTFT of cold and of warm prompts by length",
        says=f"Mean TTFT with 95 % intervals, shortest prompt first. {told}.",
        x=Axis("prompt", "tokens", begin=0.0, end=1.05 * top(one.x for one in series)),
        y=Axis("TTFT, mean", "ms", begin=0.0, end=1.1 * top(one.y if one.high is None else one.high for one in series)),
        series=tuple(series),
    )


def series_of(
    run: Run,
    one: Estimates,
    points: Sequence[tuple[float, tuple[float, float, float]]],
    *,
    title: str,
    stroke: Stroke = "solid",
) -> Series:
    """One model's line: at each x an estimate, with the low and the high end of its interval."""
    x = np.array([at for at, _ in points])
    y, low, high = (np.array([values[place] for _, values in points]) for place in range(3))
    role, about = role_of(run, one.model), About(model=one.model)
    return Series(title, x, y, role=role, about=about, low=low, high=high, stroke=stroke)


def top(values: Iterable[Numbers]) -> float:
    """The largest of them all, for the end of an axis; 1 if there is none above 0."""
    return max((float(one.max()) for one in values if len(one) and one.max() > 0), default=1.0)


# -- lifetime -------------------------------------------------------------------------------------------------


def lifetime_parts(run: Run, found: list[Estimates]) -> list[Part]:
    tried = [one for one in found if one.survival]
    return [survival_chart(run, tried)] if tried else []


def survival_chart(run: Run, found: list[Estimates]) -> Chart:
    """How many of the beginnings of each age were still there, and when they were forgotten."""
    series = [survival_series(run, one) for one in found]
    youngest, oldest = min(float(one.x.min()) for one in series), top(one.x for one in series)
    fitted = [fitted_series(run, one, youngest, oldest) for one in found if one.gradual is not None]
    spans = [span for one in found if (span := forgotten_span(one, alone=len(found) == 1)) is not None]
    told = "; ".join(f"{one.model}: {kept_for(one)}" for one in found if one.lifetime is not None)
    return Chart(
        name="cache-survival",
        title="Which prompts were still in the cache, by age",
        says=f"Each prompt was written once and read once, at an age of its own. {told}.",
        x=Axis("age when read", "s", "log", begin=0.8 * youngest, end=1.25 * oldest),
        y=Axis("read from the cache", "%", begin=0.0, end=110.0),
        series=(*series, *fitted),
        spans=tuple(spans),
    )


def survival_series(run: Run, one: Estimates) -> Series:
    """A point for the beginnings of each age; where they are forgotten one by one, of ages that are alike, with the
    interval of the share."""
    groups = by_age(one.survival, SAME_AGE if one.gradual is None else ALIKE)
    reads = [(sum(each.read for each in group), len(group)) for group in groups]
    x = np.array([max(YOUNGEST_S, fmean(each.shortest for each in group)) for group in groups])
    y, low, high = (np.array([percents(each)[place] for each in reads]) for place in range(3))
    labels = tuple(counted(many, "prompts") for _, many in reads)
    role, about = role_of(run, one.model), About(model=one.model)
    series = Series(one.model, x, y, role=role, about=about, labels=labels)
    return series if one.gradual is None else replace(series, low=low, high=high)


def fitted_series(run: Run, one: Estimates, youngest: float, oldest: float) -> Series:
    """How many are left, as the fit has it."""
    assert one.gradual is not None
    x = np.geomspace(youngest, oldest, 80)
    y = np.array([100.0 * one.gradual.found * one.gradual.alive(float(age)) for age in x])
    role, about = role_of(run, one.model), About(model=one.model)
    return Series(f"{one.model}, fitted", x, y, role=role, about=about, stroke="dashed")


def forgotten_span(one: Estimates, *, alone: bool) -> Span | None:
    """The ages between which prompts are forgotten, or half of them; None where none was."""
    if one.gradual is not None:
        low, high, text = one.gradual.low, one.gradual.high, "half are gone"
    elif one.lifetime is not None and one.lifetime[1] is not None:
        low, high, text = one.lifetime[0], one.lifetime[1], "forgotten"
    else:
        return None
    return Span(low, high, text if alone else f"{one.model}: {text}")


def kept_for(one: Estimates) -> str:
    """How long, in a few words."""
    if (curve := one.gradual) is not None:
        return f"half are gone after {duration(curve.half)} ({duration(curve.low)} to {duration(curve.high)})"
    assert one.lifetime is not None
    low, high = one.lifetime
    return f"kept for at least {duration(low)}" if high is None else (
        f"kept for between {duration(low)} and {duration(high)}"
    )  # fmt: skip


def by_age(survival: Sequence[Survival], alike: float) -> list[list[Survival]]:
    """Those whose ages are about the same, up to this share, youngest first."""
    groups: list[list[Survival]] = []
    for each in survival:
        if groups and each.shortest - groups[-1][0].shortest < max(SAME_AGE_S, alike * groups[-1][0].shortest):
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


# -- routing --------------------------------------------------------------------------------------------------


def routing_parts(run: Run, found: list[Estimates]) -> list[Part]:
    """Hits by the rate, and by the number at the same time, of requests that share a beginning."""
    rows = [
        routing_row(one, text, reads)
        for one in found
        for levels, unit in ((one.at_rate, "a minute"), (one.at_once, "at the same time"))
        for text, reads in ((f"{many} {unit}", reads) for many, reads in levels.items())
    ]
    if not rows:
        return []
    columns = (
        Column("", text=True),
        Column("sent", text=True, meaning="how many requests with the same beginning came, and how fast"),
        Column("requests"),
        Column("hits"),
        Column("hit rate", "%, 95 %", meaning="hits of requests, with Wilson's interval"),
    )
    note = (
        "Several servers may each have a cache of their own. A request that misses writes the beginning to the cache "
    )
    note += "that it reached, and later ones find it there."
    table = Table("routing", "Hits of requests that share a beginning", columns, tuple(rows), note)
    swift = [one for one in found if len(one.at_rate) > 1]
    return [table, routing_chart(run, swift)] if swift else [table]


def routing_row(one: Estimates, text: str, reads: tuple[int, int]) -> Row:
    (hits, many), (estimate, low, high) = reads, percents(reads)
    rate = f"{estimate:.0f} ({low:.0f} to {high:.0f})"
    cells = (Cell(one.model), Cell(text), Cell(count(many), many), Cell(count(hits), hits), Cell(rate, hits / many))
    return Row(cells, About(model=one.model))


def routing_chart(run: Run, found: list[Estimates]) -> Chart:
    """Hit rate against the rate of requests."""
    series = [
        series_of(run, one, [(rate, percents(reads)) for rate, reads in one.at_rate.items()], title=one.model)
        for one in found
    ]
    told = "; ".join(f"{one.title}: {', '.join(f'{value:.0f}' for value in one.y)} %" for one in series)
    return Chart(
        name="cache-routing",
        title="Hit rate by the rate of requests that share a beginning",
        says=f"Share of hits among requests with the same beginning, with 95 % intervals, lowest rate first. {told}.",
        x=Axis("requests that share a beginning", "per minute", begin=0.0, end=1.05 * top(one.x for one in series)),
        y=Axis("hit rate", "%", begin=0.0, end=110.0),
        series=tuple(series),
    )


def percents(reads: tuple[int, int]) -> tuple[float, float, float]:
    """The share of hits, and its interval."""
    hits, many = reads
    low, high = share_interval(hits, many)
    return 100.0 * hits / many, 100.0 * low, 100.0 * high


# -- workload -------------------------------------------------------------------------------------------------


def workload_parts(loads: list[Workload | None]) -> list[Part]:
    known = [load for load in loads if load is not None]
    if not known:
        return []
    columns = (
        Column("", text=True),
        Column("requests"),
        Column("cached", "expected", meaning="by the cache that was found, and the prompts that were sent"),
        Column("cached", "observed"),
        Column("saved", "$, expected"),
        Column("saved", "$, observed"),
        Column("TTFT saved", "ms a request, expected", rank=1),
    )
    rows = []
    for load in known:
        cells = (
            Cell(load.model),
            Cell(count(load.requests), load.requests),
            percent(load.expected),
            percent(load.observed),
            money_cell(load.expected_usd),
            money_cell(load.observed_usd),
            Cell(UNKNOWN if load.ttft_saved_s is None else milliseconds(load.ttft_saved_s), load.ttft_saved_s),
        )
        rows.append(Row(cells, About(model=load.model)))
    note = "Expected is what the cache that was found would do with the same prompts in the same order."
    return [Table("workload", "Expected and observed", columns, tuple(rows), note)]


def percent(value: float | None) -> Cell:
    return Cell(UNKNOWN if value is None else share(value), value)


def money_cell(value: float | None) -> Cell:
    return Cell(UNKNOWN if value is None else dollars(value), value)
