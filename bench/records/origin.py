"""Where a run was made and whom it asked: the parts of run.json that the load writes and the analysis reads."""

from __future__ import annotations

from msgspec import Struct

from bench.records.record import Count


class Machine(Struct, frozen=True):
    """The facts of a machine that a measurement depends on."""

    system: str = ""
    python: str = ""
    cpus: Count | None = None
    cpu_model: str = ""  # empty if the system did not say
    memory_gb: float | None = None


class TargetAddress(Struct, frozen=True):
    """Whom a run asked."""

    kind: str = "url"  # "url", "simulator" or "llama.cpp"
    url: str = ""
