"""The limits that a run's records show: for each resource looked for, what explains them and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.experiments.rate_limit.bases import Explanation, explanations
from bench.experiments.rate_limit.candidates import MARGIN, Candidate, candidates, roundest, search
from bench.experiments.rate_limit.evidence import REFUSED, told, trials_of
from bench.experiments.rate_limit.replay import CANDIDATE_KINDS, Trials
from bench.experiments.rate_limit.requests import Basis, Costs
from bench.records import Record

UNEXPLAINED = 0.02  # of the requests, which the best candidate may leave unexplained where one is sure


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, as findings.json has it."""

    resource: str  # requests, tokens, input_tokens, output_tokens, images, concurrency
    kind: str | None  # a kind of limiter; None: nothing was refused
    limit: float | None  # per window; of a token bucket what it holds, of concurrency how many at a time
    window_s: float | None  # None of a token bucket and of concurrency
    rate_per_s: float | None  # what it admits for ever; None of concurrency
    burst: float | None  # the most at once
    sure: bool  # whether nothing else explains nearly as much
    candidates: tuple[Candidate, ...]  # each kind at its best, the best first
    asked: str  # the resource that was looked for
    model: str
    charged: str | None  # "ahead" from max_tokens, "after" what was written; None: there is no such difference
    above: float | None  # what was admitted without a refusal; None: there were refusals
    requests: int  # that it is told from
    refused: int
    says: str  # in one sentence


def limits_of(
    asked: Sequence[str], model: str, records: Sequence[Record], costs: Costs | None
) -> list[tuple[Limit, Trials]]:
    """Each limit that was looked for, with its evidence."""
    return [limit_of(resource, model, [one for one in records if one.stage == resource], costs) for resource in asked]


def limit_of(asked: str, model: str, records: Sequence[Record], costs: Costs | None) -> tuple[Limit, Trials]:
    """What limits a resource, by the records of its discovery."""
    plain = trials_of(records)
    if not len(plain) or plain.admitted.all():
        return unlimited(asked, model, plain), plain
    counted = at_a_time(plain) if asked == "concurrency" else explanations(asked, records, costs)
    basis, trials, found = counted[0].basis, counted[0].trials, counted[0].found
    told_of = candidates(found)
    best = told_of[0]
    margin = min((other.weight - best.weight for other in told_of[1:]), default=MARGIN)
    # What even the best one leaves unexplained may be other people's doing, and that may deceive as well.
    rivals = min((other.unexplained for other in told_of[1:]), default=MARGIN) - best.unexplained
    needed = MARGIN if best.unexplained == 0 else MARGIN + 2 * best.unexplained
    sure = margin >= needed and rivals >= 1 and best.unexplained <= max(1.0, UNEXPLAINED * len(trials))
    return entry(asked, model, basis, best, tuple(told_of), trials, sure=sure), trials


def at_a_time(trials: Trials) -> list[Explanation]:
    """The candidates of a search for a limit on what is under way."""
    return [Explanation(Basis("requests", None), trials, search(trials))]


def unlimited(asked: str, model: str, trials: Trials) -> Limit:
    """Nothing was refused."""
    count = len(trials)
    seconds = float(trials.at[-1] - trials.at[0]) if count else 0.0
    says = f"no limit of {asked} was found below {count:,} requests in {seconds:.3g} s"
    return Limit(asked, None, None, None, None, None, False, (), asked, model, None, float(count), count, 0, says)


def entry(
    asked: str, model: str, basis: Basis, best: Candidate, every: tuple[Candidate, ...], trials: Trials, *, sure: bool
) -> Limit:
    """The limit that the best candidate is."""
    resource = "concurrency" if best.kind == "concurrency" else basis.resource
    low, high = best.limit
    limit = low if best.kind != "token_bucket" else high
    limit = round((low + high) / 2) if resource not in ("requests", "concurrency", "images") else limit
    window = None if best.kind in ("token_bucket", "concurrency") else roundest(best.span)
    if best.kind == "token_bucket":
        rate: float | None = sum(best.span) / 2
    else:
        rate = None if window is None else limit / window
    unit = resource.replace("_", " ")
    if best.kind == "concurrency":
        says = f"{limit:g} requests at a time"
    elif best.kind == "token_bucket":
        says = f"{limit:,.0f} {unit} at once, then {rate:.3g} per second, as a token bucket"
    else:
        says = f"{limit:,.0f} {unit} per {window:.4g} s, as {CANDIDATE_KINDS[best.kind]}"
    if not sure:
        others = [one for one in every[1:] if one.weight - best.weight < MARGIN]
        names = " or ".join(CANDIDATE_KINDS[one.kind] for one in others)
        says += f"; {names} would explain it nearly as well" if others else "; it does not explain all that was seen"
    refused = int((~trials.admitted).sum())
    return Limit(
        resource, best.kind, limit, window, rate, None if best.kind == "concurrency" else limit, sure, every, asked,
        model, basis.charged, None, len(trials), refused, says,
    )  # fmt: skip


def is_refused(record: Record) -> bool:
    return record.outcome in REFUSED


__all__ = ["Limit", "limits_of", "told"]
