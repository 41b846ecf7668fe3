"""Draws the faults of a request, and applies them to the frames of its stream."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence

from bench.simulator.config import Fault, FaultKind
from bench.simulator.errors import ProviderError, error_json
from bench.simulator.streams import PLAIN, Frame, Style

Frames = Iterator[Frame]
Kinds = frozenset[FaultKind]

ALWAYS: Kinds = frozenset({"refuse", "error", "slow_headers", "close_idle"})
ONE_BODY: Kinds = frozenset({"stall", "error_in_stream", "truncate", "reset", "bad_json", "close", "no_length"})
EVENTS: Kinds = frozenset({"stall", "error_in_stream", "truncate", "reset", "bad_json", "close", "no_terminator"})
FRAMING: Kinds = frozenset({"empty", "crlf", "no_space", "comments", "merge", "split"})
GENERATED: Kinds = frozenset({"early_role", "no_usage", "broken_json", "unfit_json"})
CHUNKS: Kinds = frozenset({"usage_every_chunk", "tokens_per_chunk", "big_token"})
OF_JOBS: Kinds = frozenset({"task_fails", "no_webhook"})
"""A model that has them may be asked otherwise too: how it counts tokens, before its jobs begin."""
CONVERSED: Kinds = ALWAYS | ONE_BODY | EVENTS | FRAMING | GENERATED

KINDS: dict[str, Kinds] = {
    "chat": CONVERSED | CHUNKS,
    "completions": (CONVERSED | CHUNKS) - {"early_role", "broken_json", "unfit_json"},
    "messages": CONVERSED,
    "responses": CONVERSED,
    "speech": ALWAYS | ONE_BODY | EVENTS | FRAMING,
    "audio/speech": ALWAYS | {"stall", "truncate", "reset", "empty", "close"},
    "audio/transcriptions": ALWAYS | ONE_BODY | EVENTS | FRAMING,
    "embeddings": ALWAYS | ONE_BODY,
    "rerank": ALWAYS | ONE_BODY,
    "moderations": ALWAYS | ONE_BODY,
    "images": ALWAYS | ONE_BODY,
    "tasks": ALWAYS | OF_JOBS,
    "batches": frozenset({"task_fails", "empty", "no_usage", "broken_json", "unfit_json"}),
}
"""The faults that each API supports; a request for another fault is refused."""


def check_kinds(faults: Sequence[Fault], api: str) -> None:
    """Refuse faults that the API does not support, so that none is silently ignored. Raises ProviderError."""
    for fault in faults:
        if fault.kind not in KINDS[api]:
            others = ", ".join(name for name, kinds in KINDS.items() if fault.kind in kinds)
            raise ProviderError(400, f"{api} does not support the fault {fault.kind}; it works with {others}")


class Faults:
    """The faults of one request, by kind."""

    def __init__(self, configured: Sequence[Fault], rng: random.Random) -> None:
        self._hit = {fault.kind: fault for fault in configured if fault.share >= 1 or rng.random() < fault.share}

    def get(self, kind: str) -> Fault | None:
        return self._hit.get(kind)  # type: ignore[call-overload,no-any-return]  # `kind` may be any word

    def __contains__(self, kind: str) -> bool:
        return kind in self._hit

    def style(self) -> Style:
        """How the stream's events become bytes."""
        if not self._hit:
            return PLAIN
        merge, split = self.get("merge"), self.get("split")
        return Style(
            newline=b"\r\n" if "crlf" in self else b"\n",
            prefix=b"data:" if "no_space" in self else b"data: ",
            merge=merge.size if merge else 1,
            split=split.size if split else 0,
            comments="comments" in self,
        )

    def apply(self, frames: Frames) -> Frames:
        """The stream's frames with all faults of the request."""
        for kind, change in FRAME_FAULTS.items():
            if (fault := self.get(kind)) is not None:
                frames = change(frames, fault)
        return frames


def refusal(fault: Fault) -> ProviderError:
    headers = {"retry-after": fault.retry_after} if fault.retry_after else {}
    return ProviderError(fault.status, fault.message or "", reason=fault.reason, headers=headers)


def after(frames: Frames, tokens: int) -> tuple[Frames, Frames]:
    """The frames up to and including this number of tokens, and the rest."""
    seen = 0

    def first() -> Frames:
        nonlocal seen
        while seen < tokens and (frame := next(frames, None)) is not None:
            seen += frame.kind == "token"
            yield frame

    return first(), frames


def stall(frames: Frames, fault: Fault) -> Frames:
    before, rest = after(frames, fault.after_tokens)
    yield from before
    for frame in rest:
        yield frame._replace(due=frame.due + fault.seconds)


def error_in_stream(frames: Frames, fault: Fault) -> Frames:
    before, rest = after(frames, fault.after_tokens)
    yield from before
    if (frame := next(rest, None)) is not None:
        style = fault.style or (
            ("responses" if frame.name.startswith(b"response") else "anthropic") if frame.name else "novita"
        )
        yield Frame(frame.due, error_json(refusal(fault), style), name=b"error" if frame.name else b"")
        yield Frame(frame.due, b"", "end")


def truncate(frames: Frames, fault: Fault) -> Frames:
    before, rest = after(frames, fault.after_tokens)
    yield from before
    if (frame := next(rest, None)) is not None:
        yield Frame(frame.due, b"", "end")


def reset(frames: Frames, fault: Fault) -> Frames:
    before, rest = after(frames, fault.after_tokens)
    yield from before
    if (frame := next(rest, None)) is not None:
        yield Frame(frame.due, b"", "reset")


def no_terminator(frames: Frames, _: Fault) -> Frames:
    return (frame for frame in frames if frame.kind != "terminator")


def empty(frames: Frames, _: Fault) -> Frames:
    return (frame for frame in frames if frame.kind != "token")


def bad_json(frames: Frames, fault: Fault) -> Frames:
    before, rest = after(frames, fault.after_tokens)
    yield from before
    if (frame := next(rest, None)) is None:
        return
    yield Frame(frame.due, b'{"choices": [{"index": 0, "delta": {"content"')
    yield from itertools.chain([frame], rest)


def big_token(frames: Frames, fault: Fault) -> Frames:
    before, rest = after(frames, fault.after_tokens)
    yield from before
    if (frame := next(rest, None)) is None:
        return
    chunk = {"choices": [{"index": 0, "delta": {"content": "x" * fault.size}, "finish_reason": None}]}
    yield Frame(frame.due, json.dumps(chunk).encode(), "token")
    yield from itertools.chain([frame], rest)


FRAME_FAULTS: dict[str, Callable[[Frames, Fault], Frames]] = {
    "stall": stall,
    "empty": empty,
    "big_token": big_token,
    "bad_json": bad_json,
    "error_in_stream": error_in_stream,
    "truncate": truncate,
    "reset": reset,
    "no_terminator": no_terminator,
}
