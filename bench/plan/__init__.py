"""Scenarios, and the requests and due times that are made from them. The same seed always gives the same requests."""

from bench.plan.arrivals import Ramp, due_times, shard
from bench.plan.budget import Budget
from bench.plan.classes import Request
from bench.plan.document import Mistake, Mistakes
from bench.plan.json_schema import schema
from bench.plan.load import Load
from bench.plan.repetition import Draw, Learned, NotRepeatableError, draw_of
from bench.plan.requests import Fits, Planned, RequestPlan
from bench.plan.scenario import Scenario
from bench.plan.scenario_file import load_scenario
from bench.plan.secrecy import redacted, secrets, shown_command, shown_url, target_secrets, warnings
from bench.plan.steps import Burst, Note, Result, Stage, Step, Steps, Wait
from bench.plan.target import Target
from bench.plan.text import Fit, fit, words
from bench.plan.thresholds import Threshold, parse_threshold

__all__ = [
    "Budget",
    "Burst",
    "Draw",
    "Fit",
    "Fits",
    "Learned",
    "Load",
    "Mistake",
    "Mistakes",
    "NotRepeatableError",
    "Note",
    "Planned",
    "Ramp",
    "Request",
    "RequestPlan",
    "Result",
    "Scenario",
    "Stage",
    "Step",
    "Steps",
    "Target",
    "Threshold",
    "Wait",
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
