"""Rate-limit headers of every style as numbers: how much is allowed, how much is left, when the limit is full again.

Keys are `<resource>.<limit|remaining|reset_s|window_s>`, such as `requests.remaining`; times are seconds from now. A
header that cannot be parsed, or whose number is too large, is left out, as the IETF draft asks; a missing header never
counts as zero. A gateway's own headers win over those that it passes on from the provider behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import islice

from bench.wire.fields import LONGEST_NAME, MOST_NUMBERS, number

LONGEST_WAIT_S = 1e9  # thirty years: a larger number is not a number of seconds
LONGEST_VALUE = 1000  # characters of a header that are read

GATEWAY = "llm_provider-"
"""Prefix of the headers that LiteLLM passes on from the provider behind it."""

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
_STYLES = tuple(
    (style, re.compile(pattern))
    for style, pattern in (
        ("cerebras", rf"x-ratelimit-{_WHAT}-[a-z0-9_-]+-(?:second|minute|hour|day)"),
        ("openai", rf"x-ratelimit-{_WHAT}-[a-z0-9_-]+"),
        ("litellm", rf"x-ratelimit-[a-z0-9_-]+?-{_WHAT}-[a-z0-9_-]+|{GATEWAY}.+"),
        ("anthropic", rf"anthropic-(?:ratelimit-)?[a-z-]+-{_WHAT}"),
        ("openrouter", rf"x-(?:rate|token)limit-{_WHAT}"),
        ("ietf", r"ratelimit(?:-policy)?"),
        ("ietf_old", rf"ratelimit-{_WHAT}"),
    )
)
"""Styles that differ in the names of their headers: Groq and Azure use OpenAI's, Together uses OpenRouter's."""
_PREFIXES = ("x-", "anthropic-", "ratelimit-", GATEWAY)
_LIMIT_WORD = re.compile("limit|remaining|reset")  # the name of each of these headers has one of these words
_STRUCTURED_ITEM = re.compile(r'"([^"]+)"((?:\s*;\s*[a-z]+=(?:"[^"]*"|[^;,"\s]+))*)')
_STRUCTURED_PARAMETER = re.compile(r'([a-z]+)=(?:"([^"]*)"|([^;,"\s]+))')
_STRUCTURED_KEYS = {"q": "limit", "w": "window_s", "r": "remaining", "t": "reset_s"}

_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_INVALID_DATE = (ValueError, TypeError, LookupError, ArithmeticError)
"""What Python's date parsers raise for an invalid date, such as a zone of 99 hours or the year 10,000."""
_EPOCH_S, _EPOCH_MS = 1e8, 1e11  # a larger reset is a date in that unit (from 1973 on), a smaller one is a wait in s


def about_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an answer, by their names in small letters, that may state a rate limit: often none."""
    return {name: value for name, value in headers.items() if _LIMIT_WORD.search(name)}


def limits(headers: Mapping[str, str], now: float) -> dict[str, float]:
    """An answer's rate-limit headers as numbers. The answer came at `now`, seconds since the epoch."""
    own: dict[str, float] = {}
    passed_on: dict[str, float] = {}
    if not headers:
        return {}
    for name, value in headers.items():
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
    found = passed_on | structured_limits(headers, GATEWAY) | own | structured_limits(headers)
    return dict(islice(found.items(), MOST_NUMBERS))


def style(headers: Mapping[str, str]) -> str | None:
    """The style of an answer's rate-limit headers by their names; several are joined by a comma, in the order of the
    alphabet. None if there are none. What a gateway passes on is in the gateway's own style."""
    if not headers:
        return None
    found = {style_of(name) for name in headers if len(name) <= LONGEST_NAME}
    return ", ".join(sorted(filter(None, found))) or None


@lru_cache(maxsize=256)
def style_of(name: str) -> str | None:
    """The style that has a header of this name."""
    return next((style for style, names in _STYLES if names.fullmatch(name)), None)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the answer asks us to wait, 0 or more; None if it does not ask.

    Reads retry-after-ms, else Retry-After as seconds or as a date (RFC 9110, section 10.2.3).
    """
    for prefix in ("", GATEWAY):
        if f"{prefix}retry-after" not in headers and f"{prefix}retry-after-ms" not in headers:
            continue
        milliseconds = _number(headers.get(f"{prefix}retry-after-ms", ""))
        if (wait := _seconds(None if milliseconds is None else milliseconds / 1e3)) is not None:
            return wait
        value = headers.get(f"{prefix}retry-after", "")
        if (wait := _seconds(_number(value))) is not None:
            return wait
        if (wait := _until(parsedate_to_datetime, value, now)) is not None:
            return wait
    return None


def reset_s(value: str, now: float) -> float | None:
    """Seconds from `now` to a reset; None if it cannot be parsed.

    The value may be a Go duration, seconds, epoch seconds or milliseconds, or a date of RFC 3339.
    """
    value = value[:LONGEST_VALUE].strip()
    if (stated := _number(value)) is not None:
        if stated < _EPOCH_S:
            return stated
        return _seconds(max(0.0, (stated if stated < _EPOCH_MS else stated / 1e3) - now))
    if re.fullmatch(rf"(?:{_GO_DURATION.pattern})+", value):
        return _seconds(sum(float(amount) * _GO_UNITS[unit] for amount, unit in _GO_DURATION.findall(value)))
    return _until(datetime.fromisoformat, value, now)


def structured_limits(headers: Mapping[str, str], prefix: str = "") -> dict[str, float]:
    """RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers: `"name";q=50;w=60`, `"name";r=12;t=30`.

    With one policy the resource is its unit (qu), or requests if it has none. With several policies each resource is
    the policy's name.
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
    """The resource's name in our keys: input-tokens becomes input_tokens, Together's token becomes tokens."""
    return "tokens" if text == "token" else text.replace("-", "_")


def _set(found: dict[str, float], key: str, value: float | None) -> None:
    if value is not None:
        found[key] = value


def _number(text: str) -> float | None:
    """A number of 0 or more; None for any other text."""
    try:
        stated = number(float(text[:LONGEST_VALUE]))
    except ValueError:
        return None
    return stated if stated is not None and stated >= 0 else None


def _seconds(stated: float | None) -> float | None:
    """The same number if it is a possible wait, else None."""
    return stated if stated is not None and 0 <= stated <= LONGEST_WAIT_S else None


def _until(parse: Callable[[str], datetime], text: str, now: float) -> float | None:
    """Seconds from `now` to a date, 0.0 if it is past; None if the text is not a date."""
    try:
        date = parse(text[:LONGEST_VALUE])
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        return _seconds(max(0.0, aware.timestamp() - now))
    except _INVALID_DATE:
        return None
