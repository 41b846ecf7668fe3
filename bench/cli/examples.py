"""`bench examples`: the scenarios that come with the tool, listed and copied."""

from __future__ import annotations

import re
from pathlib import Path

import click

import bench
from bench.cli.problems import Wrong, reported

_DATA = re.compile(r"\bfile: *(data/[\w.-]+)")


@click.command(name="examples")
@click.argument("name", required=False, shell_complete=lambda _context, _name, begun: named(begun))
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR",
              help="The folder to copy it to; default: the current one.")  # fmt: skip
@reported
def command(name: str | None, folder: Path) -> None:
    """List the example scenarios; with a NAME, copy one with the data that it needs.

    \b
      bench examples
      bench examples quickstart
      bench run quickstart.yaml
    """
    known = examples()
    if name is None:
        width = max(map(len, known))
        click.echo("\n".join(f"{one:<{width}}  {question(file)}" for one, file in known.items()))
        return
    if (file := known.get(name.removesuffix(".yaml"))) is None:
        raise Wrong(f"there is no example {name}; bench examples lists them")
    sources = [file, *(file.parent / data for data in _DATA.findall(file.read_text("utf-8")))]
    targets = [folder / source.relative_to(file.parent) for source in sources]
    if taken := [str(target) for target in targets if target.exists()]:
        raise Wrong(f"there is already {', '.join(taken)}; choose another folder with --to")
    for source, target in zip(sources, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    click.echo("\n".join(map(str, targets)))


def named(begun: str) -> list[str]:
    """The examples whose names begin so, for completion in a shell."""
    return [name for name in examples() if name.startswith(begun)]


def examples() -> dict[str, Path]:
    """The scenarios by name: those of the installed package, or of the clone that it is run from."""
    package = Path(bench.__file__).parent
    inside = package / "scenarios"
    folder = inside if inside.is_dir() else package.parent / "scenarios"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"), key=lambda one: one.stem)}


def question(file: Path) -> str:
    """What a scenario asks: the first sentence of the comment at its top."""
    lines = file.read_text("utf-8").splitlines()
    top = " ".join(line.lstrip("# ") for line in lines[: next(n for n, line in enumerate(lines) if line[:1] != "#")])
    return re.split(r"(?<=[.?]) ", top, maxsplit=1)[0]
