"""What is asked: scenarios, and the requests and due times that follow from them. Pure and seeded."""

from bench.plan.arrivals import due_times, shard
from bench.plan.classes import Request
from bench.plan.document import Mistake, Mistakes
from bench.plan.requests import Planned, RequestPlan
from bench.plan.scenario import (
    Load,
    Scenario,
    Target,
    load_scenario,
    redacted,
    schema,
    secrets,
    warnings,
)
from bench.plan.text import Fit, fit, words
from bench.plan.thresholds import Threshold, parse_threshold

__all__ = [
    "Fit",
    "Load",
    "Mistake",
    "Mistakes",
    "Planned",
    "Request",
    "RequestPlan",
    "Scenario",
    "Target",
    "Threshold",
    "due_times",
    "fit",
    "load_scenario",
    "parse_threshold",
    "redacted",
    "schema",
    "secrets",
    "shard",
    "warnings",
    "words",
]
