"""What a scenario would send, as a table for the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.analysis.doubts import cut_ramp, idle_users
from bench.analysis.numerals import count, counted, dollars, duration, in_all, number
from bench.analysis.sections import capital
from bench.plan import Scenario, Stage
from bench.plan.forecast import Forecast
from bench.plan.load import FIT
from bench.plan.refusals import Refusals
from bench.report.console import console_for
from bench.report.words import visible


def planned_text(
    scenario: Scenario,
    stages: Sequence[Stage],
    measured: Sequence[Forecast],
    before: Sequence[Forecast] = (),
    refused: Sequence[Refusals] = (),
) -> str:
    """One line on the load, one row per model and request class of what is measured, one for each thing that is sent
    `before` it, and the sums."""
    rows = ordered([*measured, *before])
    out = io.StringIO()
    console = console_for(out, widest=120)
    console.print(f"{visible(scenario.name)}: {load_text(stages, len(scenario.models))}", soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("model")
    table.add_column("requests")
    painted = any(row.images for row in rows)
    for title in (
        "number",
        "prompt tokens\neach",
        "answer tokens\nat most, each",
        "prompt tokens\nall",
        *(["images\nall"] if painted else []),
        "dollars\nabout" if average_since(scenario, stages, rows) else "dollars\nat most",
    ):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            visible(row.model),
            visible(row.name),
            "?" if row.requests is None else count(row.requests),
            count(row.prompt_tokens),
            "no limit" if row.max_tokens is None else count(row.max_tokens),
            of_all(row.prompt_tokens, row),
            *([of_all(row.images, row)] if painted else []),
            "?" if row.dollars is None else dollars(row.dollars),
        )
    console.print(table)
    for note in [*notes(scenario, stages, measured, before), *map(refusal_text, refused)]:
        console.print(note, soft_wrap=True)
    return out.getvalue().rstrip()


def of_all(each: float, row: Forecast) -> str:
    """Something of each request, of all together."""
    return "?" if row.requests is None else count(row.requests * each)


def load_text(stages: Sequence[Stage], models: int = 1) -> str:
    """The load in a sentence: its measured stages, and how long is loaded besides. Several models share it."""
    measured = [stage_text(stage, models) for stage in stages if stage.measured]
    if len(set(measured)) < len(measured):  # they differ in what the load does not show, such as clients
        names = [visible(stage.name) for stage in stages if stage.measured]
        measured = [f"{name}: {text}" for name, text in zip(names, measured, strict=True)]
    other = sum(stage.duration or 0.0 for stage in stages if not stage.measured)
    warm = f", {'after' if len(measured) == 1 else 'and'} {duration(other)} of warm-up" if other else ""
    return f"{'; then '.join(measured)}{warm}"


def stage_text(stage: Stage, models: int = 1) -> str:
    """One stage in words."""
    paired = len(stage.arms) > 1
    shared, what = (1, "pairs") if paired else (models, "requests")  # a pair goes to every arm
    if stage.users is not None:
        busy = " with one pair at a time" if stage.users.end == 1 else ", each with one pair at a time,"
        who = f"{in_all(stage.users.end, 'users', shared)}{busy if paired else ''}"
    else:
        assert stage.rate is not None
        who = f"{in_all(stage.rate.end, f'{what}/s', shared)}, {stage.arrivals} arrivals,"
    ends = [f"for {duration(stage.duration)}"] if stage.duration else []
    ends += [f"until {counted(stage.requests, what, 'are')} sent"] if stage.requests else []
    level = stage.users or stage.rate
    ramp = f", reached within {duration(level.seconds)}" if level is not None and level.seconds else ""
    return f"{who} {' or '.join(ends)}{ramp}"


ESTIMATED = (
    "Prompt tokens are as many as prompt.tokens asks for; those of other texts are an estimate, one for about four "
    "characters, without what the server adds."
)
LIMIT_WORDS = {"rpm": "requests", "tpm": "tokens", "ipm": "images"}


def refusal_text(one: Refusals) -> str:
    """What to expect of one model's limits, in a sentence."""
    model, key = visible(one.model), one.binding
    told = ", ".join(f"{key} {count(value)}" for key, value in one.limits.items())
    if not key:
        return f"{model}: no request is known to go over its limits ({told})."
    most = one.limits[key] / one.costs[key]
    why = f"its {LIMIT_WORDS[key]} per minute let {number(most)} such requests a minute through ({told})"
    if one.slowest_user_s is not None:
        wait = duration(one.slowest_user_s)
        return f"{model}: a user who asks more often than every {wait} on average gets 429s; {why}."
    if not one.refused or one.first_at is None:
        return f"{model}: no 429 is expected; {why}."
    many = one.refused if one.offered is None else one.offered
    of = "" if one.offered is None else f"{count(one.refused)} of "
    return (
        f"{model}: about {of}{counted(many, 'requests')} would be refused with 429, the first after "
        f"{duration(one.first_at)}; {why}."
    )


def ordered(rows: Sequence[Forecast]) -> list[Forecast]:
    """The rows of each model together."""
    models = list(dict.fromkeys(row.model for row in rows))
    return sorted(rows, key=lambda row: models.index(row.model))


def average_since(scenario: Scenario, stages: Sequence[Stage], rows: Sequence[Forecast]) -> str:
    """Why the numbers of requests are averages, in a clause; empty if they are sure."""
    timed = [stage for stage in stages if stage.rate is not None and stage.duration is not None]
    if any(stage.arrivals != "constant" for stage in timed):
        return "random arrivals make more or fewer requests than their rate"
    if len(scenario.requests) > 1:
        return "the class of each request is drawn at random"
    if any(row.turns % 1 for row in rows):
        return "conversations differ in length"
    return ""


def notes(
    scenario: Scenario, stages: Sequence[Stage], measured: Sequence[Forecast], before: Sequence[Forecast]
) -> list[str]:
    """What the table cannot say."""
    rows = [*measured, *before]
    found = [ESTIMATED]
    unchecked = [request.name for request in scenario.requests if request.unchecked]
    found.append(
        "Every request is within the known limits of its API."
        if not unchecked
        else f"Not checked against the limits of its API: {', '.join(unchecked)}; all others are within them."
    )
    if any(len(request.classes) > 1 for request in scenario.requests):
        found.append("Answers that call a tool are followed by a second request, which is not counted here.")
    if scenario.retries is not None:
        found.append(f"A request that fails is sent up to {scenario.retries.attempts} times; here it counts once.")
    if talks := {row.name: row.turns for row in measured if row.turns > 1}:
        told = ", ".join(f"{turns:.3g} of {visible(name)}" for name, turns in talks.items())
        found.append(
            f"Turns of a conversation, on average: {told}; each is a request here, with all that was said before."
        )
    if any(row.name == FIT for row in before):
        found.append(
            "fit: short requests before the load that show how a model counts tokens; --no-fit leaves them out."
        )
    measured_stages = [stage for stage in stages if stage.measured]
    found += [capital(f"{told}.") for stage in measured_stages for told in (cut_in(stage), idle_in(stage)) if told]
    if any(row.requests is None for row in measured):
        found.append("How many requests users send depends on how fast the answers come; load.requests sets a bound.")
    elif any(row.requests is None for row in before):
        found.append("How many requests users send in the warm-up depends on how fast the answers come.")
    return [*found, *cost_notes(scenario, rows, average_since(scenario, stages, rows))]


def unpriced(rows: Sequence[Forecast]) -> list[str]:
    """What has no cost that is known: models, and of the other models what is sent to them."""
    priced = {row.model for row in rows if row.dollars is not None}
    names = (row.name if row.model in priced else row.model for row in rows if row.dollars is None)
    return list(dict.fromkeys(map(visible, names)))


def cut_in(stage: Stage) -> str:
    """That a stage is over before its ramp is, in words; empty if it is not."""
    level = stage.users or stage.rate
    if level is None or stage.duration is None:
        return ""
    users, rate = (None, level.end) if stage.users is None else (level.end, None)
    return cut_ramp(stage.name, users, rate, level.seconds, stage.duration)


def idle_in(stage: Stage) -> str:
    """Which users of a stage would never ask, in words; empty if all would."""
    if stage.users is None or stage.requests is None or len(stage.arms) > 1:
        return ""
    return idle_users(stage.name, stage.users.end, stage.requests)


def cost_notes(scenario: Scenario, rows: Sequence[Forecast], average: str) -> list[str]:
    """What all of it costs at most, as far as that is known; about how much if it is an `average`, for this reason."""
    known = [row.dollars for row in rows if row.dollars is not None]
    if not known:
        return [] if scenario.prices else ["The scenario has no prices:, so the cost is not known."]
    text = f"{'about' if average else 'at most'} {dollars(sum(known))}"
    tries = 1 if scenario.retries is None else scenario.retries.attempts
    if tries > 1:
        text += f" if no request is sent again, {dollars(tries * sum(known))} if each is sent {tries} times"
    if missing := unpriced(rows):
        text = f"without {' and '.join(missing)}, whose cost is not known: {text}"
    means = f" That is for the longest answers, and an average: {average}." if average else ""
    return [f"{capital(text)}.{means}"]
