"""Does what pip would install work outside the clone? Builds the wheel and the sdist, installs the wheel in a new
environment, and goes through the first steps of a new user in an empty directory.

    python benchmarks/wheel.py [--constraint constraints.txt] [--python python3.12]

Takes a minute or two; the exit code is 1 if a step fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]
STEPS = (
    ("bench --version", 0),
    ("bench examples", 0),
    ("bench examples quickstart", 0),
    ("bench plan quickstart.yaml", 0),
    ("bench run quickstart.yaml --set load.duration=5s --set load.users=5 --name first -q", None),
    ("bench report reports/first --format markdown", None),
    ("bench send simulator --model sim/fast --prompt Hello --max-tokens 5", 0),
    ("bench show reports/first 0", 0),
    ("bench export reports/first --to csv", 0),
    ("bench export reports/first --to br", 0),
    ("bench baseline add reports/first", 0),
    ("bench schema", 0),
)
"""What is called, and its exit code; None: a verdict's, which a busy machine may change."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--constraint", type=Path, default=CLONE / "constraints.txt")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}

        def call(*command: object, at: Path = folder) -> subprocess.CompletedProcess[str]:
            began = time.perf_counter()
            done = subprocess.run([*map(str, command)], cwd=at, capture_output=True, text=True, env=environment)
            print(f"{done.returncode}  {time.perf_counter() - began:6.1f} s  {' '.join(map(str, command))}", flush=True)
            return done

        failed = []
        call(given.python, "-m", "venv", folder / "env")
        pip = (folder / "env/bin/pip", "--disable-pip-version-check", "-q")
        call(*pip, "install", "build")
        done = call(folder / "env/bin/python", "-m", "build", "--outdir", folder / "dist", CLONE)
        [wheel] = (folder / "dist").glob("bench_llm-*.whl") if done.returncode == 0 else [None]
        if wheel is None:
            sys.exit(done.stderr)
        size = wheel.stat().st_size / 1e6
        print(f"{wheel.name}: {size:.1f} MB; {[one.name for one in (folder / 'dist').glob('*.tar.gz')]}")
        done = call(*pip, "install", "--constraint", given.constraint, wheel)
        if done.returncode:
            sys.exit(done.stderr)
        (folder / "user").mkdir()
        for step, expected in STEPS:
            verb, *words = step.split()
            done = call(folder / "env/bin" / verb, *words, at=folder / "user")
            bad = done.returncode not in ((0, 1, 3) if expected is None else (expected,)) or "Traceback" in done.stderr
            if bad:
                failed.append(step)
                print(done.stdout[-500:], done.stderr[-2000:])
        print("all steps work" if not failed else f"failed: {failed}")
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
