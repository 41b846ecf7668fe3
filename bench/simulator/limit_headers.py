"""Headers that state limits, in the styles of several providers, and the three forms of Retry-After."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal

UNITS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}


@dataclass(frozen=True, slots=True)
class Counter:
    """The numbers of one limit for its headers."""

    resource: str  # requests, tokens, input_tokens, output_tokens, images, concurrent_requests
    limit: float
    remaining: float
    reset_s: float | None  # time until it is full again; None if unknown
    window_s: float

    @property
    def dashed(self) -> str:
        return self.resource.replace("_", "-")


def unit_of(window: float, *, short: bool = False) -> str:
    """A window in words."""
    name = UNITS.get(window, f"{window:g} s")
    return "min" if short and name == "minute" else name


def limit_headers(style: str, counters: Sequence[Counter], now: float) -> dict[str, str]:
    """The headers of one answer; `now` is seconds since the epoch."""
    return STYLES[style](counters, now)


def retry_after_header(form: Literal["seconds", "milliseconds", "date"], wait: float, now: float) -> dict[str, str]:
    """The header that states the wait, rounded up so that the client never comes too early."""
    if form == "milliseconds":
        return {"retry-after-ms": str(math.ceil(wait * 1e3))}
    if form == "seconds":
        return {"retry-after": str(math.ceil(wait))}
    return {"retry-after": format_datetime(moment(math.ceil(now + wait)), usegmt=True)}


def moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)


def tightest(counters: Sequence[Counter]) -> list[Counter]:
    """The counter with the smallest share left of each resource, for styles that have one header per resource. These
    styles have no header for concurrent requests."""
    found: dict[str, Counter] = {}
    for counter in counters:
        known = found.get(counter.resource)
        if counter.resource != "concurrent_requests" and (
            known is None or counter.remaining / counter.limit < known.remaining / known.limit
        ):
            found[counter.resource] = counter
    return list(found.values())


def go_duration(seconds: float, *, fine: bool = False) -> str:
    """A duration as Go prints it: 6m0s, 1s, 12ms; if `fine` with fractions: 2m59.56s."""
    milliseconds = math.ceil(seconds * 1e3)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole = f"{rest / 1e3:g}" if fine else str(math.ceil(rest / 1e3))
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + f"{whole}s"


def _x_ratelimit(reset: Callable[[float], str] | None, *, scope: str = "") -> Callable[..., dict[str, str]]:
    """OpenAI's names."""

    def headers(counters: Sequence[Counter], now: float) -> dict[str, str]:
        found = {}
        for one in tightest(counters):
            found[f"x-ratelimit-{scope}limit-{one.dashed}"] = str(math.floor(one.limit))
            found[f"x-ratelimit-{scope}remaining-{one.dashed}"] = str(math.floor(one.remaining))
            if reset is not None and one.reset_s is not None:
                found[f"x-ratelimit-{scope}reset-{one.dashed}"] = reset(one.reset_s)
        return found

    return headers


def _cerebras(counters: Sequence[Counter], now: float) -> dict[str, str]:
    found = {}
    for one in counters:
        if one.reset_s is not None:
            name = f"{one.dashed}-{unit_of(one.window_s)}"
            found[f"x-ratelimit-limit-{name}"] = str(math.floor(one.limit))
            found[f"x-ratelimit-remaining-{name}"] = str(math.floor(one.remaining))
            found[f"x-ratelimit-reset-{name}"] = f"{one.reset_s:.3f}"
    return found


def _anthropic(counters: Sequence[Counter], now: float) -> dict[str, str]:
    found = {}
    for one in tightest(counters):
        name = f"anthropic-ratelimit-{one.dashed}"
        remaining = round(one.remaining, -3) if "tokens" in one.resource else math.floor(one.remaining)
        found[f"{name}-limit"] = str(math.floor(one.limit))
        found[f"{name}-remaining"] = str(int(remaining))
        if one.reset_s is not None:
            found[f"{name}-reset"] = f"{moment(math.ceil(now + one.reset_s)):%Y-%m-%dT%H:%M:%SZ}"
    return found


def _ietf(counters: Sequence[Counter], now: float) -> dict[str, str]:
    """draft-ietf-httpapi-ratelimit-headers-10: one policy per limit, named after its resource and window."""
    policies, states = [], []
    for one in counters:
        concurrent = one.resource == "concurrent_requests"
        name = one.resource if concurrent else f"{one.resource}_{one.window_s:g}s"
        unit = (
            ';qu="concurrent-requests"' if concurrent else f';qu="{one.dashed}"' if one.resource != "requests" else ""
        )
        window = "" if concurrent else f";w={math.ceil(one.window_s)}"
        reset = "" if one.reset_s is None else f";t={math.ceil(one.reset_s)}"
        policies.append(f'"{name}";q={math.floor(one.limit)}{unit}{window}')
        states.append(f'"{name}";r={math.floor(one.remaining)}{reset}')
    return {"ratelimit-policy": ", ".join(policies), "ratelimit": ", ".join(states)} if policies else {}


def _bare(prefix: str, reset: Callable[[float, float], str]) -> Callable[..., dict[str, str]]:
    """Names without a resource: they state the limit with the smallest share left."""

    def headers(counters: Sequence[Counter], now: float) -> dict[str, str]:
        if not (known := tightest(counters)):
            return {}
        one = min(known, key=lambda counter: counter.remaining / counter.limit)
        found = {f"{prefix}limit": str(math.floor(one.limit)), f"{prefix}remaining": str(math.floor(one.remaining))}
        return found | ({} if one.reset_s is None else {f"{prefix}reset": reset(one.reset_s, now)})

    return headers


def _together(counters: Sequence[Counter], now: float) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in tightest(counters):
        prefix = {"requests": "x-ratelimit-", "tokens": "x-tokenlimit-"}.get(one.resource)
        if prefix is not None:
            found |= {
                f"{prefix}limit": str(math.floor(one.limit)),
                f"{prefix}remaining": str(math.floor(one.remaining)),
            }
            found |= {} if one.reset_s is None else {f"{prefix}reset": str(math.ceil(one.reset_s))}
    return found


STYLES: dict[str, Callable[[Sequence[Counter], float], dict[str, str]]] = {
    "openai": _x_ratelimit(go_duration),
    "groq": _x_ratelimit(lambda seconds: go_duration(seconds, fine=True)),
    "azure": _x_ratelimit(lambda seconds: str(math.ceil(seconds))),
    "cerebras": _cerebras,
    "anthropic": _anthropic,
    "ietf": _ietf,
    "ietf_old": _bare("ratelimit-", lambda seconds, _: str(math.ceil(seconds))),
    "openrouter": _bare("x-ratelimit-", lambda seconds, now: str(math.ceil((now + seconds) * 1e3))),
    "together": _together,
    "litellm": _x_ratelimit(None, scope="api_key-"),
}
