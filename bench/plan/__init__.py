"""What is asked: scenarios, and the requests and due times that follow from them. Pure and seeded."""

from bench.plan.arrivals import due_times, shard
from bench.plan.classes import Request
from bench.plan.document import Mistake, Mistakes
from bench.plan.repetition import Draw, NotRepeatableError, draw_of
from bench.plan.requests import Fits, Planned, RequestPlan
from bench.plan.scenario import (
    Load,
    Scenario,
    Target,
    load_scenario,
    schema,
)
from bench.plan.secrecy import redacted, secrets, shown_command, shown_url, target_secrets, warnings
from bench.plan.text import Fit, fit, words
from bench.plan.thresholds import Threshold, parse_threshold

__all__ = [
    "Draw",
    "Fit",
    "Fits",
    "Load",
    "Mistake",
    "Mistakes",
    "NotRepeatableError",
    "Planned",
    "Request",
    "RequestPlan",
    "Scenario",
    "Target",
    "Threshold",
    "draw_of",
    "due_times",
    "fit",
    "load_scenario",
    "parse_threshold",
    "redacted",
    "schema",
    "secrets",
    "shard",
    "shown_command",
    "shown_url",
    "target_secrets",
    "warnings",
    "words",
]
