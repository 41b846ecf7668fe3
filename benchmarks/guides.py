"""Can everybody read the built guides? Each page in a real browser, light and dark, 1,400 and 420 px wide: which of axe's
rules of accessibility it breaks, and whether it is wider than its window.

python -m benchmarks.guides [--pictures DIR]   needs the extra docs, Chromium, Node.js and npm, which fetches tests/node

It takes a minute or two. It prints a line for each page, and exits 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.node_packages import NODE, installed

DOCS = Path(__file__).parent.parent / "docs"


def built(folder: Path) -> None:
    """What `make docs` makes, in a folder of its own."""
    if importlib.util.find_spec("sphinx") is None:
        sys.exit("Sphinx is not installed; run: make docs")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-d", str(folder / ".doctrees"), "--fail-on-warning"]
    if subprocess.run([*command, "--quiet", str(DOCS), str(folder)], check=False).returncode:
        sys.exit("the guides were not built")


def problems(folder: Path, browser: str, pictures: Path | None) -> dict[str, list[str]]:
    """Of each page, as tests/node/guides.mjs tells them."""
    installed()
    command = ["node", str(NODE / "guides.mjs"), str(folder), browser, *([str(pictures)] if pictures else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        sys.exit(f"`{shlex.join(command)}` exited {done.returncode}:\n{done.stderr}")
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each page")
    given = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no chromium or google-chrome was found")
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        built(Path(temporary))
        found = problems(Path(temporary), browser, given.pictures)
    for page, wrong in found.items():
        print("\n  ".join((f"{page}  {len(wrong) or 'nothing'} wrong", *wrong)))
    sys.exit(1 if any(found.values()) else 0)


if __name__ == "__main__":
    main()
