"""The README and the guides of docs/ as values: their blocks, links and headings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

README = Path("README.md")
PAGES = (README, *sorted(Path("docs").glob("*.md")), *sorted(Path("docs").glob("*.ipynb")))
BLOCK = re.compile(
    r"(?:`(?P<file>[\w.-]+)`:\n\n)?(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\S*)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    page: Path
    language: str
    text: str
    reason: str | None
    """Why no test can run it, as the comment before it says; None if one can."""
    file: str | None
    """The name that the text before it gives to it; None if it is no file."""


def text_of(page: Path) -> str:
    """A page as Markdown; of a notebook, its text and code."""
    told = page.read_text("utf-8")
    if page.suffix != ".ipynb":
        return told
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(told)["cells"]]
    return "\n\n".join(text if kind == "markdown" else f"```notebook\n{text}\n```" for kind, text in cells)


def blocks_of(page: Path) -> list[Block]:
    found = BLOCK.finditer(text_of(page))
    return [Block(page, one["language"], one["text"], one["reason"], one["file"]) for one in found]


def write_files_of(page: Path, folder: Path) -> None:
    """The files that a page shows, as its reader would write them."""
    for block in blocks_of(page):
        if block.file is not None:
            (folder / block.file).write_text(block.text)


def prose_of(page: Path) -> str:
    """All but the blocks and what is written in backticks."""
    return re.sub(r"`[^`\n]+`", "", BLOCK.sub("", text_of(page)))


def links_of(page: Path) -> list[str]:
    """Where its links lead to, but for those to other machines."""
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose_of(page))


def anchors_of(page: Path) -> set[str]:
    """Its headings as links name them."""
    heads = re.findall(r"^#+ (.+)$", BLOCK.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
