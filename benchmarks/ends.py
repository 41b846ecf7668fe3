"""Every way to end a run from outside, at every phase: does it end in seconds, alone, with the right sentence?

    python benchmarks/ends.py [PART OF A NAME]

Takes about four minutes; prints one line per case and the count that holds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.ends import CASES, faults_of


def main(part: str = "") -> None:
    chosen = [case for case in CASES if part in str(case)]
    holds = 0
    for case in chosen:
        with tempfile.TemporaryDirectory() as folder:
            faults = faults_of(case, Path(folder))
        holds += not faults
        print(f"{'holds' if not faults else 'FAILS'}  {case}", *faults, sep="\n       ", flush=True)
    print(f"{holds} of {len(chosen)} hold")
    sys.exit(holds != len(chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
