"""Rate-limit headers of every style, as numbers: how much is allowed, how much is left, when it is full again.

Keys are `<resource>.<limit|remaining|reset_s|window_s>`, such as `requests.remaining`; times are seconds from now. A
header that does not parse is left out, as the IETF draft asks; its absence is never read as a zero.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

_WHAT = r"(?P<what>limit|remaining|reset)"
_NAMES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"x-ratelimit-{_WHAT}-(?P<resource>[a-z_-]+)",  # OpenAI, Groq; Cerebras ends in -day and -minute
        rf"anthropic-(?:ratelimit-)?(?P<resource>[a-z-]+)-{_WHAT}",
        rf"(?:x-)?ratelimit-{_WHAT}",  # OpenRouter, Together; drafts of the IETF headers up to 06
        rf"x-(?P<resource>token)limit-{_WHAT}",  # Together
    )
)
_PREFIXES = ("x-", "anthropic-", "ratelimit-")
_STRUCTURED_ITEM = re.compile(r'"([^"]+)"((?:\s*;\s*[a-z]+=(?:"[^"]*"|[^;,"\s]+))*)')
_STRUCTURED_PARAMETER = re.compile(r'([a-z]+)=(?:"([^"]*)"|([^;,"\s]+))')
_STRUCTURED_KEYS = {"q": "limit", "w": "window_s", "r": "remaining", "t": "reset_s"}

_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_EPOCH_S, _EPOCH_MS = 1e8, 1e11  # a reset above is a moment in that unit (from 1973 on); below, seconds from now


def limits(headers: httpx.Headers, now: float) -> dict[str, float]:
    """The rate-limit headers of an answer that came at `now`, seconds since the epoch."""
    found: dict[str, float] = {}
    for name, value in headers.items():
        if not name.startswith(_PREFIXES):
            continue
        match = next((match for pattern in _NAMES if (match := pattern.fullmatch(name)) is not None), None)
        if match is None:
            continue
        resource = resource_name(match.groupdict().get("resource") or "requests")
        first = value.split(",")[0].split(";")[0]  # older IETF drafts: "100, 100;w=60"
        if match["what"] == "reset":
            _set(found, f"{resource}.reset_s", reset_s(first, now))
        else:
            _set(found, f"{resource}.{match['what']}", _number(first))
    return found | structured(headers)


def retry_after(headers: httpx.Headers, now: float) -> float | None:
    """Seconds that the answer asks us to wait: retry-after-ms, else Retry-After as seconds or as a date
    (RFC 9110, section 10.2.3). Never negative; None where it does not say."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1e3
    value = headers.get("retry-after", "")
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        return _from_now(parsedate_to_datetime(value), now)
    except ValueError:
        return None


def reset_s(value: str, now: float) -> float | None:
    """Seconds from `now` to a reset, given as a Go duration, seconds, epoch seconds or milliseconds, or RFC 3339."""
    value = value.strip()
    if (number := _number(value)) is not None:
        if number < _EPOCH_S:
            return number
        return max(0.0, (number if number < _EPOCH_MS else number / 1e3) - now)
    if re.fullmatch(rf"(?:{_GO_DURATION.pattern})+", value):
        return sum(float(amount) * _GO_UNITS[unit] for amount, unit in _GO_DURATION.findall(value))
    try:
        return _from_now(datetime.fromisoformat(value), now)
    except ValueError:
        return None


def structured(headers: httpx.Headers) -> dict[str, float]:
    """RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers: `"name";q=50;w=60`, `"name";r=12;t=30`.

    A lone policy's resource is its unit (qu), requests where it names none; several are told apart by their names.
    """
    policies: dict[str, dict[str, str]] = {}
    for header in ("ratelimit-policy", "ratelimit"):
        for name, parameters in _STRUCTURED_ITEM.findall(headers.get(header, "")):
            pairs = _STRUCTURED_PARAMETER.findall(parameters)
            policies.setdefault(name, {}).update({key: quoted or bare for key, quoted, bare in pairs})
    found: dict[str, float] = {}
    for name, stated in policies.items():
        resource = resource_name(stated.get("qu", "requests") if len(policies) == 1 else name)
        for key, what in _STRUCTURED_KEYS.items():
            _set(found, f"{resource}.{what}", _number(stated.get(key, "")))
    return found


def resource_name(text: str) -> str:
    """The resource as our keys spell it: input-tokens is input_tokens, Together's token is tokens."""
    return "tokens" if text == "token" else text.replace("-", "_")


def _set(found: dict[str, float], key: str, value: float | None) -> None:
    if value is not None:
        found[key] = value


def _number(text: str) -> float | None:
    """A number that is neither negative nor infinite; None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _from_now(moment: datetime, now: float) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - now)
