"""Refusals of a rate limit whose outcome says something else: only their words tell.

Some gateways refuse with another status than 429, or begin a stream before they ask whether there is room.
"""

from __future__ import annotations

import re

_LIMIT = r"rate[ _-]?limit|too[ _]many[ _]requests"
_WORDS = {
    "invalid": re.compile(_LIMIT, re.IGNORECASE),
    "auth": re.compile(_LIMIT, re.IGNORECASE),
    "stream_error": re.compile(rf"\b429\b|{_LIMIT}", re.IGNORECASE),  # the status, where HTTP's was a success
}
DISGUISES = tuple(_WORDS)
"""The outcomes that such a refusal may have."""


def is_disguised(outcome: str, message: str | None) -> bool:
    """Whether a rate limit refused a request whose outcome says something else."""
    words = _WORDS.get(outcome)
    return words is not None and words.search(message or "") is not None
