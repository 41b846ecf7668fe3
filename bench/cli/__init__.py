"""The command `bench`: one verb per module, each imported when it is asked for, so that --help is instant."""

from __future__ import annotations

import atexit
import gc
import importlib
from difflib import get_close_matches
from typing import Any

import click

from bench.cli.problems import Interrupted, is_interrupted
from bench.cli.streams import open_closed
from bench.version import __version__

VERBS = (
    "run",
    "send",
    "init",
    "examples",
    "plan",
    "report",
    "compare",
    "baseline",
    "show",
    "export",
    "models",
    "calibrate",
    "simulate",
    "schema",
)

RARELY = 1_000_000
"""New objects before Python looks for garbage. The objects of imports and reports stay;
going through it again and again takes a tenth of the CPU of a short run."""


class Verbs(click.Group):
    """Finds the verb's command in the module of the same name."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):  # click's own code for these is 1: a threshold failed
            raise Interrupted from None
        except Exception as error:
            if is_interrupted(error):
                raise Interrupted from None
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"bench.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and (close := get_close_matches(args[0], VERBS, n=1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="bench %(version)s")
def main() -> None:
    """Load tests for LLM APIs whose numbers can be believed, and that say so when they can't.

    \b
    Try it, with nothing but this machine:
      bench run simulator --model sim/fast
    Your own server, with the key from the environment:
      bench run https://api.example.com/v1 --model M --key-env EXAMPLE_API_KEY
    A scenario in a file, which you can change and keep:
      bench init

    \b
    Exit codes: 0 pass · 1 a threshold failed · 2 the scenario or the command line is wrong ·
    3 inconclusive, or the measurement is invalid
    """
    open_closed()
    gc.set_threshold(RARELY, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # Python looks for garbage when it ends, although all memory is given back then
