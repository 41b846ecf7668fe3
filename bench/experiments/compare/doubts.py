"""Doubts about a comparison, and other differences between its arms, as sentences without a full stop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.analysis.costs import unequal_caching
from bench.analysis.figures import percentiles, share_of
from bench.analysis.likeness import counted_otherwise, same_length
from bench.analysis.numerals import count, milliseconds, number
from bench.analysis.pairs import matched, values
from bench.analysis.sections import capital
from bench.analysis.statistics import centre, coin_tail, holm
from bench.experiments.compare.verdict import Asked

CHANCE = 0.05
"""The probability of a false alarm among the outcomes of a comparison."""
FINISHES = {"max_tokens": "length", "end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls"}
"""The finish reasons of messages, as chat calls them: arms may ask by different APIs."""
DRIFT = 0.1
"""The change of the baseline's p50 from the first third of the run to the last above which a sentence reports it."""


def other_differences(rows: pd.DataFrame, asked: Asked) -> Iterator[str]:
    """Other differences: outcomes that are more frequent in one arm, and a server that changed during the run."""
    for candidate in asked.candidates:
        yield from changed_outcomes(*matched(rows, asked.arms[0], candidate), candidate)
    yield from drift(rows[rows["arm"] == asked.arms[0]], asked.arms[0])


def drift(rows: pd.DataFrame, baseline: str) -> Iterator[str]:
    """Whether the baseline itself became slower or faster during the run."""
    metric = "ttft" if rows["ttft_s"].notna().any() else "e2e"
    good = rows[(rows["outcome"] == "ok") & rows[f"{metric}_s"].notna()].sort_values("sent")
    third = len(good) // 3
    if third < 30:
        return
    own = good[f"{metric}_s"].to_numpy(np.float64)
    first, last = (percentiles(part, ["p50"])[0] for part in (own[:third], own[-third:]))
    if first > 0 and abs(last / first - 1.0) > DRIFT:
        name = "first token" if metric == "ttft" else "answer"
        yield (
            f"The server changed during the run: {baseline}'s {name} took {milliseconds(first)} ms (p50) in the first "
            f"third of the run and {milliseconds(last)} ms in the last; this does not affect the pairs"
        )


def changed_outcomes(a: pd.DataFrame, b: pd.DataFrame, candidate: str) -> Iterator[str]:
    """Outcomes, and of pairs that were answered finish reasons, that are more frequent in one arm than in the other,
    more than by chance."""
    tried: list[tuple[str, str, int, int, float]] = []
    answered = ((a["outcome"] == "ok").to_numpy()) & ((b["outcome"] == "ok").to_numpy())
    for column, verb, of in (("outcome", "end as", slice(None)), ("finish_reason", "finish with", answered)):
        ours, theirs = (side[column].astype(object).replace(FINISHES).to_numpy()[of] for side in (b, a))
        for word in sorted({value for value in (*ours, *theirs) if isinstance(value, str) and value != "ok"}):
            more, fewer = int(((ours == word) & (theirs != word)).sum()), int(((theirs == word) & (ours != word)).sum())
            p = min(1.0, 2.0 * coin_tail(max(more, fewer), more + fewer))
            tried.append((verb, word, int((ours == word).sum()), int((theirs == word).sum()), p))
    for (verb, word, many, others, _), proven in zip(tried, holm([test[-1] for test in tried], CHANCE), strict=True):
        if proven:
            which = "More" if many > others else "Fewer"
            yield f"{which} requests of {candidate} {verb} {word}: {count(many)} against {count(others)}, not by chance"


def doubts_of(rows: pd.DataFrame, asked: Asked) -> Iterator[str]:
    """The reasons to doubt the comparison, as sentences without a full stop."""
    for candidate in asked.candidates:
        a, b = matched(rows, asked.arms[0], candidate)
        good = ((a["outcome"] == "ok").to_numpy()) & ((b["outcome"] == "ok").to_numpy())
        yield from unlike_lengths(a[good], b[good], candidate)
        shares = {asked.arms[0]: a[good], candidate: b[good]}
        doubt = unequal_caching(
            {arm: share_of(rows, "cached_tokens", "prompt_tokens").value for arm, rows in shares.items()}
        )
        yield from () if doubt is None else (capital(doubt),)
        if asked.block is None:
            yield from second_is_faster(a[good], b[good])


def unlike_lengths(a: pd.DataFrame, b: pd.DataFrame, candidate: str) -> Iterator[str]:
    tokens = visible_tokens(a), visible_tokens(b)
    if counted_otherwise(tokens, (float(a["output_chars"].mean()), float(b["output_chars"].mean()))):
        yield (
            f"{candidate}'s answers have {number(tokens[1])} tokens on average, and its baseline's {number(tokens[0])} "
            "for about as many characters: their tokens are not the same, so compare TTFT and E2E, not TPOT and "
            "tokens/s"
        )
        return
    for column, what in (("completion_tokens", "tokens"), ("output_chars", "characters")):
        ours, theirs = float(b[column].mean()), float(a[column].mean())
        if theirs > 0 and not same_length(theirs, ours):
            yield (
                f"{candidate}'s answers have {number(ours)} {what} on average, and its baseline's {number(theirs)}: "
                "times to the end compare different amounts of work; set max_tokens so that both stop there"
            )
            return


def visible_tokens(rows: pd.DataFrame) -> float:
    """Mean completion tokens without reasoning, of which a server may show nothing."""
    return float((rows["completion_tokens"] - rows["reasoning_tokens"].fillna(0.0)).mean())


def second_is_faster(a: pd.DataFrame, b: pd.DataFrame) -> Iterator[str]:
    """Whether the second request of a pair was faster: then the first one warmed a cache for it."""
    ours, theirs = values(b, "ttft"), values(a, "ttft")
    known = np.isfinite(ours) & np.isfinite(theirs)
    if known.sum() < 20:
        return
    late = (b["sent"].to_numpy() > a["sent"].to_numpy())[known]
    first, second = np.where(late, theirs[known], ours[known]), np.where(late, ours[known], theirs[known])
    effect = centre(first, second, margin=0.05)
    if effect.high is not None and effect.ratio is not None and effect.high < 1.0 and effect.ratio < 0.97:
        yield (
            f"The second request of a pair was {100 * (1 - effect.ratio):.0f} % faster, in both arms: the first one "
            "warms a cache for it, so differences look smaller than they are; add nonce: true to the prompts"
        )
