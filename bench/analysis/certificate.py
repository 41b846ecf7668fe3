"""A certificate: the load that this machine measures well. It is kept for the user, and reports of runs cite it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import orjson

from bench.analysis.numerals import counted
from bench.records import Machine
from bench.records.json_file import write_json

EXACT_S = 0.001  # largest p99 error of TTFT of a well-measured step
WORTHWHILE = 1.05  # times the tokens of one process


class Certificate(msgspec.Struct, frozen=True):
    """The load that a machine measures well. The file also has the steps that showed it; they are not read."""

    date: str
    machine: Machine
    streams: int  # up to which every step was exact; 0 if none was
    tokens_per_s: float
    ttft_error_p99_s: float | None  # of these steps; None without any
    requests_per_s: float  # short answers
    more_processes: float | None  # times the tokens of one process; None if that was not tried
    schema: int = 1


def sentence(found: Certificate) -> str:
    """The certificate in a sentence."""
    if not found.streams or found.ttft_error_p99_s is None:
        return f"This machine did not measure TTFT within {EXACT_S * 1e3:g} ms at any load that was tried."
    told = (
        f"This machine measures TTFT within {found.ttft_error_p99_s * 1e3:.2g} ms (p99) up to "
        f"{counted(found.streams, 'streams')} and {found.tokens_per_s:,.0f} tokens/s"
    )
    if found.requests_per_s:
        told += f", and {found.requests_per_s:,.0f} short answers a second"
    if (times := found.more_processes) is not None:
        bought = f"{times:.1f} times that" if times >= WORTHWHILE else "nothing while the server shares the same cores"
        told += f"; more processes gain {bought}"
    return told + "."


def certificate_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The file of the user's certificate (XDG Base Directory Specification)."""
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local" / "state")
    return Path(state) / "bench" / "certificate.json"


def keep(found: Certificate, path: Path) -> None:
    """Write the certificate. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)


def kept_certificate(path: Path | None = None) -> dict[str, object] | None:
    """The user's certificate, as run.json takes it; None if there is none that can be read."""
    try:
        data = (path or certificate_path()).read_bytes()
        msgspec.json.decode(data, type=Certificate)
    except (OSError, ValueError, RecursionError):
        return None
    found: dict[str, object] = orjson.loads(data)
    return found


def cited(found: Certificate | None, machine: Machine) -> Certificate | None:
    """A run's certificate; None if there was none for the machine of the run."""
    if found is None or (found.machine.cpu_model, found.machine.cpus) != (machine.cpu_model, machine.cpus):
        return None
    return found
