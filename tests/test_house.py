"""The house: which room may import which, no cycle, one door for each library."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path("bench")
MAY_IMPORT = {
    "cli": {"plan", "experiments", "load", "analysis", "report", "simulator", "records", "wire", "targets"},
    "experiments": {"plan", "records", "analysis"},
    "plan": {"records"},
    "load": {"plan", "wire", "records", "targets"},
    "targets": {"plan", "wire"},
    "wire": {"records"},
    "records": set(),
    "analysis": {"records", "plan"},
    "report": {"analysis", "experiments", "plan", "records"},
    "simulator": set(),
}
DOORS = {  # of each library: rooms, or files
    "locust": {"load"},
    "gevent": {"load", "wire"},
    "httpx": {"wire", "load", "targets"},
    "httptools": {"wire"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "rich": {"report"},
    "ruamel": {"plan"},
    "click": {"cli"},
    "uvicorn": {"simulator"},
    "werkzeug": {"simulator"},
    "jsonschema": {"plan"},
    "PIL": {"plan"},
    "pyarrow": {"plan"},
    "tokenizers": {"plan"},
    "pandas": {"analysis", "report", "experiments"},
    "scipy": {"analysis/statistics.py"},
}


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists())


def test_the_rooms_are_those_of_the_design():
    assert set(ROOMS) == set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_room_imports_what_it_may_and_each_library_has_its_door(path):
    room = path.relative_to(PACKAGE).parts[0]
    for module in imports_of(path):
        first, _, rest = module.partition(".")
        other = rest.partition(".")[0]
        if first == "bench" and other in MAY_IMPORT and room in MAY_IMPORT and other != room:
            assert other in MAY_IMPORT[room], f"{path} imports {module}"
        if first in DOORS:
            assert {room, path.relative_to(PACKAGE).as_posix()} & DOORS[first], f"{path} imports {module}"


def test_there_is_no_import_cycle():
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
    graph = {name: (imports_of(path) & names.keys()) - {name} for name, path in names.items()}
    assert list(TopologicalSorter(graph).static_order())


def test_a_report_leaves_locust_and_the_network_alone():
    code = (
        "import sys, bench.report, bench.analysis, bench.report.pictures, bench.report.page, bench.report.terminal; "
        "print(sorted({'locust', 'gevent', 'httpx', 'uvicorn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_imports_nothing_heavy():
    code = "import sys, bench.cli; print(sorted({'pandas', 'numpy', 'locust', 'pydantic', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_scenario_is_read_before_locust_is_imported_and_leaves_to_it_what_it_must_patch():
    code = """
import sys
from pathlib import Path
from bench.cli.scenario import read_scenario
read_scenario(Path("scenarios/quickstart.yaml"), None, ())
print(sorted({"gevent", "httpx", "locust", "pandas", "requests", "ssl", "subprocess", "urllib3"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_analysis_and_report_work_without_the_load(tmp_path):
    """Delete `load`, `wire` and `simulator`: a report is made all the same."""
    from tests.runs import record, write_run

    folder = write_run(tmp_path / "run", [record(n) for n in range(20)])
    code = f"""
import sys
for gone in ("bench.load", "bench.wire", "bench.simulator", "locust", "gevent", "httpx"):
    sys.modules[gone] = None
from bench.analysis import open_run
from bench.report import write_report
write_report(open_run({str(folder)!r}))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (folder / "report.html").exists()
