"""What the package says that it needs is what it imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.runs import record, write_run

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


SENDING = ("locust", "gevent", "zmq", "httpx", "httptools", "uvicorn", "werkzeug", "flask", "xllamacpp",
           "bench.load", "bench.wire", "bench.targets", "bench.simulator")  # fmt: skip


@pytest.mark.parametrize("verb", ["report", "compare"])
def test_what_is_made_of_runs_on_disk_imports_no_locust_and_no_server(tmp_path, verb):
    runs = [write_run(tmp_path / f"{many}", [record(n) for n in range(many)]) for many in (40, 41)]
    arguments = [verb, *map(str, runs), "--out", str(tmp_path / "out")]
    code = f"""
import sys
from bench.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    print(end.code in (0, 1, 3), [name for name in {SENDING!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "True []", done.stderr
    assert list((tmp_path / "out").glob("*.html"))
