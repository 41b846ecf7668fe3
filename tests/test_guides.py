"""The guides in docs/ cannot drift: their commands are those of scenarios that are there, their YAML is understood."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bench.experiments import LoadScenario
from bench.simulator.config import Limit, Provider, Throttling
from tests.conftest import bench

GUIDE = Path("docs/limits.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
PLAIN = {"name": "guide", "target": "simulator", "models": ["m"], "requests": [{"prompt": "x", "max_tokens": 5}]}


def test_the_plan_of_the_guide_is_made():
    [plan, _] = [line.split("#")[0].split()[1:] for line in dict(BLOCKS)["sh"].splitlines()]
    done = bench(*plan)
    assert (done.returncode, "429" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "yaml"])
def test_what_the_guide_writes_is_understood(block):
    given = PLAIN | {"load": {"users": 1, "requests": 1}} | yaml.safe_load(block)
    scenario = LoadScenario.model_validate(given)
    Provider.model_validate(scenario.target.simulator or {})


def test_the_guide_names_every_kind_and_every_setting():
    told = set(re.findall(r"[a-z_]+", GUIDE))
    settings = set(Limit.model_fields) | set(Throttling.model_fields)
    kinds = set(Limit.model_fields["kind"].annotation.__args__) | set(
        Limit.model_fields["resource"].annotation.__args__
    )
    assert (settings | kinds) - told - {"step"} == set()
