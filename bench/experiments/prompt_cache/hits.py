"""What a hit is, and how many misses show that a beginning is gone. The steps decide by it what to send next, and the
findings decide by it what was found. No pandas here: steps have to start at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

ANSWERED = ("ok", "empty")
"""Outcomes of requests whose prompt was read: one token of an answer may be no text."""
HIT = 0.5  # share of a prompt that was read from the cache, from which on it is a hit
REAL = 0.5  # share of its prefill that a hit has to save
APART = 6.0  # standard deviations of cold TTFT that the prefill takes, before single hits are recognized by time
FEWEST_COLD = 6  # cold prompts of one length, before their TTFT says anything
MISSED = 0.01  # chance that a beginning that is kept is thought to be gone, where requests go to one of several caches
SURE_SHARE = 0.9  # of hits among prompts that were just written, above which a single miss is enough
MISSES_BY_TIME = 2  # a single prompt may be late for another reason


def limit_by_time(cold: Sequence[float], slope: float, length: float) -> float | None:
    """The TTFT, s, below which a prompt was a hit, since half of its prefill was saved. `cold` are the TTFTs of new
    prompts of the same length, s; `slope` is the prefill, in s per token if `length` is in tokens.

    None if a hit saves less than the noise. Long prompts may take more per token than others, but prefill is no more
    than all of TTFT.
    """
    if len(cold) < FEWEST_COLD:
        return None
    mean = fmean(cold)
    whole = min(slope * length, mean)
    return mean - REAL * whole if whole > APART * stdev(cold) else None


def share_of_hits(hits: int, reads: int) -> float:
    """The share of hits among prompts that were just written, with half a hit and half a miss added."""
    return (hits + 0.5) / (reads + 1)


def misses_needed(hits: int, reads: int, *, by_time: bool, missed: float = MISSED) -> int:
    """How many misses in a row show that a beginning is gone, wrong with the chance `missed`, by the hits among reads
    of prompts that were just written."""
    fewest = MISSES_BY_TIME if by_time else 1
    share = share_of_hits(hits, reads)
    if not reads or share > SURE_SHARE:
        return fewest
    return max(fewest, math.ceil(math.log(missed) / math.log(1.0 - share)))
