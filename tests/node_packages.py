"""The npm packages of tests/node, put there on first use."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

NODE = Path(__file__).with_name("node")


def installed() -> None:
    """Install the packages unless they are those of package-lock.json; from npm's own cache where it has them."""
    there = NODE / "node_modules" / ".package-lock.json"
    if there.exists() and packages(there) == packages(NODE / "package-lock.json"):
        return  # not told by age: a checkout is always new
    command = ["npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    process = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, f"`{' '.join(command)}` in {NODE} failed:\n{process.stderr}"


def packages(lock: Path) -> dict[str, Any]:
    """The packages of a lock file, without the project itself and what only some machines have."""
    found: dict[str, Any] = json.loads(lock.read_text("utf-8"))["packages"]
    return {name: package for name, package in found.items() if name and not package.get("optional")}
