"""Files that are written whole or not at all, so that a full disk leaves no half of one."""

from __future__ import annotations

from pathlib import Path

import msgspec


def half_of(path: Path) -> Path:
    """Where a file is written before it takes the place of the file at `path`."""
    return path.with_suffix(".tmp")


def indented(value: object) -> bytes:
    """A value as JSON for people, without a line end. Raises TypeError if JSON cannot hold the value."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON. Raises OSError as `write_file` does, TypeError if JSON cannot hold the value."""
    write_file(path, indented(value) + b"\n")


def write_file(path: Path, content: bytes) -> None:
    """Write the whole file or nothing. Raises OSError with the file's name if the disk refuses it."""
    half = half_of(path)
    try:
        with half.open("r+b" if half.exists() else "wb", buffering=0) as file:  # r+b: use room that was reserved
            while content:
                content = content[file.write(content) :]
            file.truncate()
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
