"""No server may keep an exchange waiting, cost without a bound, or lend its answer to another request.

The table is in tests/broken_servers.py.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.broken_servers import CASES, Case, Told
from tests.conftest import made_once

ASKED = [(case, name) for case in CASES for name in ("kernel", "httpx") if name == "kernel" or not case.kernel_only]
SLACK_S = 9.0  # no case takes longer than 5 s but for a busy machine; less than any timeout that should not run out


@pytest.fixture(scope="module")
def came(tmp_path_factory):
    """What each case came to, by its name and its transport's."""
    lines = map(json.loads, made_once(tmp_path_factory, "broken servers", asked_in_turn).splitlines())
    return {(line["name"], line["transport"]): line for line in lines}


def asked_in_turn() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.broken_servers"], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == ""
    return done.stdout


def test_there_are_enough_cases_and_each_has_a_name_of_its_own():
    assert len({case.name for case in CASES}) == len(CASES) >= 120


@pytest.mark.parametrize(("case", "transport"), [pytest.param(*one, id=f"{one[0].name}-{one[1]}") for one in ASKED])
def test_a_broken_server_comes_to_what_is_expected(came, case: Case, transport: str):
    one = came[case.name, transport]
    told: Told = case.httpx if transport == "httpx" and case.httpx is not None else case.told
    assert one["outcome"] == told.outcome, one
    assert told.words in one["error"], one
    assert one["reopened"] == told.reopened, one
    if told.body is not None:
        assert one["body"].encode("latin-1") == told.body
    assert one["moments"] == sorted(one["moments"])
    assert one["seconds"] < SLACK_S
    if case.is_followed:
        assert (one["next_body"], one["reused"]) == ("next", told.reused)
