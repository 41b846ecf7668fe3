"""How big is the page of so many requests, how long does it take to open and to act on a filter? In a real browser.

python -m benchmarks.page [100000] [--folder DIR]   needs Chromium, Node.js and npm, which fetches the packages of tests/node

A page is open when the charts in sight stand still; the others are drawn when they come near, or when the reader rests.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.scale import write
from tests.node_packages import NODE, installed

MOST_BYTES, MOST_OPEN_MS, MOST_FILTER_MS = 6_000_000, 3000, 300


def measured(page: Path, browser: str) -> dict[str, Any]:
    """What tests/node/page.mjs finds."""
    installed()
    command = ["node", str(NODE / "page.mjs"), "time", str(page), browser]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"`{shlex.join(command)}` exited {done.returncode}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=int, nargs="?", default=100_000)
    parser.add_argument("--arrivals", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="where the run is written; default: a temporary folder")
    given = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no chromium or google-chrome was found")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, given.records, given.arrivals, limits=True)
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "bench", "report", str(folder)], stdout=subprocess.DEVNULL, check=False)
        took, page = time.monotonic() - began, folder / "report.html"
        size, found = page.stat().st_size, measured(page, browser)
    opened, filters = found["drawn_ms"], dict(found["filters_ms"])
    worst, slowest = max(filters.items(), key=lambda one: one[1], default=("there is none", 0))
    print(f"page of {given.records:,} requests, {found['charts']} charts, written in {took:.1f} s")
    print(f"size    {size / 1e6:.2f} MB, at most {MOST_BYTES / 1e6:g}")
    print(
        f"open    {opened:,} ms ({found['drawn_cpu_ms']:,} of a core) until its charts stand still, at most {MOST_OPEN_MS:,}"
    )
    print(
        f"filter  {slowest} ms ({max(found['filters_cpu_ms'].values())} of a core) the slowest of {len(filters)} ({worst}), at most {MOST_FILTER_MS}"
    )
    print(f"problems told by the browser: {found['problems'] or 'none'}")
    kept = size <= MOST_BYTES and opened <= MOST_OPEN_MS and slowest <= MOST_FILTER_MS and not found["problems"]
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
