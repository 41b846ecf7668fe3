"""From what was sent to what is written down: each request's record, and its bodies where they are kept."""

from __future__ import annotations

from bench.load.caller import Caller
from bench.load.mishaps import UNFORESEEN
from bench.load.record_builder import Slot, Try, bare_record
from bench.plan import Planned
from bench.records import LONGEST_BODY, Bodies, BodiesWriter, Record, RecordWriter


class Recorder:
    """Nothing that was sent goes without a record."""

    def __init__(self, caller: Caller, writer: RecordWriter) -> None:
        self._caller, self._writer = caller, writer
        self._bodies: BodiesWriter | None = None  # opened with the first that is kept

    def record(self, planned: Planned, slot: Slot, tries: list[Try]) -> Record:
        """Write down what a request came to. Raises OSError if the disk refuses that."""
        record = self._caller.understand(planned, slot, tries)
        if self._caller.expenses is not None:
            self._caller.expenses.settle(planned, record)
        try:
            self._writer.append(record)
        except OSError:
            raise
        except UNFORESEEN as error:  # it holds what no file may hold
            why = self._caller.blame(planned, "writing a record", error)
            record = bare_record(planned, slot, tries, self._caller.clock, why)
            self._writer.append(record)
        if self._caller.keep_bodies == "all" or (self._caller.keep_bodies == "failed" and record.outcome != "ok"):
            self._keep(record, tries[-1])
        return record

    def close(self) -> None:
        if self._bodies is not None:
            self._bodies.close()

    def _keep(self, record: Record, one: Try) -> None:
        if self._bodies is None:
            path = self._writer.path
            self._bodies = BodiesWriter(path.with_name(path.name.replace("records", "bodies", 1)))
        asked = b"" if one.request is None else one.request.content
        said = b"".join(data for _, data in one.exchange.reads)
        self._bodies.append(
            Bodies(
                stage=record.stage,
                seq=record.seq,
                turn=record.turn,
                worker=record.worker,
                request=self._text(asked),
                request_bytes=len(asked),
                answer=self._text(said),
                answer_bytes=len(said),
            )
        )

    def _text(self, body: bytes) -> str:
        """A body as text of bounded length, secrets removed."""
        return self._caller.provider.scrub(body[: 4 * LONGEST_BODY].decode(errors="replace")[:LONGEST_BODY])
