"""Facts about requests: the `Record` and its JSON-lines file, the seam between load and analysis."""

from bench.records.bodies import LONGEST_BODY, Bodies, BodiesWriter, read_bodies
from bench.records.file import RecordWriter, file_of, files_of, read_lines, read_records, write_whole
from bench.records.record import OUTCOMES, Attempt, Clock, Record, TokensFrom

__all__ = [
    "LONGEST_BODY",
    "OUTCOMES",
    "Attempt",
    "Bodies",
    "BodiesWriter",
    "Clock",
    "Record",
    "RecordWriter",
    "TokensFrom",
    "file_of",
    "files_of",
    "read_bodies",
    "read_lines",
    "read_records",
    "write_whole",
]
