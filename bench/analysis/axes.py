"""What charts of latencies have in common: a logarithmic axis, which of many requests have a dot, and the note about
those that have none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.analysis.numerals import counted

LOG_FROM = 30.0  # a spread of more than this between the smallest and the largest is shown on a logarithmic axis
DOTS = 2000  # the largest number of requests of one model, or of one arm, in a chart over time


def is_log(smallest: float, largest: float) -> bool:
    """Whether an axis from the smallest value to the largest is logarithmic."""
    return smallest > 0 and largest / smallest > LOG_FROM


def thinned(count: int, room: int) -> npt.NDArray[np.int64]:
    """The places of at most `room` of `count` values, evenly spread; all of them if there is room."""
    if not count:
        return np.zeros(0, np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, room)).round().astype(np.int64))


def without_dot(shown: int, answers: int, beyond: int) -> list[str]:
    """What a chart with dots leaves out, in words: how many of the `answers` are `shown`, and how many of them lie
    `beyond` its upper edge; empty if nothing is left out."""
    told = [f"{shown:,} of {counted(answers, 'answers')} are shown as dots"] if shown < answers else []
    return [*told, *([f"{counted(beyond, 'slower answers', 'lie')} above the upper edge"] if beyond else [])]
