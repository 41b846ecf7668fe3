"""Problems of the person at the keyboard: one clear message on stderr and an exit code, no traceback."""

from __future__ import annotations

import errno
import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ParamSpec

import click

from bench.cli.streams import tell

P = ParamSpec("P")
WRONG, UNUSABLE = 2, 3
MISNAMED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG})
"""The system's errors about a path of the command line; those of files that a run writes are caught where it writes."""
LOCKED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""What the system says of a place that may be read, but not written."""


class Told(click.ClickException):
    """A message that shows what servers and files said and obeys none of it."""

    def format_message(self) -> str:
        from bench.report.words import visible

        return visible(self.message, keep="\n")

    def show(self, file: IO[Any] | None = None) -> None:
        tell(f"Error: {self.format_message()}")


class Wrong(Told):
    """The scenario or the command line is wrong."""

    exit_code = WRONG


class Unusable(Told):
    """The measurement could not be made or kept; nothing can be concluded."""

    exit_code = UNUSABLE


class Interrupted(Unusable):
    """A Ctrl-C before anything began. It may have come in the middle of an import, so showing it imports nothing."""

    def __init__(self) -> None:
        super().__init__("interrupted")

    def format_message(self) -> str:
        return self.message


def is_interrupted(error: BaseException | None) -> bool:
    """Whether a Ctrl-C is behind an error: in an import it may come out as an error of a lock or, from a library in
    another language, as words."""
    if error is None or isinstance(error, click.ClickException):
        return False
    if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
        return True
    return is_interrupted(error.__cause__ or error.__context__)


def reported(verb: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors that a verb may meet into messages."""

    @functools.wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        from bench.plan import Mistakes

        try:
            verb(*args, **kwargs)
        except Mistakes as mistakes:
            tell(str(mistakes))
            sys.exit(WRONG)
        except OSError as error:
            raise (Wrong if error.errno in MISNAMED else Unusable)(describe(error)) from None

    return wrapped


def check_place(option: str, file: Path | None) -> None:
    """Whether the file of an option can be made, as far as its place tells; nothing of no file. Raises Wrong."""
    if file is not None and file.is_dir():
        raise Wrong(f"{option}: {file} is a folder; the name of a file is expected")
    if file is not None and not file.parent.is_dir():
        raise Wrong(f"{option}: there is no folder {file.parent}; make it first, or choose another place")


@contextmanager
def ending(consequence: str) -> Iterator[None]:
    """A Ctrl-C, a SIGTERM and a closed terminal end what is done here with a sentence that says what became of it.

    While a load runs it handles them itself: see bench.load.runner.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        wanted.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    except KeyboardInterrupt:
        for number in wanted:
            signal.signal(number, signal.SIG_IGN)  # a key that is held: there is nothing more to end
        raise Unusable(f"interrupted: {consequence}") from None
    for number, handle in before.items():
        signal.signal(number, handle)


def describe(error: OSError) -> str:
    """An error of the system in a sentence, with what to do where that is known."""
    where = f"{error.filename}: " if error.filename else ""
    remedy = {
        errno.ENOSPC: "; free some space or choose another place; what was written stays readable",
        errno.EDQUOT: "; free some space or choose another place; what was written stays readable",
        errno.EFBIG: "; raise the limit on the size of files (ulimit -f); what was written stays readable",
        errno.EACCES: "; choose another place",
        errno.EROFS: "; choose another place",
        errno.EADDRINUSE: "; choose another port with --port",
    }.get(error.errno or 0, "")
    return f"{where}{error.strerror or error}{remedy}"
