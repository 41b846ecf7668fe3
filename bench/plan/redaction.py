"""Secrets removed from texts that quote a server: one function, used for everything that is written or printed.

A server may repeat a key as it is, escaped for JSON, HTML or a URL, in hex, or within a base64 text, with other
capitals, and cut off at any place. So every run of eight or more characters of any of these forms is removed. A key
that a server splits by other characters is not found.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Set
from functools import _lru_cache_wrapper, cached_property, lru_cache

SHORTEST = 8  # characters of a secret, or of a part of one, that is removed; shorter ones are also ordinary words
HIDDEN = "***"

_STEP = 200  # characters of a secret that are learned in one step
_BLOCK = SHORTEST // 2  # every run of SHORTEST characters contains a whole block that begins at a multiple of this
_SCHEME = re.compile(r"(?:bearer|basic|token|key|apikey|api-key) +(?=\S)", re.IGNORECASE)
_ESCAPE = re.compile(
    r"%(?:25)*([0-9a-f]{2})|\\+(?:u00|x|u\{)([0-9a-f]{2})\}?|&(?:amp;)*#x0*([0-9a-f]{2});?|&(?:amp;)*#0*([0-9]{2,3});?"
    r"|&(?:amp;)*(amp|lt|gt|quot|apos);|\\+(.)",
    re.IGNORECASE | re.DOTALL,
)
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_FOLDED = str.maketrans(
    {chr(upper): chr(upper + 32) for upper in range(ord("A"), ord("Z") + 1)} | dict.fromkeys("+/_", "-")
)
"""Maps capitals to small letters, since header names lose their capitals, and all kinds of base64 to one alphabet."""

Scrub = Callable[[str], str]


class Scrubber:
    """Removes secrets from each text that it is called with; it can learn more secrets later.

    `public` are texts that are not secret, such as names of models, even if they share a part with a secret.
    """

    def __init__(self, secrets: Iterable[str], public: Iterable[str] = ()) -> None:
        self._public: set[str] = set()
        for text in map(_fold, public):
            self._public.update(_runs(text))
        self._blocks: set[str] = set()  # of the runs, all pieces of _BLOCK characters
        self._runs: set[str] = set()  # every run of SHORTEST characters that is part of a secret
        for secret in secrets:
            for _ in self.learn(secret):
                pass

    def learn(self, secret: str) -> Iterator[None]:
        """Learn another secret, step by step; it is removed once the iterator is exhausted. A secret of 1,500
        characters takes 30 ms, so other work can be done between the steps."""
        for form in {_fold(form) for form in _forms(secret)}:
            for begin in range(0, len(form), _STEP):
                for run in _runs(form[begin : begin + _STEP + SHORTEST - 1]):
                    if run not in self._public:
                        self._runs.add(run)
                        self._blocks.update(run[at : at + _BLOCK] for at in range(_BLOCK))
                yield
        self._short.cache_clear()

    def __call__(self, text: str) -> str:
        if not self._runs:
            return text
        return self._short(text) if len(text) <= 100 else _scrubbed(text, self._blocks, self._runs)

    @cached_property
    def _short(self) -> _lru_cache_wrapper[str]:
        """The same for a short text: names of models, limits and finish reasons repeat with every request."""
        return lru_cache(4096)(lambda text: _scrubbed(text, self._blocks, self._runs))


def scrubber(secrets: Iterable[str], public: Iterable[str] = ()) -> Scrubber:
    """A function that removes all of these secrets from a text."""
    return Scrubber(secrets, public)


def _runs(text: str) -> Iterator[str]:
    return (text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1))


def _forms(secret: str) -> Iterator[str]:
    """Every form that a secret can have in a text, apart from escapes of single characters."""
    for plain in _parts(secret):
        if len(plain) < SHORTEST:
            continue
        data = plain.encode("utf-8", "surrogatepass")
        for spelled in (plain, data.decode("latin-1")):
            yield spelled
            yield _unescaped(spelled)[0]
        yield data.hex()
        for before in range(3):
            encoded = base64.b64encode(b"\0" * before + data).decode()
            yield encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]  # what only the secret decides


def _parts(secret: str) -> Iterator[str]:
    """The secret and its parts: a header's scheme and credentials, user and password."""
    yield secret
    bare = _SCHEME.sub("", secret, count=1)
    if bare != secret:
        yield bare
        try:
            user, _, password = base64.b64decode(bare, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return
        yield from (user, password)


def _scrubbed(text: str, blocks: Set[str], runs: Set[str]) -> str:
    spans = list(_spans(_fold(text), blocks, runs))
    if "%" in text or "\\" in text or "&" in text:
        plain, places = _unescaped(text)
        spans += [(places[first], places[last]) for first, last in _spans(_fold(plain), blocks, runs)]
        spans.sort()
    if not spans:
        return text
    pieces: list[str] = []
    end = 0
    for first, last in spans:
        if first > end or not pieces:
            pieces += [text[end:first], HIDDEN]
        end = max(end, last)
    return "".join(pieces) + text[end:]


def _spans(folded: str, blocks: Set[str], runs: Set[str]) -> Iterator[tuple[int, int]]:
    """Begin and end of each run that is part of a secret, in order; runs that touch are merged."""
    first, last = 0, -1
    for block in range(0, len(folded) - _BLOCK + 1, _BLOCK):
        if folded[block : block + _BLOCK] not in blocks:
            continue
        for at in range(max(0, block - _BLOCK + 1), block + 1):
            if folded[at : at + SHORTEST] in runs:
                if at > last >= 0:
                    yield first, last
                if at > last:
                    first = at
                last = at + SHORTEST
    if last >= 0:
        yield first, last


def _fold(text: str) -> str:
    return text.translate(_FOLDED)


def _unescaped(text: str) -> tuple[str, list[int]]:
    """The text without its escapes, the place in the original where each character begins, and the end of the last."""
    plain: list[str] = []
    places: list[int] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        plain += text[at : match.start()]
        places += range(at, match.start())
        plain.append(_meant(match))
        places.append(match.start())
        at = match.end()
    plain += text[at:]
    places += range(at, len(text) + 1)
    return "".join(plain), places


def _meant(match: re.Match[str]) -> str:
    percent, json_, hexadecimal, decimal, entity, escaped = match.groups()
    if code := percent or json_ or hexadecimal:
        return chr(int(code, 16))
    if decimal:
        return chr(int(decimal))
    return _ENTITIES[entity.lower()] if entity else escaped
