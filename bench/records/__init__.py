"""Facts about requests: the `Record` and its JSON-lines file, the seam between load and analysis."""

from bench.records.file import RecordWriter, read_lines, read_records
from bench.records.record import OUTCOMES, Attempt, Clock, Record, TokensFrom

__all__ = ["OUTCOMES", "Attempt", "Clock", "Record", "RecordWriter", "TokensFrom", "read_lines", "read_records"]
