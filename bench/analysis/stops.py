"""Why a run stopped before its time, as the parts of a report say it: one table for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from bench.records import StoppedBy


@dataclass(frozen=True, slots=True)
class Stop:
    """What a report says of a run that was stopped for one reason."""

    sentence: str  # for the middle of a text
    headline: str  # how the headline begins, with {} where the time goes; empty if the report's alarm says it
    lost: str | None = None  # why the measurement is invalid, and what to do; None if it need not be


STOPS: dict[StoppedBy, Stop] = {
    "budget": Stop("the run ended when its budget was used up", "Stopped after {}, when its budget was used up; "),
    "refused": Stop("the run was stopped because its requests failed and more would have failed, too", ""),
    "quota": Stop(
        "the run was stopped when the provider refused more: no money or quota left",
        "Stopped after {}, when no money or quota was left; ",
    ),
    "interrupt": Stop("the run was interrupted", "Interrupted after {}; "),
    "target": Stop(
        "the run ended when the target that it had started died",
        "Stopped after {}, when the target that it had started died; ",
        lost="the target that the run had started died while it was measured; run again",
    ),
    "question": Stop(
        "the run ended when the question's own steps failed", "Stopped after {}, when the question's own steps failed; "
    ),
    "mistake": Stop("the run ended with a mistake of bench itself", "Stopped after {} by a mistake of bench itself; "),
    "disk": Stop("the run ended when the disk took no more", "Stopped after {}, when the disk took no more; "),
    "worker": Stop(
        "the run ended when a worker process died",
        "Stopped after {}, when a worker process died; ",
        lost="a worker process died, and what it had in flight is lost; run again",
    ),
    "silent worker": Stop(
        "the run ended when a worker stopped answering",
        "Stopped after {}, when a worker stopped answering; ",
        lost="a worker stopped answering and was ended, and what it had in flight is lost; run again",
    ),
    "killed": Stop("the run was killed before its end", "Killed after {}; "),
}
"""Every reason but the two for which a run ends as planned."""


def stop_of(stopped_by: str) -> Stop | None:
    """What is said of this reason; None if the run ended as planned, or for a reason of a later version."""
    return next((stop for reason, stop in STOPS.items() if reason == stopped_by), None)
