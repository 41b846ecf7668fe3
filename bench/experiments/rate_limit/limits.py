"""The limits that a run's records show: for each resource asked about, the best explanation and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.analysis.numerals import counted, duration, listed
from bench.experiments.rate_limit.bases import EARLIEST, Explanation, explanations, rivals
from bench.experiments.rate_limit.candidates import MARGIN, Candidate, Found, candidates, search
from bench.experiments.rate_limit.evidence import INCURABLE, held_back, longest_held, trials_of, undisguised
from bench.experiments.rate_limit.replay import CANDIDATE_KINDS, Trials, readings
from bench.experiments.rate_limit.requests import Basis, Costs
from bench.experiments.rate_limit.strangers import Answer, Rivalry, answer_of, rivalry, unless_round
from bench.records import Record

CHARGED = {None: "", "ahead": " ahead, from max_tokens,", "after": " once they are written"}
"""When something is counted, in words."""
VAGUE = 0.2  # of the requests, which the answer may explain whether they were admitted or refused
UNEXPLAINED = 0.02  # of the requests, which the best candidate may leave unexplained where one is sure


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, as findings.json has it."""

    resource: str  # requests, tokens, input_tokens, output_tokens, images, concurrency
    kind: str | None  # a kind of limiter; None: nothing was refused, or nothing was admitted again
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
    held_s: float | None  # the longest that it held an admitted request back; None: it holds none back
    unless_round_s: tuple[float, float] | None  # shortest and longest window of no round length that would explain as
    # much; None: they lie near window_s, or the answer is not sure
    says: str  # in one sentence


def limits_of(
    asked: Sequence[str], model: str, records: Sequence[Record], costs: Costs | None
) -> list[tuple[Limit, Trials]]:
    """Each limit that was looked for, with its evidence."""
    return [limit_of(resource, model, [one for one in records if one.stage == resource], costs) for resource in asked]


def limit_of(asked: str, model: str, records: Sequence[Record], costs: Costs | None) -> tuple[Limit, Trials]:
    """The limit of one resource, from the records of its discovery, and what ended the search early."""
    limit, trials = explained(asked, model, records, costs)
    wrong = next((one for one in records if undisguised(one).outcome in INCURABLE), None)
    if wrong is None:
        return limit, trials
    return replace(limit, says=f"{limit.says}. The search ended at a request that failed: {wrong.error}"), trials


def explained(asked: str, model: str, records: Sequence[Record], costs: Costs | None) -> tuple[Limit, Trials]:
    """The limit of one resource, from the records of its discovery."""
    plain = trials_of(records, exact=True)
    if not len(plain) or plain.admitted.all():
        return unlimited(asked, model, plain), plain
    if asked != "concurrency" and not has_recovered(plain):
        return used_up(asked, model, plain), plain
    ways = at_a_time(plain) if asked == "concurrency" else explanations(asked, records, costs)
    basis, trials, found = ways[0].basis, ways[0].trials, ways[0].found
    every = candidates(found)
    if asked == "concurrency":  # of equals the one that was asked about
        every = sorted(every, key=lambda one: (one.weight, one.kind != "concurrency"))
    answer = answer_of(every[0], basis.resource)
    why = doubt(every, answer, found, trials) or otherwise_counted(asked, ways)
    unless = unless_round(answer, found, trials) if why is None else None
    return entry(asked, model, basis, answer, tuple(every), trials, why, unless), trials


def doubt(every: Sequence[Candidate], answer: Answer, found: Found, trials: Trials) -> str | None:
    """Why the answer is not sure; None if it is."""
    best, *others = every
    near = [one for one in others if one.weight - best.weight < MARGIN]
    if near:
        return f"{listed([CANDIDATE_KINDS[one.kind] for one in near], 'or')} would explain it nearly as well"
    # What even the best one leaves unexplained may be other people's doing, and that may deceive as well.
    if best.unexplained > max(1.0, UNEXPLAINED * len(trials)):
        return f"it leaves {best.unexplained} of {len(trials):,} requests unexplained"
    if (either := undecided(answer, found, trials)) > VAGUE * len(trials):
        return f"it would explain {either} of {len(trials):,} requests whether they were admitted or refused"
    rival = rivalry(answer, found, trials)
    return None if rival.other is None or rival.is_won else despite(rival, rival.other)


def undecided(answer: Answer, found: Found, trials: Trials) -> int:
    """How many requests the answer would explain either way, because their moment is not known exactly. A limiter that
    fits the distance of our own requests does so always and is no finding."""
    best = found[answer.kind].best(0.0)
    shown = readings(best.rows[:1], trials)
    return int(((shown.low <= answer.limit + 1e-6) & (shown.high > answer.limit + 1e-6)).sum())


def otherwise_counted(asked: str, every: Sequence[Explanation]) -> str | None:
    """Other ways of counting the same resource that explain the records equally well, in words; None if there are
    none."""
    _, *others = (one.basis for one in rivals(every))
    others = [one for one in others if asked in EARLIEST and one.resource in EARLIEST[asked]]
    words = {f"counting {one.resource.replace('_', ' ')}{CHARGED[one.charged]}": one for one in others}
    return f"{listed([*words], 'or')} would explain it as well" if words else None


def despite(rival: Rivalry, other: Answer) -> str:
    """What else the limiter may be, and how many requests of other people that takes."""
    answer = rival.answer
    if other.kind != answer.kind:
        what = CANDIDATE_KINDS[other.kind]
    elif other.limit != answer.limit:
        what = f"a limit of {other.limit:,.0f}"
    else:
        what = f"{other.span:.3g} per second" if other.kind == "token_bucket" else f"a window of {other.span:.4g} s"
    if rival.others <= rival.mine:
        return f"{what} would explain it as well"
    return f"if other people sent {counted(max(1.0, rival.others), 'requests')} meanwhile, it may be {what}"


def at_a_time(trials: Trials) -> list[Explanation]:
    """The candidates of a search for a limit on what is under way."""
    return [Explanation(Basis("requests", None), trials, search(trials))]


def unlimited(asked: str, model: str, trials: Trials) -> Limit:
    """The result if nothing was refused."""
    count = len(trials)
    seconds = float(trials.at[-1] - trials.at[0]) if count else 0.0
    says = f"no limit of {asked} was found below {counted(count, 'requests')} in {duration(seconds)}"
    if (apart := held_back(trials)) is not None:
        says += f"; but answers came one by one, {duration(apart)} apart: the server makes requests wait"
    return Limit(
        asked, None, None, None, None, None, False, (), asked, model, None, float(count), count, 0, None, None, says
    )


def has_recovered(trials: Trials) -> bool:
    """Whether a request was admitted again that was sent after the answer to the first refused one."""
    refused = int((~trials.admitted).argmax())
    return bool((trials.admitted & (trials.at > trials.done[refused])).any())


def used_up(asked: str, model: str, trials: Trials) -> Limit:
    """The result if nothing was admitted again: how much there was, and that it takes longer than was waited."""
    admitted, refused = int(trials.admitted.sum()), int((~trials.admitted).sum())
    last = trials.at[trials.admitted][-1] if admitted else trials.at[0]
    says = f"{counted(admitted, 'requests')} {'was' if admitted == 1 else 'were'} admitted, then none for "
    says += f"{duration(float(trials.at[-1] - last))}: its window is longer, or refused requests keep it shut"
    limit = float(admitted) if asked == "requests" else None
    return Limit(
        asked, None, limit, None, None, limit, False, (), asked, model, None, None, len(trials), refused, None, None,
        says,
    )  # fmt: skip


def entry(
    asked: str,
    model: str,
    basis: Basis,
    answer: Answer,
    every: tuple[Candidate, ...],
    trials: Trials,
    why: str | None,
    unless: tuple[float, float] | None,
) -> Limit:
    """The limit with its numbers and its sentence; `why` says why it is not sure, `unless` which windows of no round
    length would explain as much."""
    kind, limit = answer.kind, answer.limit
    resource = "concurrency" if kind == "concurrency" else basis.resource
    window = None if kind in ("token_bucket", "concurrency") else answer.span
    rate = answer.span if kind == "token_bucket" else None if window is None else limit / window
    held = longest_held(trials) if held_back(trials) is not None else None
    size = counted(limit, resource.replace("_", " "))
    if kind == "concurrency":
        says = f"{counted(limit, 'requests')} at a time"
    elif kind == "token_bucket":
        says = f"{size} at once, then {rate:.3g} per second, as a token bucket"
        says += "" if held is None else f" that holds back what comes faster, for up to {held:.2g} s"
    else:
        says = f"{size} per {window:.4g} s, as {CANDIDATE_KINDS[kind]}"
        says += "" if unless is None else ", if its window is a round one"
    says = says if why is None else f"probably {says}. Not sure: {why}"
    refused = int((~trials.admitted).sum())
    return Limit(
        resource, kind, limit, window, rate, None if kind == "concurrency" else limit, why is None, every, asked,
        model, basis.charged, None, len(trials), refused, held, unless, says,
    )  # fmt: skip
