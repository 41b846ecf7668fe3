"""What the package says that it needs is what it imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
NAMES = {"PIL": "pillow", "ruamel": "ruamel.yaml", "zmq": "pyzmq", "pydantic_core": "pydantic-core"}
"""Distributions that are not called as what is imported of them."""


def imported():
    """The packages that bench imports, of others."""
    found = set()
    for file in Path("bench").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            modules = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module]
            found |= {module.partition(".")[0] for module in modules}
    return found - set(sys.stdlib_module_names) - {"bench", "pytest"}  # who has no pytest has no use for the plugin


def distributions(lines):
    return {re.match(r"[A-Za-z0-9._-]+", line)[0] for line in lines}


def test_everything_that_is_imported_is_declared_and_nothing_else():
    extras = distributions(
        line for name, lines in PROJECT["optional-dependencies"].items() if name != "dev" for line in lines
    )
    needed = {NAMES.get(name, name) for name in imported()} - extras
    assert needed | {"bokeh"} == distributions(PROJECT["dependencies"]), "of bokeh the page takes the JavaScript alone"


def test_the_versions_that_make_installs_are_of_everything_that_is_declared():
    pinned = {
        line.partition("==")[0].lower().replace("_", "-") for line in Path("constraints.txt").read_text().splitlines()
    }
    asked = distributions(
        [*PROJECT["dependencies"], *(line for lines in PROJECT["optional-dependencies"].values() for line in lines)]
    )
    assert {name.lower().replace("_", "-") for name in asked} - pinned == {"bench-llm"}
