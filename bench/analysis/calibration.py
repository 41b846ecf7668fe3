"""How well this machine measures, and up to which load: a certificate, earned against a server that knows the truth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec
import orjson

EXACT_S = 0.001  # p99 error of TTFT up to which a step counts as well measured
BROKEN_S = 0.005  # p99 error at which a rising load is not raised further
WORTHWHILE = 1.05  # times the tokens of one process
KEPT_UP = 0.95  # of the tokens or answers that the load would bring with nobody in the way


class Certificate(msgspec.Struct, frozen=True):
    """What a machine was shown to measure well; the steps that showed it are not read."""

    date: str
    machine: dict[str, object]  # as in run.json
    streams: int  # up to which every step was exact; 0 where none was
    tokens_per_s: float
    ttft_error_p99_s: float | None  # of these steps; None without any
    requests_per_s: float  # short answers
    more_processes: float | None  # times the tokens of one process; None where that was not tried
    schema: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One load and how well it was measured. Times are seconds; None where the step has no such figure."""

    kind: str  # "closed", "whole" (answers that do not stream), "open" or "short" (many short answers)
    processes: int
    streams: int  # users, or for an open loop its rate per second
    tokens_per_s: float
    requests_per_s: float
    expected: float  # share of the tokens or answers expected that came
    error_p50: float | None  # of TTFT; of the answer's end where it does not stream
    error_p99: float | None
    error_max: float | None
    decoding_p99: float | None  # error of the time from first to last token
    hub_lag_p99: float | None
    send_lag_p99: float | None
    cpu: float | None  # share of a core of the busiest process
    server_cpu: float | None  # the same of the simulator
    server_late_p99: float | None  # how late the simulator itself wrote tokens
    verdict: str  # of the measurement's validity

    @property
    def exact(self) -> bool:
        """Well measured, and the load was what it should be."""
        return self.error_p99 is not None and self.error_p99 <= EXACT_S and self.expected >= KEPT_UP

    @property
    def broken(self) -> bool:
        return self.error_p99 is None or self.error_p99 > BROKEN_S or self.expected < KEPT_UP


def step_of(
    summary: Mapping[str, Any],
    *,
    kind: str,
    processes: int,
    streams: int,
    wanted: float | None,
    server: Mapping[str, float],
) -> Step:
    """A step from its run's summary; `wanted` are the tokens per second expected, None in an open loop."""
    counts = summary["counts"]
    group, truth, validity = summary["groups"][0], summary["truth"] or {}, summary["validity"]
    error = truth.get("ttft_error_s") if kind in ("closed", "open") else truth.get("e2e_error_s")
    statistics = error or {}
    tokens, requests = group["output_tokens_per_s"] or 0.0, group["requests_per_s"] or 0.0
    return Step(
        kind=kind,
        processes=processes,
        streams=streams,
        tokens_per_s=tokens,
        requests_per_s=requests,
        expected=tokens / wanted if wanted else counts["ok"] / max(counts["planned"], 1),
        error_p50=statistics.get("p50"),
        error_p99=statistics.get("sample_p99"),
        error_max=statistics.get("max"),
        decoding_p99=(truth.get("decoding_error_s") or {}).get("sample_p99"),
        hub_lag_p99=(validity["hub_lag_s"] or {}).get("p99"),
        send_lag_p99=(validity["send_lag_s"] or {}).get("p99"),
        cpu=validity["cpu"],
        server_cpu=server.get("cpu"),
        server_late_p99=server.get("late_p99"),
        verdict=validity["verdict"],
    )


def certificate(steps: Sequence[Step], *, machine: Mapping[str, Any], date: str) -> dict[str, Any]:
    """What the steps certify: the highest load of each kind below which every step was exact."""
    one = leading([step for step in steps if step.kind == "closed" and step.processes == 1])
    many = leading([step for step in steps if step.kind == "closed" and step.processes > 1])
    short = leading([step for step in steps if step.kind == "short"])
    best = one[-1] if one else None
    tried = any(step.processes > 1 for step in steps)
    more = (many[-1].tokens_per_s if many else 0.0) / best.tokens_per_s if tried and best else None
    return {
        "schema": 1,
        "date": date,
        "machine": dict(machine),
        "streams": best.streams if best else 0,
        "tokens_per_s": best.tokens_per_s if best else 0.0,
        "ttft_error_p99_s": max((step.error_p99 or 0.0 for step in one), default=None),
        "requests_per_s": short[-1].requests_per_s if short else 0.0,
        "more_processes": more,
        "steps": [asdict(step) for step in steps],
    }


def leading(steps: Sequence[Step]) -> list[Step]:
    """The exact steps of a rising load before the first two in a row that were not."""
    exact: list[Step] = []
    for step, following in zip_longest(steps, steps[1:]):
        if step.exact:
            exact.append(step)
        elif following is None or not following.exact:
            break
    return exact


def sentence(found: Mapping[str, Any]) -> str:
    """The certificate in a sentence."""
    if not found["streams"]:
        return f"This machine did not measure TTFT within {EXACT_S * 1e3:g} ms at any load that was tried."
    told = (
        f"This machine measures TTFT within {found['ttft_error_p99_s'] * 1e3:.2g} ms (p99) up to "
        f"{found['streams']} streams and {found['tokens_per_s']:,.0f} tokens/s"
    )
    if found["requests_per_s"]:
        told += f", and {found['requests_per_s']:,.0f} short answers a second"
    if found["more_processes"] is not None:
        times = found["more_processes"]
        bought = f"{times:.1f} times that" if times >= WORTHWHILE else "nothing beside a server on the same cores"
        told += f"; more processes buy {bought}"
    return told + "."


def certificate_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the user's certificate is kept (XDG Base Directory Specification)."""
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local" / "state")
    return Path(state) / "bench" / "certificate.json"


def keep(found: Mapping[str, Any], path: Path) -> None:
    """Write the certificate. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def kept_certificate(path: Path | None = None) -> dict[str, Any] | None:
    """The user's certificate; None where there is none that can be read."""
    try:
        data = (path or certificate_path()).read_bytes()
        msgspec.json.decode(data, type=Certificate)
    except (OSError, ValueError, RecursionError):
        return None
    found: dict[str, Any] = orjson.loads(data)
    return found


def cited(found: Certificate | None, machine: Mapping[str, object]) -> dict[str, Any] | None:
    """A run's certificate as the summary has it; None where there was none for the machine of the run."""
    if found is None or any(found.machine.get(key) != machine.get(key) for key in ("cpu_model", "cpus")):
        return None
    cited: dict[str, Any] = msgspec.to_builtins(found)
    return cited
