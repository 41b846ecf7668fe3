"""What weakens a comparison, and what else differs between its arms, in sentences without their full stop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.analysis.costs import unequal_caching
from bench.analysis.figures import share_of
from bench.analysis.numerals import count, milliseconds, number
from bench.analysis.pairs import matched, values
from bench.analysis.statistics import centre, coin_tail, holm
from bench.experiments.compare.verdict import Asked

LENGTHS = (0.9, 1.1)
"""Within which the answers of two arms are of comparable length (candidate / baseline)."""
CHANCE = 0.05
"""Of one false alarm among the outcomes of a comparison."""
DRIFT = 0.1
"""By how much the baseline's p50 may change from the first third of the run to the last without a word."""


def seen(rows: pd.DataFrame, asked: Asked) -> Iterator[str]:
    """What else was seen: requests that end in other words, and a server that changed while it was asked."""
    for candidate in asked.candidates:
        yield from changed_outcomes(*matched(rows, asked.arms[0], candidate), candidate)
    yield from drift(rows[rows["arm"] == asked.arms[0]], asked.arms[0])


def drift(rows: pd.DataFrame, baseline: str) -> Iterator[str]:
    """Whether the baseline itself became slower or faster meanwhile."""
    metric = "ttft" if rows["ttft_s"].notna().any() else "e2e"
    good = rows[(rows["outcome"] == "ok") & rows[f"{metric}_s"].notna()].sort_values("sent")
    third = len(good) // 3
    if third < 30:
        return
    first, last = (float(part[f"{metric}_s"].median()) for part in (good.iloc[:third], good.iloc[-third:]))
    if first > 0 and abs(last / first - 1.0) > DRIFT:
        name = "first token" if metric == "ttft" else "answer"
        yield (
            f"the server changed meanwhile: {baseline}'s {name} took {milliseconds(first)} ms (p50) in the first third "
            f"of the run and {milliseconds(last)} ms in the last; pairs are not misled by that"
        )


def changed_outcomes(a: pd.DataFrame, b: pd.DataFrame, candidate: str) -> Iterator[str]:
    """Outcomes and finish reasons that are more frequent in one arm than in the other, and not by chance."""
    tried: list[tuple[str, str, int, int, float]] = []
    for column, verb in (("outcome", "end as"), ("finish_reason", "finish with")):
        ours, theirs = b[column].astype(object).to_numpy(), a[column].astype(object).to_numpy()
        for word in sorted({str(one) for one in (*ours, *theirs) if isinstance(one, str) and one != "ok"}):
            more, fewer = int(((ours == word) & (theirs != word)).sum()), int(((theirs == word) & (ours != word)).sum())
            p = min(1.0, 2.0 * coin_tail(max(more, fewer), more + fewer))
            tried.append((verb, word, int((ours == word).sum()), int((theirs == word).sum()), p))
    for (verb, word, many, others, _), proven in zip(tried, holm([one[-1] for one in tried], CHANCE), strict=True):
        if proven:
            which = "more" if many > others else "fewer"
            yield f"{which} requests of {candidate} {verb} {word}: {count(many)} against {count(others)}, not by chance"


def doubts_of(rows: pd.DataFrame, asked: Asked) -> Iterator[str]:
    """What weakens the comparison, in sentences without their full stop."""
    for candidate in asked.candidates:
        a, b = matched(rows, asked.arms[0], candidate)
        good = ((a["outcome"] == "ok").to_numpy()) & ((b["outcome"] == "ok").to_numpy())
        yield from unlike_lengths(a[good], b[good], candidate)
        shares = {asked.arms[0]: a[good], candidate: b[good]}
        told = unequal_caching(
            {arm: share_of(rows, "cached_tokens", "prompt_tokens").value for arm, rows in shares.items()}
        )
        yield from () if told is None else (told,)
        if asked.block is None:
            yield from second_is_faster(a[good], b[good])


def unlike_lengths(a: pd.DataFrame, b: pd.DataFrame, candidate: str) -> Iterator[str]:
    for column, what in (("completion_tokens", "tokens"), ("output_chars", "characters")):
        ours, theirs = float(b[column].mean()), float(a[column].mean())
        if theirs > 0 and not LENGTHS[0] <= ours / theirs <= LENGTHS[1]:
            yield (
                f"{candidate}'s answers have {number(ours)} {what} on average, and its baseline's {number(theirs)}: "
                "times to the end compare unlike work; set max_tokens so that both stop there"
            )
            return


def second_is_faster(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[str]:
    """Whether the request of a pair that came second was quicker: then the first has warmed something for it."""
    ours, theirs = values(b, "ttft"), values(a, "ttft")
    known = np.isfinite(ours) & np.isfinite(theirs)
    if known.sum() < 20:
        return
    late = (b["sent"].to_numpy() > a["sent"].to_numpy())[known]
    first, second = np.where(late, theirs[known], ours[known]), np.where(late, ours[known], theirs[known])
    effect = centre(first, second, margin=0.05)
    if effect.high is not None and effect.ratio is not None and effect.high < 1.0 and effect.ratio < 0.97:
        yield (
            f"the request of a pair that came second was {100 * (1 - effect.ratio):.0f} % quicker, whichever arm it "
            "was for: the first warms a cache for it, so differences look smaller than they are; add nonce: true to "
            "the prompts"
        )
