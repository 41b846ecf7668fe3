"""Published limits by name: `slo: mlperf/llama2-70b-interactive`.

MLPerf Inference, datacenter, scenario Server: at least 99 % of the requests keep both TTFT and TPOT (LoadGen's
`mlperf.conf`, mlcommons/inference, 001712e).
"""

from __future__ import annotations

import difflib

PREFIX = "mlperf/"
_MILLISECONDS = {
    "llama2-70b": (2000, 200),
    "llama2-70b-interactive": (450, 40),
    "mixtral-8x7b": (2000, 200),
    "llama3.1-405b": (6000, 175),
    "llama3.1-405b-interactive": (4500, 80),
    "llama3.1-8b": (2000, 100),
    "llama3.1-8b-interactive": (500, 30),
    "deepseek-r1": (2000, 80),
    "deepseek-r1-interactive": (1500, 15),
}
"""TTFT and TPOT, ms."""

PRESETS = tuple(f"{PREFIX}{name}" for name in _MILLISECONDS)


def is_preset(text: object) -> bool:
    """Whether a text has the form of a preset's name; the preset may not exist."""
    return isinstance(text, str) and text.startswith(PREFIX)


def slo_of(name: str) -> dict[str, float]:
    """The limits of a preset, s by metric. Raises ValueError."""
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        raise ValueError(
            f"{name!r} is not a preset; "
            + (f"did you mean {close[0]}?" if close else f"known are {', '.join(PRESETS)}")
        )
    return {metric: value / 1e3 for metric, value in zip(("ttft", "tpot"), _limits(name), strict=True)}


def thresholds_of(name: str) -> tuple[str, ...]:
    """The thresholds of a preset. Raises ValueError."""
    slo_of(name)
    return tuple(f"{metric} p99 <= {limit}ms" for metric, limit in zip(("ttft", "tpot"), _limits(name), strict=True))


def _limits(name: str) -> tuple[int, int]:
    return _MILLISECONDS[name.removeprefix(PREFIX)]
