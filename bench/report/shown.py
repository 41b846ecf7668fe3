"""One record for people: every field with its unit in words, its attempts, its arrivals summed up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from bench.records import Bodies, Record
from bench.report.words import visible

MOMENTS = ("due", "sent", "connect_started", "connected", "headers_at", "first_token_at", "first_answer_at",
           "unfinished_at", "done")  # fmt: skip
DURATIONS = ("read_delay", "retry_after")
APART = ("arrivals", "earlier", "error")  # told in their own words


def shown(record: Record, bodies: Bodies | None = None) -> str:
    """The record as lines for a terminal."""
    lines = list(members(record))
    width = max(len(name) for name, _ in lines)
    told = [f"{name:<{width}}  {visible(value)}" for name, value in lines]
    if bodies is not None:
        for title, text, size in (
            ("request", bodies.request, bodies.request_bytes),
            ("answer", bodies.answer, bodies.answer_bytes),
        ):
            told += ["", f"{title}, {size:,} bytes:", visible(text, keep="\n")]
    return "\n".join(told)


def members(record: Record) -> Iterator[tuple[str, str]]:
    """Name and value of each line."""
    yield "outcome", record.outcome
    yield "error", record.error or "none"
    for name in Record.__dataclass_fields__:
        if name not in ("outcome", *APART):
            yield name, value(name, getattr(record, name))
    yield "arrivals", arrivals(record.arrivals)
    for number, attempt in enumerate(record.earlier, start=1):
        asked = "" if attempt.retry_after is None else f", asked to wait {attempt.retry_after:g} s"
        said = "" if attempt.error is None else f"; {attempt.error}"
        yield (
            f"attempt {number}",
            f"{attempt.outcome}, HTTP {attempt.status or 'none'}, sent {value('sent', attempt.sent)}, "
            f"done {value('done', attempt.done)}{asked}, then waited {attempt.waited:g} s{said}",
        )


def value(name: str, found: object) -> str:
    """A field's value with its unit."""
    if found is None:
        return "none"
    if name in MOMENTS:
        return f"{found:.7f} s of the run"
    if name in DURATIONS:
        return f"{found:g} s"
    if name == "bytes_received":
        return f"{found:,} bytes"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, dict):
        return ", ".join(f"{key} {number:.9g}" for key, number in found.items()) or "none"
    return str(found)


def arrivals(found: list[tuple[float, int]]) -> str:
    """How many, when, and how far apart."""
    if not found:
        return "none"
    tokens, times = sum(many for _, many in found), [at for at, _ in found]
    told = f"{len(found)} with {tokens} tokens, from {times[0]:.7f} to {times[-1]:.7f} s of the run"
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return f"{told}; gaps of {min(gaps) * 1e3:.3f} to {max(gaps) * 1e3:.3f} ms" if gaps else told
