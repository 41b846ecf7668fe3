"""Facts about requests: the `Record` and its JSON-lines file. The load writes them, the analysis reads them."""

from bench.metrics import OUTCOMES
from bench.records.bodies import LONGEST_BODY, Bodies, BodiesWriter, read_bodies
from bench.records.disguise import DISGUISES, is_disguised
from bench.records.file import (
    NotARecordError,
    RecordWriter,
    fault,
    file_of,
    files_of,
    is_cut_short,
    read_lines,
    read_records,
    unrecordable,
    write_whole,
)
from bench.records.load import End, HealthLine, StoppedBy
from bench.records.origin import Machine, TargetAddress
from bench.records.record import Attempt, Clock, Record, TokensFrom
from bench.records.steps import StepLine, StepWriter

__all__ = [
    "DISGUISES",
    "LONGEST_BODY",
    "OUTCOMES",
    "Attempt",
    "Bodies",
    "BodiesWriter",
    "Clock",
    "End",
    "HealthLine",
    "Machine",
    "NotARecordError",
    "Record",
    "RecordWriter",
    "StepLine",
    "StepWriter",
    "StoppedBy",
    "TargetAddress",
    "TokensFrom",
    "fault",
    "file_of",
    "files_of",
    "is_cut_short",
    "is_disguised",
    "read_bodies",
    "read_lines",
    "read_records",
    "unrecordable",
    "write_whole",
]
