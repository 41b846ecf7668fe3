"""The gate through the whole harness: simulated models that are equal, or differ by a known amount.

    python benchmarks/compare.py [--runs 10] [--pairs 300]

Each run is a `bench run` of kind compare on a simulator of its own, with nonces, warm connections and three looks. Of
equal models at most one gate in twenty may fail; of models that differ every gate should.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

WORLDS = {
    "equal": {},
    "first token 10 % later": {"ttft": [0.022, 0.033]},
    "token by token 10 % slower": {"decode_per_token": 0.0022},
}
BASE = {"ttft": [0.02, 0.03], "jitter": 0.1, "decode_per_token": 0.002}
GATE = {"ttft p50": "5%", "tpot p50": "5%", "error_rate": "3%"}


def scenario(candidate: dict[str, object], pairs: int, seed: int) -> dict[str, object]:
    return {
        "name": "compare",
        "kind": "compare",
        "target": {"simulator": {"models": {"base": BASE, "other": BASE | candidate}}},
        "arms": {"baseline": {"model": "base"}, "candidate": {"model": "other"}},
        "requests": [{"prompt": {"tokens": 60, "nonce": True}, "max_tokens": 12}],
        "load": {"users": 4},
        "pairs": {"most": pairs, "pilot": 0},
        "gate": GATE,
        "seed": seed,
    }


def run(folder: Path, asked: dict[str, object]) -> dict[str, object]:
    """What one run found."""
    file = folder / "compare.yaml"
    file.write_text(json.dumps(asked))
    command = [sys.executable, "-m", "bench", "run", str(file), "--no-report", "--out", str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    [made] = (folder / "out").iterdir()
    found = json.loads((made / "findings.json").read_bytes())
    assert done.returncode == {"pass": 0, "fail": 1, "inconclusive": 3}[found["verdict"]], done.stderr
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="of each world")
    parser.add_argument("--pairs", type=int, default=300, help="at most, of each run")
    asked = parser.parse_args()
    print(f"{'world':<28}{'pass':>6}{'fail':>6}{'inconclusive':>14}{'pairs':>8}   ratio of the first token, each run")
    for world, candidate in WORLDS.items():
        verdicts: Counter[str] = Counter()
        pairs, ratios = [], []
        for seed in range(asked.runs):
            with tempfile.TemporaryDirectory() as folder:
                found = run(Path(folder), scenario(candidate, asked.pairs, seed))
            verdicts[found["verdict"]] += 1
            pairs.append(found["pairs"])
            ratios.append(f"{found['comparisons'][0]['ratio']:.3f}")
        told = (
            f"{verdicts['pass']:>6}{verdicts['fail']:>6}{verdicts['inconclusive']:>14}{sum(pairs) / len(pairs):>8.0f}"
        )
        print(f"{world:<28}{told}   {' '.join(ratios)}", flush=True)


if __name__ == "__main__":
    main()
