"""`bench show`: one record of a run, whole."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import click

from bench.cli.options import format_option
from bench.cli.problems import Wrong, reported


@click.command(name="show")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("seq", metavar="SEQ", type=click.IntRange(0))
@click.option(
    "--stage", metavar="NAME", default="measure", show_default=True, help="Stage of the request, such as fit or warmup."
)
@format_option("text", "json")
@reported
def command(folder: Path, seq: int, stage: str, form: str) -> None:
    """Print request number SEQ of a RUN: all that was recorded, and its texts if the run kept them.

    Later turns of a conversation have the same number and are printed too; with --format json, one line each.

    \b
      bench show reports/chat-20260102T030405Z 12
      bench run chat.yaml --keep-bodies failed
    """
    import orjson

    from bench.records import NotARecordError, files_of, read_bodies, read_records
    from bench.report.shown import shown
    from bench.report.words import in_json

    files = files_of(folder, "records")
    if not files:
        raise Wrong(f"{folder} has no records; is this the folder of a run?")
    try:
        records = chain.from_iterable(map(read_records, files))
        found = [one for one in records if (one.seq, one.stage) == (seq, stage)]
        kept = {(one.turn, one.worker): one for one in read_bodies(folder) if (one.seq, one.stage) == (seq, stage)}
    except NotARecordError as error:
        raise Wrong(str(error)) from None
    except ValueError as error:  # of bodies
        raise Wrong(str(error)) from None
    if not found:
        raise Wrong(f"{folder} has no request {seq} of the stage {stage}; --stage chooses another")
    if form == "json":
        click.echo("\n".join(in_json(orjson.dumps(one).decode()) for one in found))
    else:
        click.echo("\n\n".join(shown(one, kept.get((one.turn, one.worker))) for one in found))
