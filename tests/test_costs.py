"""Dollars and cache of a run written by hand: what was put in comes back out, and what is unknown is said to be."""

from __future__ import annotations

import re

import msgspec
import pytest

from bench.analysis import open_run
from bench.analysis.costs import cached_shares, cost_parts, cost_table, unequal_caching
from bench.analysis.sections import Sentence
from bench.experiments import read_scenario
from bench.plan import Fit, Mistakes, RequestPlan
from bench.plan.prices import Price, complete_price, cost_usd, image_price, of_table, of_writes, shipped
from bench.report import render
from bench.report.models import prices_text
from bench.targets.models import PRICES, describe, entries_of, with_ids
from tests.runs import failed, record, write_run

PRICE = {"input": 2.0, "cached_input": 0.2, "output": 8.0, "cache_write": 2.5, "cache_write_1h": 4.0}


def group(tmp_path, records, *, prices=None, **scenario):
    run = open_run(write_run(tmp_path / "run", records, scenario={"prices": {"m": prices or PRICE}, **scenario}))
    return run.summary.groups[0]


def test_a_price_that_is_not_said_is_unknown_and_never_nothing():
    assert cost_usd(Price(input=2.0), prompt=10, completion=0) == pytest.approx(2e-5)
    assert cost_usd(Price(input=2.0), prompt=10, completion=1) is None
    assert cost_usd(Price(output=2.0), prompt=10, completion=1) is None
    assert cost_usd(Price(item=0.1), prompt=10, completion=1) == 0.0, "paid by the piece"
    assert Price(item=0.1, image=0.2).of_piece("image") == 0.2
    assert Price(item=0.1).of_piece("image") == 0.1
    assert Price(image=0.2).of_piece("video") is None


def test_every_kind_of_token_has_its_price():
    price = Price(**PRICE, reasoning=16.0)
    tokens = {
        "prompt": 1e6,
        "cached": 4e5,
        "cache_write": 3e5,
        "cache_write_1h": 1e5,
        "completion": 1e5,
        "reasoning": 4e4,
    }
    # 300,000 plain · 2 + 400,000 · 0.2 + 200,000 · 2.5 + 100,000 · 4 + 60,000 · 8 + 40,000 · 16, a millionth of it
    assert cost_usd(price, **tokens) == pytest.approx(0.6 + 0.08 + 0.5 + 0.4 + 0.48 + 0.64)
    assert of_writes(price, cache_write=3e5, cache_write_1h=1e5) == pytest.approx(0.9)
    assert of_writes(Price(input=2.0), cache_write=3e5) is None, "nobody said that writes cost anything"


def test_a_run_reports_its_cost_in_all_ways(tmp_path):
    told = {"prompt_tokens": 1000, "cached_tokens": 800, "cache_write_tokens": 100, "completion_tokens": 5}
    records = [record(n, **told) for n in range(20)] + [failed(99, "timeout")]
    found = group(tmp_path, records, slo={"ttft": 0.4})
    each = (100 * 2.0 + 800 * 0.2 + 100 * 2.5 + 5 * 8.0) / 1e6
    assert found.cost_usd == pytest.approx(20 * each)
    assert found.cost_per_1000_usd == pytest.approx(20 * each / 21 * 1000)
    assert found.cost_per_good_usd is None, "no answer was good: TTFT is 500 ms"
    assert group(tmp_path, records).cost_per_good_usd == pytest.approx(each)
    assert found.input_price_usd == pytest.approx((100 * 2.0 + 800 * 0.2 + 100 * 2.5) / 1000)
    assert found.cache_saved_usd == pytest.approx(20 * (1000 * 2.0 - 100 * 2.0 - 800 * 0.2 - 100 * 2.5) / 1e6)
    assert found.cache_write_usd == pytest.approx(20 * 100 * 2.5 / 1e6)


def test_writes_that_nobody_reads_cost_more_than_no_cache(tmp_path):
    told = {"prompt_tokens": 1000, "cached_tokens": 0, "cache_write_tokens": 1000}
    found = group(tmp_path, [record(n, **told) for n in range(20)])
    assert found.cache_saved_usd == pytest.approx(20 * 1000 * (2.0 - 2.5) / 1e6)
    assert found.input_price_usd == pytest.approx(2.5)


def test_more_cached_tokens_than_the_prompt_has_make_no_cost(tmp_path):
    told = {"prompt_tokens": 100, "cached_tokens": 400}
    found = group(tmp_path, [record(n, **told) for n in range(20)])
    assert (found.cached_share, found.cost_usd, found.input_price_usd, found.cache_saved_usd) == (None,) * 4
    doubt = "20 answers state more cached tokens than prompt tokens, such as 400 of 100: the server miscounts"
    assert any(one.startswith(doubt) for one in open_run(tmp_path / "run").summary.doubts)


def test_silence_is_not_zero(tmp_path):
    records = [record(n) for n in range(20)]
    found = group(tmp_path, records)
    assert (found.cached_share, found.cache_saved_usd, found.cache_write_usd) == (None, None, None)
    assert found.ttft_hit_s.n == found.ttft_miss_s.n == 0
    told = render(open_run(tmp_path / "run"), "markdown")
    assert "The server does not say how many prompt tokens of m came from a cache; silence is not zero." in told
    assert "unknown" in told


def test_unknown_prices_are_said_to_be_unknown(tmp_path):
    records = [record(n, cached_tokens=90) for n in range(20)]
    unpriced = open_run(write_run(tmp_path / "a", records))
    table, sentence = cost_parts(unpriced.summary.groups, unpriced.understood.prices)
    assert [column.title for column in table.columns] == ["", "cached", "TTFT of hits"], "no column of unknowns"
    assert [cell.text for cell in table.rows[0].cells][:2] == ["m", "90.0 %"]
    assert sentence.text == "No price is known for m, so neither is its cost."
    plain = group(tmp_path, records, prices={"input": 2.0, "output": 8.0})
    assert plain.cost_usd == pytest.approx(20 * (100 * 2.0 + 5 * 8.0) / 1e6), "at most: all at the input price"
    assert plain.cache_saved_usd is None
    run = open_run(tmp_path / "run")
    told = [part.text for part in cost_parts(run.summary.groups, run.understood.prices) if isinstance(part, Sentence)]
    assert told == [
        "The price of cached tokens of m is unknown; they are counted at the input price, and what they saved is unknown."
    ]


def test_a_run_without_any_price_says_so_in_one_sentence(tmp_path):
    records = [record(n, model="mn"[n % 2]) for n in range(40)]
    run = open_run(write_run(tmp_path, records, scenario={"models": ["m", "n"]}))
    [only] = cost_parts(run.summary.groups, run.understood.prices)
    assert only.text == "No price is known for m, n, so neither is their cost."
    assert only.details == ("prices: {m: {input: …, output: …}} states one; bench models --prices asks the provider.",)


def test_an_answer_whose_prompt_nobody_counted_has_no_known_cost(tmp_path):
    assert group(tmp_path, [record(0), record(1, prompt_tokens=None)]).cost_usd is None


def test_hits_and_misses_have_a_ttft_each(tmp_path):
    cold = [record(n, cached_tokens=0, first_token_at=2.9) for n in range(20)]
    common = [record(20 + n, cached_tokens=9, first_token_at=2.9) for n in range(20)]
    warm = [record(40 + n, cached_tokens=64, first_token_at=2.1) for n in range(20)]
    found = group(tmp_path, cold + common + warm)
    assert (found.ttft_hit_s.n, found.ttft_miss_s.n) == (20, 40)
    assert found.ttft_hit_s.p50 == pytest.approx(0.1)
    assert found.ttft_miss_s.p50 == pytest.approx(0.9)


def test_ttft_of_misses_has_a_column_only_where_it_is_not_the_ttft_of_all(tmp_path):
    cold = [record(n, cached_tokens=0) for n in range(20)]
    misses = group(tmp_path, cold)
    titles = {column.title for column in cost_table([misses]).columns}
    assert misses.ttft_miss_s.n == 20
    assert {"cost", "cached"} <= titles
    assert "TTFT of misses" not in titles
    some = group(tmp_path, [*cold, record(20, cached_tokens=50)])
    assert "TTFT of misses" in {column.title for column in cost_table([some]).columns}


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"a": 0.5, "b": 0.51}, None),
        ({"a": 0.5, "b": 0.53}, "to different shares (a 50.0 %, b 53.0 %)"),
        ({"a": 0.5, "b": None}, "not known of all (a 50.0 %, b unknown)"),
        ({"a": 0.0, "b": None}, None),
        ({"a": None, "b": None}, None),
        ({"a": 0.9}, None),
    ],
)
def test_arms_whose_prompts_were_cached_differently_do_not_compare(shares, words):
    told = unequal_caching(shares)
    assert told is None if words is None else words in told


def test_models_that_were_cached_differently_are_a_doubt(tmp_path):
    records = [record(n, model="ab"[n % 2], cached_tokens=90 * (n % 2)) for n in range(40)]
    run = open_run(write_run(tmp_path, records, scenario={"models": ["a", "b"]}))
    assert cached_shares(run.summary.groups) == {"a": 0.0, "b": pytest.approx(0.9)}
    assert any("to different shares (a 0 %, b 90.0 %)" in doubt for doubt in run.summary.doubts)


def test_the_shipped_table_fills_in_what_a_scenario_leaves_open():
    price = complete_price("deepseek/deepseek-v3.2", Price(input=0.27, output=0.4), "api.novita.ai")
    assert price.cached_input == pytest.approx(0.135)
    assert "LiteLLM" in price.source
    assert complete_price("deepseek/deepseek-v3.2", Price(input=0.27), "localhost").cached_input is None
    assert (
        complete_price("deepseek/deepseek-v3.2", Price(input=0.27, cached_input=0.1), "novita.ai").cached_input == 0.1
    )
    known = of_table("claude-opus-4-8-20260401", "api.anthropic.com")
    assert (known.input, known.output, known.cached_input, known.cache_write, known.cache_write_1h) == (
        5,
        25,
        0.5,
        6.25,
        10,
    )
    assert "2026-" in known.source
    assert of_table("claude-opus-4-8", "localhost") is None
    assert of_table("deepseek/deepseek-v3.2", "api.novita.ai") is None, "a share is no price"
    newer = complete_price("claude-fable-5-1", Price(input=20.0, output=100.0), "api.anthropic.com")
    assert newer.cached_input == pytest.approx(0.5), "the scenario's price, and the table's share of it"
    claude = complete_price("claude-haiku-4-5", Price(input=4.0, output=20.0), "api.anthropic.com")
    assert (claude.cached_input, claude.cache_write, claude.cache_write_1h) == pytest.approx((0.4, 5.0, 8.0))
    assert image_price("flux-1-schnell", "api.novita.ai", [512 * 512 * 4]).image == pytest.approx(0.00075)
    assert image_price("flux-1-schnell", "api.novita.ai", [512 * 512 * 4, 64 * 64]) is None, "of two sizes"
    assert image_price("other", "api.novita.ai", [512 * 512 * 4]) is None


def test_a_model_of_the_shipped_table_has_a_price_that_the_scenario_may_override(tmp_path):
    file = tmp_path / "s.yaml"
    text = (
        "target: https://api.anthropic.com\nmodels: [claude-sonnet-5]\nload: {users: 1, requests: 1}\n"
        "requests: [{prompt: Hi, max_tokens: 1}]\n"
    )
    file.write_text(text)
    assert read_scenario(file).prices["claude-sonnet-5"].input == 2.0
    file.write_text(f"{text}prices: {{claude-sonnet-5: {{input: 1.0, output: 3.0}}}}")
    own = read_scenario(file).prices["claude-sonnet-5"]
    assert (own.input, own.output, own.cached_input) == (1.0, 3.0, pytest.approx(0.1))


def test_every_price_of_the_shipped_table_says_who_told_it_when_and_whether_that_was_read():
    told = {one.said for one in shipped().prices}
    assert all(re.search(r"\(20\d\d-\d\d-\d\d(, at second hand)?\)$", one) for one in told)
    assert any(one.endswith("at second hand)") for one in told)
    for known in shipped().prices:
        for name, share in (("cached_input", 1.0), ("cache_write", 1.25), ("cache_write_1h", 2.0)):
            assert (found := known.share(name)) is None or 0.0 < found <= share, f"{known.models}, {name}"


def test_an_odd_entry_does_not_spoil_a_list_of_models():
    good = {"id": "m", "pricing": {"prompt": "0.000001", "completion": "on request", "image": "inf"}}
    entries = [{"id": None}, good, 5, {"object": "model"}, {"id": "n", "input_token_price_per_m": "x"}]
    m, n = map(describe, with_ids(entries))
    assert (m["id"], m["input"], m["output"], m["image"]) == ("m", 1.0, None, None)
    assert (n["id"], n["input"]) == ("n", None)
    assert with_ids([]) == []
    with pytest.raises(ValueError, match="no entry has an id"):
        with_ids([{"id": None}, 5])


@pytest.mark.parametrize(
    ("odd", "features"),
    [
        ({"pricing": [1], "meta": "x", "rpm": True, "features": "chat"}, "chat"),
        ({"pricing": {"prompt": {"price_per_m": 2}}, "features": 5}, ""),
        ({"pricing": None, "features": ["chat", 7]}, "chat, 7"),
    ],
)
def test_odd_members_of_a_model_are_left_out(odd, features):
    model = describe({"id": "m", "input_token_price_per_m": float("nan")} | odd)
    assert (model["features"], model["limits"]) == (features, "")
    assert all(model[name] is None for name in PRICES)


def test_a_list_of_models_may_come_alone():
    assert entries_of([{"id": "m"}]) == entries_of({"data": [{"id": "m"}]}) == [{"id": "m"}]


def test_a_model_that_came_after_the_shipped_table_has_no_price_by_the_look_of_its_name():
    assert of_table("claude-opus-5-20260801", "api.anthropic.com").input == 5
    assert of_table("claude-opus-5-5", "api.anthropic.com") is None
    assert complete_price("claude-opus-5-5", Price(input=4.0), "api.anthropic.com") == Price(input=4.0)
    assert of_table("claude-opus-5", "other.example") is None, "a price is a provider's"


def test_what_a_provider_lists_becomes_a_scenarios_prices():
    novita = {"id": "a/b", "input_token_price_per_m": 2690, "output_token_price_per_m": 0,
              "pricing": {"input_cache_read": {"price_per_m": 1345}}}  # fmt: skip
    router = {"id": "c", "pricing": {"prompt": "0.0000005", "completion": "0.000002", "image": "0.01",
                                     "input_cache_write": "-1", "input_cache_read": "0.00000005"}}  # fmt: skip
    text = prices_text([describe(one) for one in (novita, router, {"id": "d"})], PRICES, source="x, 2026-01-02")
    assert text.splitlines() == [
        "prices:",
        '  "a/b": {input: 0.269, cached_input: 0.1345, output: 0, source: "x, 2026-01-02"}',
        '  "c": {input: 0.5, cached_input: 0.05, output: 2, image: 0.01, source: "x, 2026-01-02"}',
        '  # no price is listed for "d"',
    ]
    assert prices_text([describe({"id": "d"})], PRICES, source="x").startswith("prices: {}\n")


def test_summary_keeps_the_dollars(tmp_path):
    told = msgspec.to_builtins(group(tmp_path, [record(n, cached_tokens=0) for n in range(20)]))
    names = (
        "cost_usd",
        "cost_per_1000_usd",
        "cost_per_good_usd",
        "input_price_usd",
        "cache_saved_usd",
        "cache_write_usd",
    )
    assert {name: told[name] for name in names} == {
        "cost_usd": pytest.approx(0.0048), "cost_per_1000_usd": pytest.approx(0.24), "input_price_usd": pytest.approx(2.0),
        "cost_per_good_usd": pytest.approx(0.00024), "cache_saved_usd": 0.0, "cache_write_usd": None,
    }  # fmt: skip


def test_a_dial_sets_how_much_of_every_prompt_is_shared(tmp_path):
    file = tmp_path / "s.yaml"
    text = "target: simulator\nmodels: [m]\nload: {users: 1, requests: 1}\nrequests: [{prompt: {tokens: 508, cached: 0.6}}]"
    file.write_text(text)
    plan = RequestPlan(read_scenario(file), 1, {("m", "chat"): Fit(1.0, 8.0)})
    one, other = (plan.request(0, k).input[0]["content"].split() for k in range(2))
    same = next(place for place, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    assert (len(one), same) == (501, pytest.approx(305, abs=3))
    again = RequestPlan(read_scenario(file), 1, {("m", "chat"): Fit(1.0, 8.0)}, nonce_seed=2)
    assert again.request(0, 0).input[0]["content"].split()[same:] != one[same:], "no other run's cache has the rest"
    for wrong in ("cached: 0.6, nonce: true", "cached: 1.5", "cached: 0.6, prefix: {tokens: 9}"):
        file.write_text(text.replace("cached: 0.6", wrong))
        with pytest.raises(Mistakes):
            read_scenario(file)


@pytest.mark.parametrize(("cached", "words"), [(57, None), (20, "and came to 20.0 %"), (None, "does not say to which")])
def test_a_load_that_missed_the_share_it_wanted_says_so(tmp_path, cached, words):
    requests = [{"name": "chat", "prompt": {"cached": 0.6}}]
    records = [record(n, cached_tokens=cached) for n in range(20)]
    told = open_run(write_run(tmp_path, records, scenario={"requests": requests})).summary.doubts
    found = [doubt for doubt in told if "prompts of chat of m were to come from the cache to 60.0 %" in doubt]
    assert bool(found) is (words is not None)
    assert all(words in one for one in found)


def test_each_class_has_the_cached_share_that_it_was_set_to_also_with_the_seed_of_a_run_before(
    new_simulator, bench_run
):
    shares = (0.0, 0.25, 0.5, 0.75, 0.9)
    requests = [{"name": f"dial {one}", "prompt": {"tokens": 1000, "cached": one}, "max_tokens": 1} for one in shares]
    model = {"ttft": [0, 0], "decode_per_token": 0, "cache": {"minimum": 64, "block": 16}}
    with new_simulator(models={"m": model}) as url:
        scenario = {"target": {"url": url}, "models": ["m"], "requests": requests, "prices": {"m": PRICE}, "seed": 3}
        first, again = (bench_run(**scenario, load={"users": 1, "requests": 200}) for _ in range(2))
    for done in (first, again):
        rows = done.requests
        for one, mine in zip(shares, (rows[rows["name"] == f"dial {one}"] for one in shares), strict=True):
            had = mine["cached_tokens"].sum() / mine["prompt_tokens"].sum()
            assert had == pytest.approx(one, abs=0.04)
            assert (mine["cached_tokens"] == mine["server.cached"]).all(), "what the server told is true"
            told = f"Prompts of dial {one} of m were to come from the cache to"
            assert told in done.out
