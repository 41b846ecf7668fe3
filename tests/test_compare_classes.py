"""A comparison by request class: what the figures of all hide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.analysis.comparison import table
from bench.analysis.pairs import rows_of
from bench.experiments.compare.classes import class_sections, of_classes, told_of_classes
from bench.experiments.compare.findings import Kept, KeptArm
from tests.runs import record


def rows(slower, pairs=200):
    """Requests of both arms; of the candidate, those of each class take so many times as long."""
    random = np.random.default_rng(1)
    names, made = list(slower), []
    for pair in range(pairs):
        name = names[pair % len(names)]
        for place, (arm, times) in enumerate({"baseline": 1.0, "candidate": slower[name]}.items()):
            first = 2.0 + times * 0.2 * float(np.exp(0.1 * random.normal()))
            made.append(
                record(
                    2 * pair + place, arm=arm, pair=pair, name=name, headers_at=first, first_token_at=first,
                    first_answer_at=first, arrivals=[(first, 1), (first + 0.4, 4)], done=first + 0.4,
                )
            )  # fmt: skip
    return rows_of(made)


def compared(of, **gate):
    asked = Kept(
        {"baseline": KeptArm(), "candidate": KeptArm()}, gate=gate or {"ttft p50": "5%", "ttft p95": "20%"}
    ).asked
    return of_classes(of, asked, 200)


def test_a_candidate_that_is_slower_for_one_class_is_said_to():
    found = compared(rows({"brief": 1.0, "long": 1.6}))
    assert [(one.title, one.request, one.pairs, one.verdict) for one in found] == [
        ("ttft[brief] p50", "brief", 100, None),
        ("ttft[long] p50", "long", 100, None),
    ]
    assert found[1].ratio == pytest.approx(1.6, rel=0.05)
    first, long = told_of_classes(found)
    assert first == "The request classes are not alike"
    assert long.startswith("long: candidate's first token comes 6")


@pytest.mark.parametrize("slower", [1.0, 1.6])
def test_classes_that_are_alike_are_in_the_table_alone(slower):
    found = compared(rows({"brief": slower, "long": slower}))
    assert told_of_classes(found) == []
    [section] = class_sections(found)
    assert section.parts[0].name != table(found).name, "both are in one report"
    assert [row.cells[0].text for row in section.parts[0].rows] == ["ttft[brief] p50", "ttft[long] p50"]


def test_a_class_of_few_pairs_is_judged_by_its_own_interval():
    brief, long = compared(rows({"brief": 1.0, "long": 1.0}))
    certain = replace(brief, ratio=1.0, low=0.999, high=1.001)
    assert told_of_classes([certain, replace(long, ratio=1.35, low=1.1, high=1.66)]) == []
    assert told_of_classes([certain, replace(long, ratio=1.6, low=1.3, high=1.97)])


def test_a_single_class_has_no_part_of_its_own_and_few_pairs_show_nothing():
    assert compared(rows({"all": 1.6})) == []
    assert class_sections([]) == ()
    assert compared(rows({"brief": 1.0, "long": 1.6}, pairs=30)) == []
