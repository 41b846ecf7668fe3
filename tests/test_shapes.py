"""The simulated model's structured answers: what it makes fits the schema it is given, by a validator no one here wrote."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan.schemas import Schema
from bench.simulator.shapes import pieces, unfit, value_of

PLAIN = st.one_of(
    st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, st.integers(-9, 9), st.integers(0, 9)),
    st.builds(lambda low, more: {"type": "number", "minimum": low, "maximum": low + more}, st.integers(-9, 9), st.integers(1, 9)),
    st.builds(lambda short, more: {"type": "string", "minLength": short, "maxLength": short + more}, st.integers(0, 30), st.integers(0, 9)),
    st.builds(lambda words: {"enum": words}, st.lists(st.text(max_size=5), min_size=1, max_size=3)),
    st.builds(lambda word: {"const": word}, st.text(max_size=5)),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}]),
)  # fmt: skip


def nested(inner):
    objects = st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3).map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties),
            "additionalProperties": False,
        }
    )
    lists = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3)
    )
    return objects | lists | st.lists(inner, min_size=1, max_size=3).map(lambda several: {"anyOf": several})


@given(st.recursive(PLAIN, nested, max_leaves=8), st.integers(0, 2**32))
def test_what_is_made_fits(schema, seed):
    value = value_of(schema, random.Random(seed))
    assert Schema(schema).fits(value), value


def test_a_schema_may_refer_to_itself_and_ends_all_the_same():
    tree = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
        "name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "required": ["name"]}}}  # fmt: skip
    assert Schema(tree).fits(value_of(tree, random.Random(1)))


@pytest.mark.parametrize(
    "schema", [{"type": "object"}, {"type": "array", "items": {}}, {"type": "string"}, {"type": "integer"}]
)
def test_what_is_made_wrong_on_purpose_does_not_fit(schema):
    assert not Schema(schema).fits(unfit(schema))


@given(st.text())
def test_pieces_make_the_text_again(text):
    assert "".join(pieces(text)) == text
