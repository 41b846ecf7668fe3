"""The house as it stands: every module in a line, what the whole has of what is to be rare, and two walks through it.

    python benchmarks/house.py [--tree]

The first walk is a run's own stack, from the command to the connection that writes to the socket; the second goes from
each figure's name to its formula and to the fields of a record that it reads.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "bench"
SCENARIO = """\
target: simulator
models: [sim/fast]
requests: [{prompt: hi, max_tokens: 2}]
load: {users: 1, requests: 1}
fit: false
"""


def functions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and name of each function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, node.name


def imports(tree: ast.AST) -> set[str]:
    """Names that a module imports, with those that it takes from each."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def tree(*, whole: bool) -> None:
    """Print every module if the `whole` tree is wanted, and the sums."""
    texts = {path: path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in texts}  # fmt: skip
    longest = sorted(((*one, path) for path, parsed in trees.items() for one in functions(parsed)), reverse=True, key=lambda one: one[0])  # fmt: skip
    if whole:
        for path, text in texts.items():
            about = (ast.get_docstring(trees[path]) or "").partition("\n")[0]
            most = max(functions(trees[path]), default=(0, ""))[0]
            print(
                f"{path.relative_to(PACKAGE)!s:42} {text.count(chr(10)):5} lines, longest function {most:3}   {about}"
            )
    try:
        list(TopologicalSorter({n: (imports(trees[p]) & names.keys()) - {n} for n, p in names.items()}).static_order())
        cycles = "none"
    except CycleError as error:
        cycles = " → ".join(error.args[1])
    loose = {path: text.count("dict[str, Any]") for path, text in texts.items()}
    outside = sum(many for path, many in loose.items() if path.parent.name not in ("simulator", "wire"))
    print(f"{len(texts)} modules, {sum(text.count(chr(10)) for text in texts.values()):,} lines")
    print("longest functions: " + ", ".join(f"{name} {lines} ({path.stem})" for lines, name, path in longest[:5]))
    lengths = sorted(lines for lines, _, _ in longest)
    print(f"function: median {lengths[len(lengths) // 2]}, 90th percentile {lengths[len(lengths) * 9 // 10]} lines")
    print(f"cycles: {cycles}")
    print(f"dict[str, Any]: {sum(loose.values())}, {outside} of them outside simulator and wire")
    print("gerunds: " + (", ".join(path.name for path in texts if path.stem.endswith("ing")) or "none"))


def stack_to_socket() -> list[str]:
    """The functions of ours that are entered one from the other when a run sends its first request."""
    from bench.load import runner  # isort: skip  # first: Locust patches the standard library
    from bench.cli import main
    from bench.wire.connection import Connection

    found: list[list[str]] = []

    def ours() -> list[str]:
        frames = traceback.extract_stack()[:-2]
        own = [f for f in frames if Path(f.filename).is_relative_to(PACKAGE)]
        return [f"{Path(f.filename).relative_to(PACKAGE).with_suffix('')} {f.name}" for f in own]

    def watched(function):
        def call(*args, **kwargs):
            found.append([*ours(), function.__qualname__])
            return function(*args, **kwargs)

        return call

    runner.prepare = watched(runner.prepare)
    Connection.exchange = watched(Connection.exchange)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "walk.yaml"
        file.write_text(SCENARIO)
        with suppress(SystemExit):
            main(["run", str(file), "--out", folder, "--no-report", "-q"], standalone_mode=False)
    begun = next(i for i, name in enumerate(found[0]) if name == "cli/run command")
    return [*found[0][begun:-1], *found[1]]


def walk_of_figures() -> None:
    """Print each figure's name, its function, and the columns that this reads."""
    from bench.analysis import figures, per_request
    from bench.metrics import METRICS

    for name in METRICS:
        module = per_request if name in per_request.OF_REQUESTS else figures
        function = getattr(module, name)
        source, line = inspect.getsource(function), inspect.getsourcelines(function)[1]
        used = sorted({node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier()})  # fmt: skip
        called = sorted({node.func.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)})  # fmt: skip
        print(f"  {name:24} {Path(module.__file__).name}:{line:<5} {', '.join(used or called)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", action="store_true", help="every module with its lines and what it is for")
    tree(whole=parser.parse_args().tree)
    steps = stack_to_socket()
    print(f"from the command to the socket, {len(steps) - 1} calls:")
    for step in steps:
        print(f"  {step}")
    print("from a figure to its formula, and what that reads:")
    walk_of_figures()


if __name__ == "__main__":
    main()
