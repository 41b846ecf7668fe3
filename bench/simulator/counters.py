"""Counts what a model has done, and writes the counts as text for Prometheus under vLLM's names."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bench.simulator.streams import Truth

SHORT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
LONG = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0)
TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5)
REASONS = {"tool_calls": "stop"}  # vLLM's engine counts a tool call as stop


class Histogram:
    """Counts values by upper bounds, as Prometheus does."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def note(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}",{labels}}} {total}'
        yield f"{name}_count{{{labels}}} {total}"
        yield f"{name}_sum{{{labels}}} {self._sum}"


@dataclass(slots=True)
class Counts:
    """The counts of one model."""

    running: int = 0
    waiting: int = 0
    prompt: int = 0  # tokens
    cached: int = 0
    written: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # requests, by finish reason
    ttft: Histogram = field(default_factory=lambda: Histogram(SHORT))
    e2e: Histogram = field(default_factory=lambda: Histogram(LONG))
    per_token: Histogram = field(default_factory=lambda: Histogram(SHORT))
    prompts: Histogram = field(default_factory=lambda: Histogram(TOKENS))
    answers: Histogram = field(default_factory=lambda: Histogram(TOKENS))

    def note(self, truth: Truth, *, prompt: int, cached: int, written: int, reasons: list[str]) -> None:
        """Count a generation that has ended."""
        self.prompt += prompt
        self.cached += cached
        self.written += written
        self.ended.update(REASONS.get(reason, reason) for reason in reasons)
        self.prompts.note(prompt)
        self.answers.note(written)
        if truth.first_token is not None and truth.last_token is not None:
            self.ttft.note(truth.first_token - truth.arrived)
            self.e2e.note(truth.last_token - truth.arrived)
            if written > 1:
                self.per_token.note((truth.last_token - truth.first_token) / (written - 1))


GAUGES: dict[str, Callable[[Counts], int]] = {
    "vllm:num_requests_running": lambda counts: counts.running,
    "vllm:num_requests_waiting": lambda counts: counts.waiting,
}
COUNTERS: dict[str, Callable[[Counts], int]] = {
    "vllm:prompt_tokens": lambda counts: counts.prompt,
    "vllm:generation_tokens": lambda counts: counts.written,
    "vllm:prefix_cache_queries": lambda counts: counts.prompt,
    "vllm:prefix_cache_hits": lambda counts: counts.cached,
}
HISTOGRAMS: dict[str, Callable[[Counts], Histogram]] = {
    "vllm:time_to_first_token_seconds": lambda counts: counts.ttft,
    "vllm:e2e_request_latency_seconds": lambda counts: counts.e2e,
    "vllm:request_time_per_output_token_seconds": lambda counts: counts.per_token,
    "vllm:request_prompt_tokens": lambda counts: counts.prompts,
    "vllm:request_generation_tokens": lambda counts: counts.answers,
}


def exposition(models: Mapping[str, Counts]) -> str:
    """The counts of all models as text for Prometheus."""
    labelled = {label(name): counts for name, counts in models.items()}
    lines: list[str] = []
    for name, value in GAUGES.items():
        lines.append(f"# TYPE {name} gauge")
        lines += [f"{name}{{{labels}}} {value(counts)}" for labels, counts in labelled.items()]
    for name, value in COUNTERS.items():
        lines.append(f"# TYPE {name} counter")
        lines += [f"{name}_total{{{labels}}} {value(counts)}" for labels, counts in labelled.items()]
    lines.append("# TYPE vllm:request_success counter")
    for labels, counts in labelled.items():
        for reason in ("stop", "length", "abort"):
            done = counts.ended[reason]
            lines.append(f'vllm:request_success_total{{finished_reason="{reason}",{labels}}} {done}')
    for name, histogram in HISTOGRAMS.items():
        lines.append(f"# TYPE {name} histogram")
        for labels, counts in labelled.items():
            lines += histogram(counts).lines(name, labels)
    return "\n".join(lines) + "\n"


def label(model: str) -> str:
    escaped = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'engine="0",model_name="{escaped}"'
