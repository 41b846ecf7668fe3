"""Writes the record of each request, and its bodies if the scenario keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from bench.load.caller import Caller
from bench.load.mishaps import UNFORESEEN
from bench.load.record_builder import Slot, Try, bare_record
from bench.plan import Planned
from bench.records import LONGEST_BODY, Bodies, BodiesWriter, Record, RecordWriter

FIRST_BYTES = 1000  # of a body: text has no NUL there, a sound or compressed bytes nearly always have


class Recorder:
    """Writes one record for every request that was sent, whatever happens."""

    def __init__(self, caller: Caller, writer: RecordWriter) -> None:
        self._caller, self._writer = caller, writer
        self._bodies: BodiesWriter | None = None  # opened with the first bodies

    def record(self, planned: Planned, slot: Slot, tries: list[Try]) -> Record:
        """Write the record of a request and return it. Raises OSError if the disk refuses it."""
        record = self._caller.understand(planned, slot, tries)
        if self._caller.expenses is not None:
            self._caller.expenses.settle(planned, record)
        try:
            self._writer.append(record)
        except OSError:
            raise
        except UNFORESEEN as error:  # it has a value that cannot be written
            why = self._caller.blame(planned, "writing a record", error)
            record = bare_record(planned, slot, tries, self._caller.clock, why)
            self._writer.append(record)
        if self._caller.keep_bodies == "all" or (self._caller.keep_bodies == "failed" and record.outcome != "ok"):
            self._keep(record, tries[-1])
        return record

    def close(self) -> None:
        if self._bodies is not None:
            self._bodies.close()

    def _keep(self, record: Record, last: Try) -> None:
        if self._bodies is None:
            path = self._writer.path
            self._bodies = BodiesWriter(path.with_name(path.name.replace("records", "bodies", 1)))
        request = b"" if last.request is None else last.request.content
        answer = b"".join(data for _, data in last.exchange.reads)
        self._bodies.append(
            Bodies(
                stage=record.stage,
                seq=record.seq,
                turn=record.turn,
                worker=record.worker,
                request=self._text(request, {} if last.request is None else last.request.headers),
                request_bytes=len(request),
                answer=self._text(answer, last.exchange.headers),
                answer_bytes=len(answer),
            )
        )

    def _text(self, body: bytes, headers: Mapping[str, str]) -> str:
        """A body as text of limited length, without secrets."""
        return self._caller.provider.scrub(body_text(body, headers, LONGEST_BODY))


def body_text(body: bytes, headers: Mapping[str, str], longest: int) -> str:
    """At most `longest` characters of a body; for sound, pictures and other bytes that are not text, size and type."""
    kind = headers.get("content-type", "").partition(";")[0].strip()
    bytes_alone = kind.partition("/")[0] in ("audio", "image", "video") or b"\0" in body[:FIRST_BYTES]
    if bytes_alone or (kind.startswith("multipart/") and not is_text(body)):
        return f"{len(body):,} bytes of {kind or 'no stated type'}"
    return body[: 4 * longest].decode(errors="replace")[:longest]


def is_text(body: bytes) -> bool:
    try:
        return "\0" not in body.decode()
    except ValueError:
        return False
