"""How well this machine measures, and up to which load: a certificate, earned against a server that knows the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from bench.analysis.certificate import EXACT_S, Certificate
from bench.analysis.summary import Summary
from bench.records import Machine

BROKEN_S = 0.005  # p99 error above which the load is not raised further
KEPT_UP = 0.95  # share of the tokens or answers that the load brings if nothing holds it back


@dataclass(frozen=True, slots=True)
class Step:
    """One load and how well it was measured. Times are seconds; None if the step has no such figure."""

    kind: str  # "closed", "whole" (answers that do not stream), "open" or "short" (many short answers)
    processes: int
    streams: int  # users, or for an open loop its rate per second
    tokens_per_s: float
    requests_per_s: float
    expected: float  # tokens or answers that came / expected
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
        """Whether the step was measured well, and its load was what it should be."""
        return self.error_p99 is not None and self.error_p99 <= EXACT_S and self.expected >= KEPT_UP

    @property
    def broken(self) -> bool:
        return self.error_p99 is None or self.error_p99 > BROKEN_S or self.expected < KEPT_UP


class Calibration(Certificate, frozen=True, kw_only=True):
    """A certificate with the steps that showed it."""

    steps: list[Step]


def step_of(
    summary: Summary,
    *,
    kind: str,
    processes: int,
    streams: int,
    wanted: float | None,
    server: Mapping[str, float],
) -> Step:
    """A step from its run's summary; `wanted` are the tokens per second expected, None in an open loop."""
    counts, group, truth, validity = summary.counts, summary.groups[0], summary.truth, summary.validity
    error = truth and (truth.ttft_error_s if kind in ("closed", "open") else truth.e2e_error_s)
    tokens, requests = group.output_tokens_per_s or 0.0, group.requests_per_s or 0.0
    return Step(
        kind=kind,
        processes=processes,
        streams=streams,
        tokens_per_s=tokens,
        requests_per_s=requests,
        expected=tokens / wanted if wanted else counts.ok / max(counts.planned, 1),
        error_p50=error.p50 if error else None,
        error_p99=error.sample_p99 if error else None,
        error_max=error.max if error else None,
        decoding_p99=truth.decoding_error_s.sample_p99 if truth else None,
        hub_lag_p99=validity.hub_lag_s.p99 if validity.hub_lag_s else None,
        send_lag_p99=validity.send_lag_s.p99 if validity.send_lag_s else None,
        cpu=validity.cpu,
        server_cpu=server.get("cpu"),
        server_late_p99=server.get("late_p99"),
        verdict=validity.verdict,
    )


def certificate(steps: Sequence[Step], *, machine: Machine, date: str) -> Calibration:
    """What the steps certify: the highest load of each kind below which every step was exact."""
    one = leading([step for step in steps if step.kind == "closed" and step.processes == 1])
    many = leading([step for step in steps if step.kind == "closed" and step.processes > 1])
    short = leading([step for step in steps if step.kind == "short"])
    best = one[-1] if one else None
    tried = any(step.processes > 1 for step in steps)
    more = (many[-1].tokens_per_s if many else 0.0) / best.tokens_per_s if tried and best else None
    return Calibration(
        date=date,
        machine=machine,
        streams=best.streams if best else 0,
        tokens_per_s=best.tokens_per_s if best else 0.0,
        ttft_error_p99_s=max((step.error_p99 or 0.0 for step in one), default=None),
        requests_per_s=short[-1].requests_per_s if short else 0.0,
        more_processes=more,
        steps=list(steps),
    )


def leading(steps: Sequence[Step]) -> list[Step]:
    """The exact steps of a rising load before the first two in a row that were not."""
    exact: list[Step] = []
    for step, following in zip_longest(steps, steps[1:]):
        if step.exact:
            exact.append(step)
        elif following is None or not following.exact:
            break
    return exact
