"""How long things last, when each was looked at once: it was still there, so it lasts longer than its age, or it was
gone, so it lasted less long. Observations come in, the age at which half are gone goes out, with its interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

AT_ONCE = 1e4  # the shape with which all go at one age
SHAPES = np.array([*np.geomspace(0.4, 25.0, 20), AT_ONCE])  # Weibull's: 1 forgets at random
SHAPES_PRIOR = np.array([0.5 / 20] * 20 + [0.5])
FRESH = np.array([*np.linspace(0.05, 0.98, 19), 1.0])  # shares of the youngest that are found
FRESH_PRIOR = np.array([0.5 / 19] * 19 + [0.5])
HALVES = 240  # ages that are tried as the one at which half are gone
BEYOND = 5.0  # times the youngest and the oldest age that was looked at, where they begin and end
FEWEST = 6  # observations
SURE = 0.95  # chance that it is not one age, before we say so
FAR = 30.0  # below the likeliest logarithm, where nothing needs to be looked for
NOTHING_LEFT = 1e6  # half-lives, to the power of the shape, after which nothing can be left
NONE = 1e-12  # chance of what a model holds to be impossible: the logarithm of 0 is none


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at once."""

    at_least: float  # its age, s; the clock tells it only between two moments
    at_most: float  # s
    there: bool


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """Of those that are found while young, exp(−ln 2 · (age / half)^shape) are still there at an age (Weibull 1951)."""

    half: float  # s; the age at which half of them are gone
    low: float  # s; it lies between these with 95 %
    high: float
    shape: float
    found: float  # share of the young ones that are found
    gradual: bool  # whether they go one by one, and not all at one age (95 %)

    def alive(self, age: float) -> float:
        """The share that is still there at an age in s."""
        if age <= 0.0:
            return 1.0
        power = min(self.shape * math.log(age / self.half), 7.0)  # beyond it nothing is left
        return math.exp(-math.log(2.0) * math.exp(power))


def survival_curve(looks: Sequence[Look], young: tuple[int, int]) -> SurvivalCurve | None:
    """The survival that the looks make likely, by Bayes' rule on a grid: half and shape are of any size alike, and it
    is as likely that all go at one age. `young` are the finds, and all looks, at things that are surely not too old:
    where some of them are not found, it is not for their age. None for few looks, or if all were there, or none."""
    if len(looks) < FEWEST or len({one.there for one in looks}) < 2:
        return None
    ages = np.maximum(np.array([one.at_least if one.there else one.at_most for one in looks]), 1e-3)
    there = np.array([one.there for one in looks])
    halves = np.geomspace(ages.min() / BEYOND, ages.max() * BEYOND, HALVES)
    chances = posterior(ages, there, halves, young)
    shapes, summed = chances.sum(axis=0), np.cumsum(chances.sum(axis=1))
    low, half, high = (float(halves[np.searchsorted(summed, part)]) for part in (0.025, 0.5, 0.975))
    step = float(halves[1] / halves[0])
    gradual = bool(shapes[-1] < 1.0 - SURE)
    shape = math.exp(float(np.average(np.log(SHAPES[:-1]), weights=shapes[:-1]))) if gradual else AT_ONCE
    found = young[0] / young[1] if young[1] else 1.0
    return SurvivalCurve(half, low / step, high * step, shape, found, gradual)


def posterior(ages: Floats, there: npt.NDArray[np.bool_], halves: Floats, young: tuple[int, int]) -> Floats:
    """The chance of each half (rows) and shape (columns)."""
    with np.errstate(over="ignore"):
        power = np.minimum((ages[None, None, :] / halves[:, None, None]) ** SHAPES[None, :, None], NOTHING_LEFT)
    logs = -math.log(2.0) * power  # of the share that is still there
    gone, kept = np.exp(logs[:, :, ~there]), logs[:, :, there].sum(axis=-1)
    shares = np.array([of_share(fresh, *young) for fresh in FRESH])
    told = np.full((len(FRESH), *kept.shape), -np.inf)
    for place in np.flatnonzero(shares > shares.max() - FAR):
        fresh = FRESH[place]
        missed = np.log1p(-np.minimum(fresh * gone, 1.0 - NONE)).sum(axis=-1)
        told[place] = kept + there.sum() * math.log(fresh) + missed + shares[place]
    chances: Floats = np.exp(told - told.max()) * FRESH_PRIOR[:, None, None] * SHAPES_PRIOR[None, None, :]
    both: Floats = chances.sum(axis=0) / chances.sum()
    return both


def of_share(share: float, finds: int, looks: int) -> float:
    """The logarithm of the chance of these finds, if this share is found."""
    share = min(share, 1.0 - NONE)
    return finds * math.log(share) + (looks - finds) * math.log1p(-share)
