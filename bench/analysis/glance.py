"""A run in a few sentences: what it shows, how it was judged, what failed and why, whether to trust it, what to do.

The report says all of it again below, with reasons; nothing is computed only for this part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from bench.analysis.causes import Cause
from bench.analysis.checks import threshold_value
from bench.analysis.columns import waits_much
from bench.analysis.comparison import Comparison
from bench.analysis.curve import curve_of, slo_in_words
from bench.analysis.doubts import ShortStage, short_stages
from bench.analysis.errors import short_message_of, show_command
from bench.analysis.groups import ALL, Group
from bench.analysis.model_findings import of_models, said
from bench.analysis.numerals import at_stage, count, counted, duration, listed, milliseconds, number, share
from bench.analysis.recovery import after_a_spike, is_only_a_spike, recovery
from bench.analysis.refusals import quick_retries
from bench.analysis.run import Run
from bench.analysis.sections import Sentence, Tone, capital
from bench.analysis.stops import stop_of
from bench.analysis.summary import Summary, proves_nothing
from bench.analysis.sweep import after_a_sweep, one_rate, sweep
from bench.analysis.thresholds import Judgement, needs_more
from bench.analysis.validity import Validity, grade_bound
from bench.metrics import FLOORS, METRICS, OUTCOME_MEANINGS, UNFAILED
from bench.plan.load import MEASURE

KINDS = 3  # of failures that are named
STAGES = 3  # that have a sentence each
CLASSES = 6  # that have a line each
WORDS = {"valid": "yes", "suspect": "with care", "invalid": "no"}

FIND_LIMIT = "kind: rate_limit finds out how much the provider takes"
NEXT: dict[str, str] = {
    "throttled": f"send less, or set more retries; {FIND_LIMIT}",
    "quota": "fill up the account, or raise its spend cap",
    "overloaded": "send less, or at another time: the server had no room for anybody",
    "auth": "check the key",
    "invalid": "read the message and change the request; bench send shows one whole",
    "server_error": "report it to whoever runs the server, with the request's id",
    "timeout": "send less, or raise timeouts if answers may take that long",
    "connect": "check the address, and that the server runs",
    "protocol": "look at one of them: the address is perhaps not an API's, or the connection broke",
    "stream_error": "read the message, which the server sent inside its answer",
    "truncated": "look at one of them: the server, or a proxy before it, breaks answers off",
    "empty": "raise max_tokens, which a reasoning model may use up before its answer begins; if that does not help, a "
    "filter may remove what it says",
}


def glance(run: Run) -> list[Sentence]:
    """The sentences, in the order of a stranger's questions."""
    summary = run.summary
    if not summary.counts.recorded:
        return []
    return [
        *shown(run),
        *judged(run),
        failed(summary),
        with_short_stages(trust(summary), short_stages(run.requests, run.stages)),
        *([Sentence("What to do next:", details=tuple(steps))] if (steps := list(next_steps(run))) else []),
    ]


# -- what it shows ----------------------------------------------------------------------------------------------


def shown(run: Run) -> list[Sentence]:
    """What a spike cost, how the models differ, what more load does, or how long one model takes."""
    groups = [group for group in run.summary.groups if group.name == ALL and group.e2e_s.n]
    curve = curve_of(run)
    told = recovery(run)
    if len(curve.loads) > 1:
        more = [] if is_only_a_spike(run) else sweep(curve)
        return told + [Sentence(text) for text in more + at_both_ends(of_models(run.summary.comparisons))]
    stages = list(dict.fromkeys(group.stage for group in groups))
    found = of_models(run.summary.comparisons)
    if len(stages) > STAGES:
        stages = [stages[0], stages[-1]]
    failing, slo = any(group.error_rate for group in groups), slo_in_words(run.facts.scenario.slo or {})
    told += [Sentence(text) for text in one_rate(curve)]
    for stage in stages:
        during = f"{at_stage(stage)}, " if len(stages) > 1 else ""
        differ = said([one for one in found if one.stage == stage], during=during)
        left = [group for group in groups if group.stage == stage and group.model not in differ]
        if differ:  # their sentences have the first model in them
            left = [group for group in left if group.model != found[0].against]
        told += [Sentence(text) for text in differ.values()]
        if differ and slo and not during:
            told.append(Sentence(met_by([group for group in groups if group.stage == stage], slo)))
        told += [pace(run, group, staged=bool(during), failing=failing, slo=slo) for group in left]
    return told


def met_by(groups: Sequence[Group], slo: str) -> str:
    """How many of each model's requests met the SLO."""
    met = [f"{share(group.goodput)} of {group.model}'s" for group in groups if group.goodput is not None]
    return f"{' and '.join(met)} requests met the SLO ({slo})."


def tried_in_vain(rows: pd.DataFrame, group: Group) -> int:
    """The number of requests that were tried again, if they are many, none of them was answered and no answer was
    waited for; else 0. `rows` are the measured requests."""
    mine = rows[(rows["stage"] == group.stage) & (rows["model"] == group.model)]
    again = mine["attempts"] > 1
    answered_late = (mine["outcome"] == "ok") & (again | (mine["waited_s"] > 0.0))
    return 0 if answered_late.any() or not waits_much(group) else int(again.sum())


def at_both_ends(found: Sequence[Comparison]) -> list[str]:
    """How each model differs from the first, in the first and the last of the stages."""
    stages = list(dict.fromkeys(one.stage for one in found if one.stage is not None))
    return [
        text
        for stage in dict.fromkeys(stages[:1] + stages[-1:])
        for text in said([one for one in found if one.stage == stage], during=f"{at_stage(stage)}, ").values()
    ]


def pace(run: Run, group: Group, *, staged: bool, failing: bool, slo: str) -> Sentence:
    """How long one model took, where requests are `failing` how many it answered, and where there is an SLO how many of
    them met it. Classes that ask in different ways are told one by one: a median over them is of none."""
    in_vain = tried_in_vain(run.requests, group)  # what waits cost is in no answer's time
    during = f", {group.stage}" if staged else ""
    met = f" {share(group.goodput)} of the requests met the SLO ({slo})." if slo and group.goodput is not None else ""
    vain = f" {counted(in_vain, 'requests', 'were')} tried again and never answered, so these times leave out "
    vain = f"{vain}what waiting costs." if in_vain else ""
    rate = f"{number(group.requests_per_s)} answers/s."
    if classes := unlike_classes(run, group):
        told = [f"{one.name}: {', '.join(times(one, failing=failing, waits=not in_vain))}" for one in classes[:CLASSES]]
        told += [f"{counted(len(classes) - CLASSES, 'further classes')}, below"] if len(classes) > CLASSES else []
        each = " Its request classes ask in different ways, so each has its own times:"
        return Sentence(f"{group.model}{during}: {rate}{met}{vain}{each}", details=tuple(told))
    listing = ", ".join(times(group, failing=failing, waits=not in_vain))
    return Sentence(f"{group.model}{during}: {listing}; {rate}{met}{vain}")


def unlike_classes(run: Run, group: Group) -> list[Group]:
    """The request classes of a model in a stage, if they differ in API or in whether answers stream; else none."""
    rows = run.requests
    mine = rows[(rows["stage"] == group.stage) & (rows["model"] == group.model) & (rows["outcome"] == "ok")]
    if len(mine[["api", "stream"]].drop_duplicates()) < 2:
        return []
    same = [one for one in run.summary.groups if (one.stage, one.model) == (group.stage, group.model)]
    return [one for one in same if one.name != ALL and one.e2e_s.n]


def times(group: Group, *, failing: bool, waits: bool) -> list[str]:
    """How soon answers begin and end, in words; where requests are `failing`, how many were answered."""
    told = []
    if failing and group.error_rate is not None:
        told.append(f"{share(1.0 - group.error_rate)} of the requests answered")
    if group.ttft_s.n:
        told.append(f"first {'sound' if group.item == 'sound' else 'token'} after {typical(group, 'ttft')}")
    told.append(f"answer complete after {typical(group, 'e2e')}")
    if waits_much(group) and waits:
        told.append(f"{typical(group, 'e2e_from_due')} with failed attempts and waits")
    return told


def typical(group: Group, metric: str) -> str:
    """The median, or the mean where it is withheld."""
    found = group.latency(metric)
    if found.p50 is None:
        return f"{milliseconds(found.mean)} ms (mean)"
    return f"{milliseconds(found.p50)} ms (p50)"


# -- how it was judged, what failed, and whether to trust it -------------------------------------------------------


def judged(run: Run) -> list[Sentence]:
    """What each threshold asked for and got; nothing of questions that are judged by their own rules."""
    every = run.summary.thresholds
    if not every:
        alone = run.facts.scenario.kind == "load" and run.summary.failing is None
        but = "; its SLO counts for goodput only" if run.facts.scenario.slo else ""
        return [Sentence(f"Judged: no, the scenario states no thresholds{but}.")] if alone else []
    short = [one for one in every if one.verdict != "pass"]
    if proves_nothing(run.summary):
        passed = f"{count(len(every) - len(short))} of {counted(len(every), 'thresholds')} passed"
        text = f"Judged: inconclusive, since the measurement is invalid; {passed}."
        return [Sentence(text, "doubt", tuple(map(why, short)))]
    if not short:
        got = ", ".join(f"{one.expression} (got {threshold_value(one)})" for one in every)
        return [Sentence(f"Judged: {'passed' if len(every) == 1 else 'all passed'}: {got}.", "good")]
    failing = [one for one in short if one.verdict == "fail"]
    word, found = ("failed", failing) if failing else ("inconclusive", short)
    text = f"Judged: {word}, by {count(len(found))} of {counted(len(every), 'thresholds')}."
    return [Sentence(text, "bad" if failing else "doubt", tuple(map(why, short)))]


def why(one: Judgement) -> str:
    """What a threshold that did not pass got, and its reason."""
    got = f"got {threshold_value(one)}"
    if one.reason is None:
        return f"{one.expression}: {one.verdict}, {got}"
    alone = " of the answers alone" if one.failed else ""
    shown = "" if one.value is None else f"; {got}{alone}"
    return f"{one.expression}: {one.verdict}, since {one.reason}{shown}"


def trust(summary: Summary) -> Sentence:
    """Whether the figures can be quoted, and the main reason if not."""
    validity = summary.validity
    if not summary.counts.ok:
        return Sentence("To be trusted: there is nothing to trust, since no request succeeded.", "bad")
    if validity.verdict == "valid":
        many = len(summary.doubts)
        if summary.failing is not None:
            return Sentence(
                f"To be trusted: yes, but the figures are of the {counted(summary.counts.ok, 'requests')} that "
                "succeeded.",
                "doubt",
            )
        more = f"; Validity, below, has {counted(many, 'remarks')}" if many else ""
        early = stop_of(summary.stopped_by)
        though = "" if early is None else f", though {early.sentence}"
        text = f"To be trusted: yes, the measurement is valid{though}{more}."
        return Sentence(text, "good" if early is None else "doubt")
    reason = problem(validity.reasons[0]) if validity.reasons else ""
    tone: Tone = "bad" if validity.verdict == "invalid" else "doubt"
    if off := only_off(validity):
        return Sentence(f"To be trusted: all but {off}. {capital(reason)}.", tone)
    because = f": {reason}" if reason else ""
    return Sentence(f"To be trusted: {WORDS[validity.verdict]}, the measurement is {validity.verdict}{because}.", tone)


def with_short_stages(trusted: Sentence, found: Sequence[ShortStage]) -> Sentence:
    """The sentence, followed by which stages were over before most of their answers came."""
    if not found:
        return trusted
    stages = [one.stage for one in found if one.stage != MEASURE]
    of = f" of {' and of '.join(stages)}" if stages else ""
    text = f"{trusted.text} But latencies{of} are those of a burst: answers took longer than the stage."
    return replace(trusted, text=text, tone="doubt" if trusted.tone == "good" else trusted.tone)


def only_off(validity: Validity) -> str:
    """The latencies that may be off, if that is all that is wrong; else empty."""
    off = dict.fromkeys(bound.metric for bound in validity.bounds if grade_bound(bound) != "valid")
    alone = len(off) == len(validity.reasons) and validity.verdict == "suspect"
    return " and ".join(METRICS[metric].title for metric in off) if alone else ""


def problem(reason: str) -> str:
    """What is wrong, without the remedy that follows it."""
    return reason.rpartition("; ")[0] or reason


def remedy(reason: str) -> str | None:
    """The remedy of a reason; None if it names none."""
    found = reason.rpartition("; ")
    return found[2] if found[0] else None


def failed(summary: Summary) -> Sentence:
    """The failures by outcome, and their commonest reason."""
    counts = summary.counts
    ended = counts.ok + counts.failed
    still = f" {count(counts.censored)} more were still open when the run ended." if counts.censored else ""
    kinds = failures_of(summary).most_common()
    explained = [word for word, _ in kinds[:KINDS]]
    reasons = [kind_of_failure(summary.causes, word) for word in explained]
    again, more = attempts_sent_again(summary, explained)
    again = f"{lost_items(summary.groups)}{again}"
    if not counts.failed:
        tone: Tone = "doubt" if again else "good" if ended else "plain"
        return Sentence(f"Failed: none of {counted(ended, 'requests')}.{still}{again}", tone, more)
    text = f"Failed: {count(counts.failed)} of {counted(ended, 'requests')} ({share(counts.failed / ended)}): "
    text += f"{by_kind(kinds)}.{still}{again}"
    where = by_class(summary.groups)
    return Sentence(text, "bad", (*([where] if where else []), *reasons, *more))


def lost_items(groups: Sequence[Group]) -> str:
    """How many of the requests inside batches brought no answer, as a further sentence; empty if each brought one."""
    batches = [group for group in groups if group.name == ALL and group.failed_items]
    lost = sum(group.failed_items or 0 for group in batches)
    every = lost + sum(group.items or 0 for group in batches)
    if not lost:
        return ""
    return f" Inside batches, {count(lost)} of {counted(every, 'requests')} ({share(lost / every)}) brought no answer."


def attempts_sent_again(summary: Summary, explained: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """How many attempts failed and were followed by another one, as a further sentence, and why; empty if none did.
    Without the reasons of the outcomes that are `explained` already."""
    kinds = Counter[str]()
    for cause in summary.retried:
        kinds[cause.outcome] += cause.count
    if not kinds:
        return "", ()
    attempts = sum(group.attempts for group in summary.groups if group.name == ALL)
    told = f" {counted(kinds.total(), 'earlier attempts')}, of {count(attempts)} in all, failed and were sent again: "
    words = [word for word, _ in kinds.most_common(KINDS) if word not in explained]
    return f"{told}{by_kind(kinds.most_common())}.", tuple(kind_of_failure(summary.retried, word) for word in words)


def by_kind(kinds: Sequence[tuple[str, int]]) -> str:
    """5 throttled, 1 timeout, 2 in other ways."""
    named = [f"{count(many)} {word}" for word, many in kinds[:KINDS]]
    named += [f"{count(sum(many for _, many in kinds[KINDS:]))} in other ways"] if len(kinds) > KINDS else []
    return ", ".join(named)


def kind_of_failure(causes: Sequence[Cause], word: str) -> str:
    """How often the commonest message of an outcome came; what the outcome means, where there is none."""
    if (cause := commonest(causes, word)) is None:
        return f"{word}: {OUTCOME_MEANINGS.get(word, 'a failure')}"
    return f"{word}, {counted(cause.count, 'times')}: {short_message_of(cause)}"


def by_class(groups: Sequence[Group]) -> str:
    """How many requests of each class failed, if some of the classes have no failure; else empty."""
    of, bad = Counter[str](), Counter[str]()
    for group in groups:
        if group.name != ALL:
            of[group.name] += sum(many for word, many in group.outcomes.items() if word != "censored")
            bad[group.name] += sum(many for word, many in group.outcomes.items() if word not in UNFAILED)
    clean = [name for name in of if of[name] and not bad[name]]
    failing = sorted((name for name in of if bad[name]), key=lambda name: -bad[name])
    if not clean or not failing:
        return ""
    told = [
        f"{'all' if bad[name] == of[name] else f'{count(bad[name])} of'} {count(of[name])} of {name}"
        for name in failing[:KINDS]
    ]
    told += [f"{counted(len(failing) - KINDS, 'further classes')}"] if len(failing) > KINDS else []
    spared = clean[0] if len(clean) == 1 else f"the other {count(len(clean))}"
    return f"By request class: {', '.join(told)}; none of {count(sum(of[name] for name in clean))} of {spared}"


def failures_of(summary: Summary) -> Counter[str]:
    """How many requests failed, by outcome."""
    found = Counter[str]()
    for group in summary.groups:
        if group.name == ALL:
            found.update({word: many for word, many in group.outcomes.items() if word not in UNFAILED})
    return found


def commonest(causes: Sequence[Cause], word: str) -> Cause | None:
    """The commonest reason of this outcome."""
    return next((cause for cause in causes if cause.outcome == word and cause.message is not None), None)


# -- what to do ---------------------------------------------------------------------------------------------------


def next_steps(run: Run) -> Iterator[str]:
    """What to do, the most pressing first."""
    summary = run.summary
    again = measure_again(summary)
    if summary.validity.verdict == "invalid":
        yield from again
    yield from after_failures(run)
    if summary.counts.censored and not summary.counts.ok and run.facts.scenario.kind == "load":
        yield "Let load.drain be longer: when the run ended, the server had not yet answered."
    yield from after_a_spike(run)
    yield from () if is_only_a_spike(run) else after_a_sweep(curve_of(run))
    if summary.validity.verdict == "suspect":
        yield from again
    if any(map(needs_more, summary.thresholds)):
        yield "Run longer: too few requests to decide on a threshold."
    if of_models(summary.comparisons) and summary.counts.ok:
        yield "For a verdict between the models, ask them with kind: compare."
    if summary.validity.verdict == "valid" and not summary.counts.failed:
        yield from when_all_is_well(summary)


def measure_again(summary: Summary) -> list[str]:
    """How to get figures that can be quoted, where these cannot."""
    step = remedy(next(iter(summary.validity.reasons), ""))
    if step is None or not summary.counts.ok:
        return []
    off = only_off(summary.validity)
    return [f"To quote {off}, measure again: {step}." if off else f"Measure again: {step}."]


def after_failures(run: Run) -> Iterator[str]:
    """What to do about each kind of failure, or where to read about them if there are many."""
    summary = run.summary
    kinds = failures_of(summary)
    if len(kinds) > KINDS:
        yield f"Read What failed, below: {counted(len(kinds), 'kinds of failures')}, each with one request to open."
        return
    for word, _ in kinds.most_common():
        cause = commonest(summary.causes, word)
        look = f" To see one of them whole: {show_command(run.folder, cause)}" if cause is not None else ""
        yield f"{word}: {remedy_of(word, run)}.{look}"


def remedy_of(word: str, run: Run) -> str:
    """What to do about requests that ended so. More attempts as quick as those of before would be refused like them."""
    if word == "timeout" and (names := always(word, run.requests)):
        return f"every request of {' and '.join(names)} ended so, none of any other class: look at what they ask for"
    if word != "throttled":
        return NEXT[word]
    if not (patient := of_patient_clients(run))["outcome"].eq("throttled").any():
        return f"send less: it hit raw clients alone, which never try again; {FIND_LIMIT}"
    if (found := quick_retries(run.table, patient)) is None:
        return NEXT[word]
    setting = "retries.obey_retry_after" if found.by_header else "retries.backoff and retries.max_backoff"
    return (
        f"send less, or wait longer between attempts ({setting}): the server asked for {duration(found.named)}, and "
        f"{counted(found.attempts, 'attempts', 'were')} over in {duration(found.lasted)} or less; {FIND_LIMIT}"
    )


def of_patient_clients(run: Run) -> pd.DataFrame:
    """The measured requests without those of raw clients, which never try again."""
    load, rows = run.facts.scenario.load, run.requests
    raw = [stage.name for stage in run.stages if load.client_of(stage.name) == "raw"]
    return rows[~rows["stage"].isin(raw)]


def always(word: str, rows: pd.DataFrame) -> list[str]:
    """The request classes of which every request ended so, if no request of the other classes did; else empty."""
    shares = (rows["outcome"] == word).groupby(rows["name"].astype(object)).mean()
    return sorted(shares.index[shares == 1.0]) if 0.0 in shares.values and set(shares) == {0.0, 1.0} else []


def when_all_is_well(summary: Summary) -> Iterator[str]:
    """How to learn more from a run in which nothing is wrong."""
    rows = [group for group in summary.groups if group.name == ALL and group.e2e_s.n]
    fewest = min((group.e2e_s.n for group in rows), default=FLOORS["p99"])
    if unseen := [place for place in ("p50", "p95", "p99") if fewest < FLOORS[place]]:
        longer = "let every stage last longer" if len({group.stage for group in rows}) > 1 else "run longer"
        takes = "it takes" if len(unseen) == 1 else "they take"
        needed = listed([str(FLOORS[one]) for one in unseen])
        told = f"{longer}: {takes} {needed} successful requests in every row; one had {count(fewest)}"
        yield f"To see {listed(unseen)}, {told}."
    if summary.verdict == "measured":
        yield "For a run that passes or fails, state thresholds."
