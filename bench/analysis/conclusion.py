"""What an experiment concludes from a run: its own part of the report, its verdict, and what else the report shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from bench.analysis.checks import Check
from bench.analysis.sections import Badge, Section
from bench.analysis.summary import Verdict
from bench.records.json_file import write_json

FINDINGS_FILE = "findings.json"

General = Literal[
    "glance", "comparison", "summary", "errors", "thresholds", "validity", "classes", "cost", "turns", "limits",
    "curve", "latency", "timeline", "definitions", "circumstances",
]  # fmt: skip
"""The sections that the report of any run can have; see bench.experiments.general."""

ALL_GENERAL: tuple[General, ...] = get_args(General)
BARE: tuple[General, ...] = ("circumstances",)
"""The general sections of a question that the figures of a load do not answer."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The answer to an experiment's question. With nothing set, the general sections are the answer."""

    sections: tuple[Section, ...] = ()  # its own, with its tables and charts; the report begins with them
    verdict: Verdict | None = None  # of the run, for the first badge and the exit code; None: the summary's
    document: object = None  # the content of findings.json; None: no such file is written
    headline: str | None = None  # the answer in one sentence, without its full stop; None: the summary's
    badges: tuple[Badge, ...] = ()  # further ones, after those of the verdict and of the measurement
    checks: tuple[Check, ...] = ()  # the checks behind the verdict, for junit.xml; the thresholds come after them
    general: tuple[General, ...] = ALL_GENERAL  # the general sections to show, always in the usual order


def keep(conclusion: Conclusion, folder: Path) -> None:
    """Write findings.json into the run's folder. Raises OSError, and TypeError if JSON cannot hold the document."""
    if conclusion.document is not None:
        write_json(folder / FINDINGS_FILE, conclusion.document)
