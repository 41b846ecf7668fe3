"""What an experiment concludes from a run, beside the figures that every run has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.analysis.sections import Section
from bench.analysis.summary import Verdict

FINDINGS_FILE = "findings.json"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The answer to an experiment's question."""

    sections: tuple[Section, ...] = ()  # of the report, before those that every run has
    verdict: Verdict | None = None  # of the run, for its exit code; None: the summary's
    document: object = None  # findings.json, of whatever JSON can hold; None: there is no such file


def keep(conclusion: Conclusion, folder: Path) -> None:
    """Write findings.json into the run's folder. Raises OSError, and TypeError where JSON cannot hold the document."""
    if conclusion.document is not None:
        text = msgspec.json.format(msgspec.json.encode(conclusion.document), indent=2)
        (folder / FINDINGS_FILE).write_bytes(text + b"\n")
