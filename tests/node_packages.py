"""The npm packages of tests/node, put there on first use."""

from __future__ import annotations

import subprocess
from pathlib import Path

NODE = Path(__file__).with_name("node")


def installed() -> None:
    """Install the packages unless they are those of package-lock.json; from npm's own cache where it has them."""
    wanted, there = NODE / "package-lock.json", NODE / "node_modules/.package-lock.json"
    if there.exists() and there.stat().st_mtime >= wanted.stat().st_mtime:
        return
    command = ["npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    process = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, f"`{' '.join(command)}` in {NODE} failed:\n{process.stderr}"
