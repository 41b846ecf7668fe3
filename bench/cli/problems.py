"""What can go wrong for the person at the keyboard: one clear message on stderr and an exit code, no traceback."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import click

P = ParamSpec("P")
WRONG, UNUSABLE = 2, 3


class Wrong(click.ClickException):
    """What was asked for makes no sense as it stands."""

    exit_code = WRONG


class Unusable(click.ClickException):
    """The measurement could not be made or kept; nothing can be concluded."""

    exit_code = UNUSABLE


def reported(verb: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors that a verb may meet into messages."""

    @functools.wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        from bench.plan import Mistakes

        try:
            verb(*args, **kwargs)
        except Mistakes as mistakes:
            click.echo(str(mistakes), err=True)
            sys.exit(WRONG)
        except OSError as error:
            raise Unusable(describe(error)) from None

    return wrapped


def describe(error: OSError) -> str:
    """An error of the system in a sentence, with what to do where that is known."""
    where = f"{error.filename}: " if error.filename else ""
    remedy = {
        errno.ENOSPC: "; free some space or choose another folder with --out; what was written stays readable",
        errno.EACCES: "; choose another folder with --out",
        errno.EROFS: "; choose another folder with --out",
        errno.EADDRINUSE: "; choose another port with --port",
    }.get(error.errno or 0, "")
    return f"{where}{error.strerror or error}{remedy}"
