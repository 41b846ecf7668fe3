"""What a sweep or a rate shows, in sentences: up to which load a server keeps up, and which loads to ask with next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.curve import Curve, CurvePoint, Line, slo_in_words, without
from bench.analysis.numerals import counted, milliseconds, number, share
from bench.analysis.sections import capital
from bench.metrics import METRICS

GROWS = 1.1  # times as many answers are more
APART = 1.2  # times as much load must bring more answers, or the server has no more; of less, chance hides it
WORTH = 1 / 1.5  # of the answers per user at the load before: users who bring less may wait for a full server
MET = 0.95  # of the requests are within the SLO where it counts as met


def sweep(curve: Curve) -> list[str]:
    """What more load does to each model, and to each kind of client, by the first stage of each level."""
    told = [text for line in curve.first_lines if (text := knee(curve, line)) is not None]
    return [*told, *([left_out] if told and (left_out := without(curve)) else [])]


def one_rate(curve: Curve) -> list[str]:
    """Whether the server does not keep up with a single rate, of each model; nothing if it does, and of users."""
    told = []
    for line in curve.first_lines:
        points = curve.of(line)
        if len(curve.loads) == 1 and behind_at(points) == 0:
            text = falls_behind(points, 0, curve.load_title)
            told.append(f"{line.title}: {text}." if len(curve.first_lines) > 1 else f"{capital(text)}.")
    return told


def knee(curve: Curve, line: Line) -> str | None:
    """The load from which on more load brings no more answers; None if nothing was answered, or at one load only.
    Several models share the load."""
    points, unit = curve.of(line), curve.load_title
    if len(points) < 2 or (place := enough_at(points)) is None:
        return None
    enough, last = points[place], points[-1]
    whose = f"{line.title}: " if len(curve.first_lines) > 1 else ""
    if (behind := behind_at(points)) is not None:
        text = falls_behind(points, behind, unit)
    elif enough is last and unclear(last):
        text = f"it is not clear whether the server keeps up with {level(last, unit)}: {answers_for(last)}, while the "
        text += "wait does not grow for long enough"
    elif enough is last and crowded(points):
        text = wait_for_room(points[-2], last, unit)
    elif enough is last:
        text = f"the server's limit was not reached: {number(last.requests_per_s)} answers/s at {level(last, unit)}"
        text += ", more than before" if last.requests_per_s > max(one.requests_per_s for one in points[:-1]) else ""
    elif too_close(enough, last):
        text = f"it is not clear whether more than {level(enough, unit)} bring more answers: "
        text += f"{number(enough.requests_per_s)}/s there, {number(last.requests_per_s)}/s at {level(last, unit)}, and "
        text += "these loads hardly differ"
    else:
        text = f"more than {level(enough, unit)} bring no more answers: {number(enough.requests_per_s)}/s there, "
        text += f"{number(last.requests_per_s)}/s at {level(last, unit)}{waits(enough, last)}"
    return f"{whose}{text if whose else capital(text)}.{within_slo(points, unit, slo_in_words(curve.slo))}"


def enough_at(points: Sequence[CurvePoint]) -> int | None:
    """The place of the first load that brings about as many answers as any; the last if it is a rate and as many were
    answered as were offered. None if nothing was answered."""
    most = max((point.requests_per_s for point in points), default=0.0)
    if most and points[-1].offered_per_s is not None and not unclear(points[-1]):
        return len(points) - 1
    return next((place for place, point in enumerate(points) if most and point.requests_per_s * GROWS >= most), None)


def behind_at(points: Sequence[CurvePoint]) -> int | None:
    """The place of the first rate that the server does not keep up with: requests wait longer and longer, or clearly
    more of them fail than at a lower rate, and at no rate are as many answered as were offered at this one. A lower
    rate of which the latter is true is too much as well, if its stage was too short to show the former. None if the
    server keeps up with all, and of users, who wait for their answers."""
    share_answered = 0.0
    for point in points:
        answered = 1.0 - point.error_rate
        share_answered = max(share_answered, answered)
        worse = point.waits_grow or answered * GROWS < share_answered
        if worse and never_answered(points, point.offered_per_s or 0.0):
            tops = (never_answered(points, (one.offered_per_s or 0.0) * (1.0 - one.error_rate)) for one in points)
            return next(place for place, top in enumerate(tops) if top or points[place] is point)
    return None


def never_answered(points: Sequence[CurvePoint], per_s: float) -> bool:
    """Whether clearly fewer requests per second than these were answered at every load."""
    return max(point.requests_per_s for point in points) * GROWS < per_s


def unclear(point: CurvePoint) -> bool:
    """Whether clearly fewer requests ended in time than were offered, those that failed included: since the server does
    not keep up, or since answers take long and the stage was short."""
    return (point.offered_per_s or 0.0) * (1.0 - point.error_rate) > point.requests_per_s * GROWS


def too_close(one: CurvePoint, other: CurvePoint) -> bool:
    """Whether two loads differ too little to show by their answers whether more load brings more of them."""
    return other.load < APART * one.load


def crowded(points: Sequence[CurvePoint]) -> bool:
    """Whether users bring clearly fewer answers each at the last load than at the one before: the limit may lie
    between them."""
    before, last = points[-2:]
    return last.offered_per_s is None and last.requests_per_s * before.load < WORTH * before.requests_per_s * last.load


def wait_for_room(before: CurvePoint, last: CurvePoint, unit: str) -> str:
    """That the server's limit may lie between two loads, and how that shows."""
    more, answers = last.load / before.load, last.requests_per_s / before.requests_per_s
    text = (
        f"the server's limit may lie between {before.load:g} and {level(last, unit)}: {more:.3g} times as many users "
    )
    text += f"bring {answers:.3g} times as many answers, {number(last.requests_per_s)}/s"
    return f"{text}{waits(before, last)}"


def answers_for(point: CurvePoint) -> str:
    return f"{number(point.requests_per_s)} answers/s for {number(point.offered_per_s)} requests/s"


def falls_behind(points: Sequence[CurvePoint], place: int, unit: str) -> str:
    """At which rate the server does not keep up, and how that shows."""
    point = points[place]
    why = [answers_for(point)]
    why += ["requests wait longer and longer"] if point.waits_grow else []
    why += [f"{share(point.error_rate)} of the requests fail"] if point.error_rate else []
    later = waits(points[0], point) if place else ""
    return f"the server does not keep up with {level(point, unit)}: {', and '.join(why)}{later}"


def level(point: CurvePoint, unit: str) -> str:
    return counted(point.load, unit) if unit.startswith("users") else f"{point.load:g} {unit}"


def waits(one: CurvePoint, other: CurvePoint) -> str:
    """How the wait grows from one load to another, after a semicolon; empty if that is not known. It is the wait for
    the whole answer if the first token comes as soon as before: then answers slow each other down."""
    metric = first_metric(one)
    before, after = p50(one, metric), p50(other, metric)
    if before and after and after < GROWS * before:
        metric, before, after = "e2e", p50(one, "e2e"), p50(other, "e2e")
    if not before or not after:
        return ""
    return f"; {METRICS[metric].title} p50 goes from {milliseconds(before)} to {milliseconds(after)} ms"


def first_metric(point: CurvePoint) -> str:
    """The latency of what a user waits for first: the first token, or the whole answer if nothing streams."""
    return "ttft" if point.latencies["ttft"].n else "e2e"


def p50(point: CurvePoint, metric: str) -> float | None:
    return point.latencies[metric].p50


def within_slo(points: Sequence[CurvePoint], unit: str, slo: str) -> str:
    """The highest load that meets the SLO, as a further sentence; empty without an SLO."""
    if any(point.goodput is None for point in points):
        return ""
    if not (met := meeting_slo(points)):
        return f" At no level do {MET * 100:g} % of the requests meet the SLO ({slo})."
    return f" Up to {level(points[met - 1], unit)}, {MET * 100:g} % of the requests or more meet the SLO ({slo})."


def meeting_slo(points: Sequence[CurvePoint]) -> int:
    """The number of loads that meet the SLO, counted from the lowest up to the first that does not; all of them without
    an SLO."""
    if any(point.goodput is None for point in points):
        return len(points)
    return next((place for place, point in enumerate(points) if (point.goodput or 0.0) < MET), len(points))


def after_a_sweep(curve: Curve) -> Iterator[str]:
    """Which loads to ask with next, also after one rate that is too much; of a single line, since several have limits
    of their own. An SLO decides where the server keeps up with more than meets it."""
    if len(curve.first_lines) != 1:
        return
    points, unit = curve.of(curve.first_lines[0]), curve.load_title
    if len(curve.loads) < 2:
        yield from below(points, 0, unit) if behind_at(points) == 0 else ()
        return
    if (place := enough_at(points)) is None:
        return
    behind, met = behind_at(points), meeting_slo(points)
    if met < len(points) and (behind is None or met < behind):
        yield beyond_slo(points, met, unit)
    elif behind is not None:
        yield from below(points, behind, unit)
    elif place + 1 == len(points) and unclear(points[-1]):
        yield f"Run longer, after a warm-up, to see whether the server keeps up with {level(points[-1], unit)}."
    elif place + 1 == len(points) and crowded(points):
        near = f"from {points[-2].load:g} to {level(points[-1], unit)}"
        yield f"To find the server's limit, ask with loads {near}, and with more."
    elif place + 1 == len(points):
        yield f"Ask with more than {level(points[-1], unit)}, to find the server's limit."
    elif points[-1].goodput is not None:
        yield f"Ask with more than {level(points[-1], unit)}, to find the highest load that meets the SLO."
    elif too_close(points[place], points[-1]):
        yield f"Ask with clearly more than {level(points[-1], unit)}, to see whether they bring more answers."
    else:
        yield (
            f"Plan for at most {level(points[place], unit)}: with more of them, requests only wait longer."
            f"{between(points[max(place - 1, 0)], points[place + 1], unit)}"
        )


def beyond_slo(points: Sequence[CurvePoint], missed: int, unit: str) -> str:
    """What to do where the load at this place is the first that misses the SLO."""
    point = points[missed]
    got = f"at {level(point, unit)}, only {share(point.goodput)} of the requests meet the SLO"
    if missed:
        kept = points[missed - 1]
        return f"Plan for at most {level(kept, unit)}: {got}.{between(kept, point, unit)}"
    if unit.startswith("users") and point.load <= 1:
        return f"Even {got}: find out what takes so long, or allow more time."
    return f"Ask with less than {level(point, unit)}, to find a load that meets the SLO: {got}."


def between(low: CurvePoint, high: CurvePoint, unit: str) -> str:
    """The loads to ask with next, as a further sentence; empty where there is none between them."""
    if unit.startswith("users") and high.load - low.load <= 1:
        return ""
    return f" To know it more exactly, ask with loads from {low.load:g} to {level(high, unit)}."


def below(points: Sequence[CurvePoint], behind: int, unit: str) -> Iterator[str]:
    """What to do about a rate that the server does not keep up with."""
    if not behind:
        yield f"Ask with less than {level(points[0], unit)}, to find what the server keeps up with."
        return
    kept = points[behind - 1]
    yield f"Plan for at most {level(kept, unit)}.{between(kept, points[behind], unit)}"
