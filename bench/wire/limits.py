"""Rate-limit headers of every style, as numbers: how much is allowed, how much is left, when it is full again.

Keys are `<resource>.<limit|remaining|reset_s>`, such as `requests.remaining`; resets are seconds from now. A header
that does not parse is left out, as the IETF draft asks; its absence is never read as a zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NAMES = (
    re.compile(
        r"x-ratelimit-(?P<what>limit|remaining|reset)-(?P<resource>[a-z-]+)"
    ),  # OpenAI, Groq, Cerebras, Together
    re.compile(r"x-ratelimit-(?P<what>limit|remaining|reset)"),  # OpenRouter
    re.compile(r"anthropic-(ratelimit-)?(?P<resource>[a-z-]+)-(?P<what>limit|remaining|reset)"),
    re.compile(r"ratelimit-(?P<what>limit|remaining|reset)"),  # drafts of the IETF header up to 07
    re.compile(r"x-tokenlimit-(?P<what>limit|remaining|reset)(?P<tokens>)"),  # Together
)
_EPOCH_MS = 1e11  # a number above is epoch milliseconds, one above _EPOCH_S epoch seconds, any other seconds from now
_EPOCH_S = 1e8


def limits(headers: httpx.Headers, now: float) -> dict[str, float]:
    """The rate-limit headers of an answer that came at `now`, seconds since the epoch."""
    found = _structured(headers)
    for name, value in headers.items():
        for pattern in _NAMES:
            if (match := pattern.fullmatch(name)) is not None:
                groups = match.groupdict()
                resource = "tokens" if "tokens" in groups else groups.get("resource", "requests").replace("-", "_")
                what = groups["what"]
                number = reset_s(value, now) if what == "reset" else _number(value)
                if number is not None:
                    found[f"{resource}.{'reset_s' if what == 'reset' else what}"] = number
                break
    return found


def retry_after(headers: httpx.Headers, now: float) -> float | None:
    """Seconds that the answer asks us to wait: retry-after-ms, else Retry-After as seconds or as a date
    (RFC 9110, section 10.2.3). Never negative; None where it does not say."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return max(0.0, milliseconds / 1e3)
    value = headers.get("retry-after", "").strip()
    if (seconds := _number(value)) is not None:
        return max(0.0, seconds)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None


def reset_s(value: str, now: float) -> float | None:
    """Seconds from `now` to a reset, given as a Go duration, seconds, epoch seconds or milliseconds, or RFC 3339."""
    value = value.strip()
    if (number := _number(value)) is not None:
        if number > _EPOCH_MS:
            return max(0.0, number / 1e3 - now)
        return max(0.0, number - now) if number > _EPOCH_S else number
    if re.fullmatch(rf"(?:{_GO_DURATION.pattern})+", value):
        return sum(float(amount) * _GO_UNITS[unit] for amount, unit in _GO_DURATION.findall(value))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)


def _structured(headers: httpx.Headers) -> dict[str, float]:
    """RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers: `"name";q=50;w=60`, `"name";r=12;t=30`.

    With several policies the keys carry the policy's name.
    """
    found: dict[str, float] = {}
    keys = {"q": "limit", "w": "window_s", "r": "remaining", "t": "reset_s"}
    for header in ("ratelimit-policy", "ratelimit"):
        items = re.findall(r'"([^"]+)"((?:\s*;\s*[a-z]+=[^;,]+)*)', headers.get(header, ""))
        for name, parameters in items:
            resource = "requests" if len(items) == 1 else name
            for key, value in re.findall(r"([a-z]+)=([^;,\s]+)", parameters):
                if key in keys and (number := _number(value)) is not None:
                    found[f"{resource}.{keys[key]}"] = number
    return found


def _number(value: str) -> float | None:
    return _quiet(float, value.strip().replace(",", "")) if re.fullmatch(r"-?[\d.,]+", value.strip()) else None


def _quiet(convert: Callable[[str], float], value: str) -> float | None:
    try:
        return convert(value)
    except ValueError:
        return None
