"""Rate-limit headers of every style, as numbers: how much is allowed, how much is left, when it is full again.

Keys are `<resource>.<limit|remaining|reset_s|window_s>`, such as `requests.remaining`; times are seconds from now. A
header that does not parse, or that states more than a number can hold, is left out, as the IETF draft asks; its absence
is never read as a zero. What a gateway passes on from the provider behind it fills in what it does not state itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice

import httpx

from bench.wire.fields import LONGEST_NAME, MOST_NUMBERS, number

LONGEST_WAIT_S = 1e9  # thirty years: what asks for more is no number of seconds
LONGEST_VALUE = 1000  # characters of a header that are looked at

GATEWAY = "llm_provider-"
"""Before the names of headers that LiteLLM passes on from the provider behind it."""

_WHAT = r"(?P<what>limit|remaining|reset)"
_NAMES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"x-ratelimit-{_WHAT}-(?P<resource>[a-z0-9_-]+)",  # OpenAI, Groq; Cerebras ends in -day and -minute
        # LiteLLM: x-ratelimit-api_key-remaining-requests, x-ratelimit-model_per_key-limit-tokens
        rf"x-ratelimit-(?P<scope>[a-z0-9_-]+?)-{_WHAT}-(?P<resource>[a-z0-9_-]+)",
        rf"anthropic-(?:ratelimit-)?(?P<resource>[a-z-]+)-{_WHAT}",
        rf"(?:x-)?ratelimit-{_WHAT}",  # OpenRouter, Together; drafts of the IETF headers up to 06
        rf"x-(?P<resource>token)limit-{_WHAT}",  # Together
    )
)
_PREFIXES = ("x-", "anthropic-", "ratelimit-", GATEWAY)
_TELLING = re.compile("limit|remaining|reset")  # each of these headers has one in its name
_STRUCTURED_ITEM = re.compile(r'"([^"]+)"((?:\s*;\s*[a-z]+=(?:"[^"]*"|[^;,"\s]+))*)')
_STRUCTURED_PARAMETER = re.compile(r'([a-z]+)=(?:"([^"]*)"|([^;,"\s]+))')
_STRUCTURED_KEYS = {"q": "limit", "w": "window_s", "r": "remaining", "t": "reset_s"}

_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NO_MOMENT = (ValueError, TypeError, LookupError, ArithmeticError)
"""What Python's parsers of dates raise for text that is none, a zone of 99 hours and a year 10,000 among them."""
_EPOCH_S, _EPOCH_MS = 1e8, 1e11  # a reset above is a moment in that unit (from 1973 on); below, seconds from now


def limits(headers: httpx.Headers, now: float) -> dict[str, float]:
    """The rate-limit headers of an answer that came at `now`, seconds since the epoch."""
    own: dict[str, float] = {}
    passed_on: dict[str, float] = {}
    told = [(name, value) for name, value in headers.items() if _TELLING.search(name)]
    if not told:  # as with many servers, and then nothing else need be looked at
        return {}
    for name, value in told:
        if not name.startswith(_PREFIXES) or len(name) > len(GATEWAY) + LONGEST_NAME:
            continue
        plain = name.removeprefix(GATEWAY)
        match = next((match for pattern in _NAMES if (match := pattern.fullmatch(plain)) is not None), None)
        if match is None:
            continue
        stated = match.groupdict()
        resource = resource_name("-".join(filter(None, (stated.get("scope"), stated.get("resource") or "requests"))))
        first = value[:LONGEST_VALUE].split(",")[0].split(";")[0]  # older IETF drafts: "100, 100;w=60"
        into = passed_on if name.startswith(GATEWAY) else own
        if match["what"] == "reset":
            _set(into, f"{resource}.reset_s", reset_s(first, now))
        else:
            _set(into, f"{resource}.{match['what']}", _number(first))
    found = passed_on | structured(headers, GATEWAY) | own | structured(headers)
    return dict(islice(found.items(), MOST_NUMBERS))


def retry_after(headers: httpx.Headers, now: float) -> float | None:
    """Seconds that the answer asks us to wait: retry-after-ms, else Retry-After as seconds or as a date
    (RFC 9110, section 10.2.3). Never negative; None if it does not say."""
    for prefix in ("", GATEWAY):
        if f"{prefix}retry-after" not in headers and f"{prefix}retry-after-ms" not in headers:
            continue
        milliseconds = _number(headers.get(f"{prefix}retry-after-ms", ""))
        if (asked := _seconds(None if milliseconds is None else milliseconds / 1e3)) is not None:
            return asked
        value = headers.get(f"{prefix}retry-after", "")
        if (asked := _seconds(_number(value))) is not None:
            return asked
        if (asked := _until(parsedate_to_datetime, value, now)) is not None:
            return asked
    return None


def reset_s(value: str, now: float) -> float | None:
    """Seconds from `now` to a reset, given as a Go duration, seconds, epoch seconds or milliseconds, or RFC 3339."""
    value = value[:LONGEST_VALUE].strip()
    if (stated := _number(value)) is not None:
        if stated < _EPOCH_S:
            return stated
        return _seconds(max(0.0, (stated if stated < _EPOCH_MS else stated / 1e3) - now))
    if re.fullmatch(rf"(?:{_GO_DURATION.pattern})+", value):
        return _seconds(sum(float(amount) * _GO_UNITS[unit] for amount, unit in _GO_DURATION.findall(value)))
    return _until(datetime.fromisoformat, value, now)


def structured(headers: httpx.Headers, prefix: str = "") -> dict[str, float]:
    """RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers: `"name";q=50;w=60`, `"name";r=12;t=30`.

    A lone policy's resource is its unit (qu), requests where it names none; several are told apart by their names.
    """
    policies: dict[str, dict[str, str]] = {}
    for header in ("ratelimit-policy", "ratelimit"):
        for name, parameters in _STRUCTURED_ITEM.findall(headers.get(prefix + header, "")[:LONGEST_VALUE]):
            pairs = _STRUCTURED_PARAMETER.findall(parameters)
            policies.setdefault(name, {}).update({key: quoted or bare for key, quoted, bare in pairs})
    found: dict[str, float] = {}
    for name, stated in policies.items():
        resource = resource_name(stated.get("qu", "requests") if len(policies) == 1 else name)
        if len(resource) > LONGEST_NAME or not resource.isprintable():
            continue
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
    """A number that is not negative; None for anything else."""
    try:
        stated = number(float(text[:LONGEST_VALUE]))
    except ValueError:
        return None
    return stated if stated is not None and stated >= 0 else None


def _seconds(stated: float | None) -> float | None:
    """A wait that may be meant."""
    return stated if stated is not None and 0 <= stated <= LONGEST_WAIT_S else None


def _until(parse: Callable[[str], datetime], text: str, now: float) -> float | None:
    """Seconds from `now` to a moment, none where it is past; None if the text is no moment."""
    try:
        moment = parse(text[:LONGEST_VALUE])
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _seconds(max(0.0, aware.timestamp() - now))
    except _NO_MOMENT:
        return None
