"""What `kind: prompt_cache` finds out about caches whose truth is known; benchmarks/prompt_cache.py does it at length."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import httpx
import pytest

from bench.analysis import open_run
from bench.experiments import read_scenario
from bench.experiments.prompt_cache.estimates import estimates, judged
from bench.experiments.prompt_cache.findings import (
    document,
    findings,
    half_life,
    lasting,
    sentences,
    unfinished,
    unlearned,
)
from bench.experiments.prompt_cache.hits import limit_by_time, misses_needed
from bench.experiments.prompt_cache.steps import steps
from bench.experiments.prompt_cache.workload import still_there
from bench.experiments.simulated_performer import SimulatedPerformer
from bench.plan import Mistakes, RequestPlan
from bench.simulator.config import PrefixCache
from benchmarks.prompt_cache import accused, caches, coverage
from tests.cached_server import CachedServer, explore, question
from tests.conftest import bench
from tests.runs import write_run

BUDGET = {"requests": 5000, "duration": "10m"}


def cache(**settings):
    return PrefixCache(**({"block": 64, "minimum": 256, "ttl": 20.0} | settings))


def explored(config, *, learn=("savings", "granularity", "lifetime"), server=None, **asked):
    server = server or CachedServer(config, random.Random(1))
    return explore(server, question(learn=learn, budget=BUDGET, **asked))


@pytest.mark.parametrize(
    ("block", "minimum", "smallest"), [(64, 256, 256), (1, 1, 1), (128, 1000, 1024), (100, 300, 300), (16, 0, 16)]
)
def test_block_and_smallest_prefix_are_exact(block, minimum, smallest):
    found = explored(cache(block=block, minimum=minimum), learn=["savings", "granularity"]).found
    assert (found.block_tokens, found.minimum_tokens) == (block, smallest)


@pytest.mark.parametrize(("ttl", "refresh"), [(2.0, True), (20.0, False), (77.0, True), (77.0, False)])
def test_the_lifetime_lies_in_its_interval_and_reading_is_seen_to_prolong_it(ttl, refresh):
    found = explored(cache(ttl=ttl, refresh=refresh), learn=["savings", "lifetime"]).found
    low, high = found.lifetime
    assert low <= ttl <= high
    assert high - low < max(1.5, 0.2 * ttl)
    assert found.refreshed is refresh


def test_a_cache_that_forgets_one_by_one_is_said_to_and_half_are_gone_within_the_interval(tmp_path):
    half, rng = 30.0, random.Random(5)
    server = CachedServer(cache(refresh=False), random.Random(1))
    server.lifetimes = lambda: rng.expovariate(math.log(2.0) / half)
    performer = SimulatedPerformer(server)
    performer.perform(steps(question(learn=["savings", "lifetime"], budget=BUDGET), random.Random(0)))
    run = open_run(write_run(tmp_path, performer.records, scenario={"kind": "prompt_cache"}))
    found = estimates("m", run.records, None)
    assert found.gradual.low <= half <= found.gradual.high
    assert found.refreshed is None, "what is gone by chance says nothing of reading"
    assert "Prompts are forgotten one by one: half are gone after" in " ".join(lasting(found))
    assert 0.9 < still_there(found, 1.0) <= 1.0
    assert still_there(found, found.gradual.half) == pytest.approx(0.5)
    told = findings(run)
    assert told.document["caches"][0]["half_life_s"] == half_life(found.gradual)
    [chart] = [
        part for section in told.sections for part in section.parts if getattr(part, "name", "") == "cache-survival"
    ]
    points, curve = chart.series
    assert (points.title, curve.title, chart.spans[0].text) == ("m", "m, fitted", "half are gone")
    assert (points.low <= points.y).all()
    assert curve.y[0] > 90.0 > 50.0 > curve.y[-1]


def test_a_lifetime_beyond_what_was_tried_has_no_upper_end():
    low, high = explored(cache(ttl=80000.0), learn=["savings", "lifetime"]).found.lifetime
    assert low > 60
    assert high is None


def test_a_cache_that_half_of_the_requests_go_past_is_found_all_the_same():
    one = explored(cache(replicas=2, routing="random", ttl=60.0))
    longest = one.found.longest
    assert 0 < longest.hits < longest.pairs
    assert (one.found.block_tokens, one.found.minimum_tokens) == (64, 256)
    low, high = one.found.lifetime
    assert low <= 60.0 <= high
    assert longest.saved.low <= one.server.truly_saved(one.rows) <= longest.saved.high, "of hits, not of all"
    assert longest.saved_on_average.estimate < longest.saved.low, "on average less is saved"


def test_what_a_hit_saves_is_the_prefill_of_its_tokens():
    one = explored(cache(), learn=["savings"])
    longest = one.found.longest
    assert longest.saved.low <= one.server.truly_saved(one.rows) <= longest.saved.high
    assert one.found.per_token.low <= 0.0001 <= one.found.per_token.high
    assert (longest.hits, longest.hits_by_time, longest.disagree) == (24, 24, 0)
    assert one.found.honest is True


def test_dollars_are_those_of_the_account():
    one = explored(cache(), learn=["savings", "granularity"])
    assert one.found.cost_usd == pytest.approx(float(one.server.ledger.usd), abs=1e-9)
    saved = one.server.ledger.cached * (1.0 - 0.1) / 1e6
    assert one.found.saved_usd == pytest.approx(saved, abs=1e-9)
    assert one.found.break_even == 0.0, "writing costs nothing more"


@pytest.mark.parametrize(
    ("lie", "reported"), [({"saves": 0.0}, True), ({"usage": "zero"}, False), ({"usage": "none"}, False)]
)
def test_a_cache_that_lies_is_called_out(lie, reported):
    found = explored(cache(**lie), learn=["savings"]).found
    assert (found.exists, found.reported, found.honest) == (True, reported, False)


class Telling(CachedServer):
    """Changes what an answer says of its tokens."""

    def __init__(self, config, told):
        super().__init__(config, random.Random(1))
        self.told = told

    def __call__(self, planned, at):
        answer = super().__call__(planned, at)
        self.answers[-1] = replace(answer, **self.told(answer))
        return self.answers[-1]


def test_a_server_that_calls_every_prompt_a_hit_is_called_out():
    server = Telling(None, lambda answer: {"cached_tokens": answer.prompt_tokens})
    found = explored(None, server=server).found
    assert (found.reported, found.honest, found.per_token) == (True, False, None)
    assert (found.minimum_tokens, found.block_tokens, found.lifetime, found.evicted) == (None,) * 4
    assert found.cold_hits is not None
    assert found.cold_hits[0] == found.cold_hits[1] > 0
    assert "new prompts are reported as hits, too" in " ".join(sentences(found)[0].details)


def told_in_part(saves):
    """A cache that says that it read two fifths of what it read, and that saves this share of its prefill."""
    server = Telling(cache(saves=saves), lambda answer: {"cached_tokens": round(0.4 * answer.cached_tokens)})
    return explored(None, learn=["savings"], server=server).found


def test_a_cache_that_reads_less_than_a_hit_of_each_prompt_is_no_liar():
    found = told_in_part(saves=0.4)
    assert (found.exists, found.reported, found.honest) == (True, False, True)
    assert found.part == pytest.approx(0.4, abs=0.03)
    told = " ".join(one.text for one in sentences(found))
    assert "came from it, on average. Here a hit is 50.0 % or more" in told
    assert "no answer says how many tokens were read" not in told


def test_hits_that_save_far_more_than_is_reported_are_called_out():
    found = told_in_part(saves=1.0)
    assert (found.exists, found.reported, found.honest) == (True, False, False)
    assert "much faster than is explained by the" in sentences(found)[0].text


def test_where_it_is_unknown_how_long_a_prompt_takes_nobody_is_accused_of_reporting_too_small_a_part():
    savings = told_in_part(saves=1.0).savings
    assert judged(savings, None, False, 0.4) == (True, None)
    assert judged(savings, None, False) == (True, False), "it reports nothing, and something saves time"


def test_a_part_that_saves_no_time_is_a_cache_all_the_same():
    found = told_in_part(saves=0.0)
    assert (found.exists, found.honest) == (True, None)
    assert "has a prompt cache" in sentences(found)[0].text


class Late(CachedServer):
    """Reads a prompt from its cache only some seconds after it was first sent."""

    def __init__(self, after):
        super().__init__(None, random.Random(1))
        self.after, self.first = after, {}

    def __call__(self, planned, at):
        answer = super().__call__(planned, at)
        since = at - self.first.setdefault(planned.input[0]["content"][:300], at)
        self.answers[-1] = replace(answer, cached_tokens=answer.prompt_tokens - 20 if since > self.after else 0)
        return self.answers[-1]


@pytest.mark.parametrize(("after", "late"), [(3.0, True), (1000.0, False)])
def test_a_cache_that_takes_seconds_to_write_is_not_said_to_be_none(after, late):
    found = explored(None, learn=["savings"], server=Late(after)).found
    assert (found.exists, found.is_late, found.later) == (False, late, (4 if late else 0, 4))
    assert document(found, None)["exists"] is late
    said = sentences(found)[0].text
    assert ("4 of 4 prompts were hits" in said) is late
    assert ("shows no prompt cache" in said) is not late


def test_more_cached_tokens_than_a_prompt_has_are_said_and_nothing_is_made_of_them():
    server = Telling(cache(), lambda answer: {"prompt_tokens": answer.prompt_tokens - answer.cached_tokens})
    found = explored(None, learn=["savings", "granularity"], server=server).found
    assert found.longest is not None
    assert (round(found.longest.tokens, -2), found.longest.hits) == (1500, found.longest.pairs)
    assert (found.minimum_tokens, found.block_tokens, found.per_token, found.cost_usd) == (None,) * 4
    assert "more cached tokens than prompt tokens" in " ".join(one.text for one in sentences(found))
    assert "states prices" not in " ".join(one.text for one in sentences(found))


@pytest.mark.parametrize("seed", range(2))
def test_no_honest_server_is_accused(seed):
    for config in (cache(), None):
        found = explored(config, learn=["savings"], server=CachedServer(config, random.Random(seed))).found
        assert found.honest is True
        assert found.exists is (config is not None)


def test_hits_too_fast_to_be_seen_are_not_doubted():
    server = CachedServer(cache(), random.Random(1), per_token=1e-8)
    found = explored(None, learn=["savings"], server=server).found
    assert (found.exists, found.reported, found.honest) == (True, True, None)


@pytest.mark.parametrize(
    ("cold", "limit"),
    [
        ([1.0] * 6, 0.9),  # a prefill of 0.2 s, half of which a hit saves
        ([1.0] * 5, None),
        ([0.98, 1.02] * 3, 0.9),  # they differ by 0.022 s, a ninth of it
        ([0.96, 1.04] * 3, None),
    ],
    ids=["all alike", "too few", "little noise", "too noisy"],
)
def test_a_hit_is_seen_by_its_time_if_it_saves_far_more_than_the_noise(cold, limit):
    assert limit_by_time(cold, slope=0.0002, length=1000) == (limit if limit is None else pytest.approx(limit))


@pytest.mark.parametrize(
    ("hits", "reads", "by_time", "needed"),
    [(24, 24, False, 1), (24, 24, True, 2), (12, 24, False, 7), (18, 24, False, 4), (0, 0, False, 1)],
)
def test_the_more_fresh_prompts_miss_the_more_misses_are_needed(hits, reads, by_time, needed):
    """By hand: of 12 hits in 24 reads half are misses, and 0.5 ** 7 is below 1 %; of 18, 0.26 ** 4 is."""
    assert misses_needed(hits, reads, by_time=by_time) == needed


@pytest.mark.parametrize("usage", ["openai", "none"])
@pytest.mark.parametrize("scope", ["shared", "key"])
def test_a_second_key_reads_only_what_is_shared(scope, usage):
    one = explored(cache(scope=scope, usage=usage), learn=["savings", "scope"], other_key="sk-the-other-key")
    assert one.found.shared is (scope == "shared")
    assert one.found.other_hits == ((8, 8) if scope == "shared" else (0, 8))


def test_other_prompts_push_a_beginning_out_of_a_small_cache():
    learn = ["savings", "lifetime"]
    low, high = explored(cache(capacity=6000, ttl=1000.0), learn=learn).found.evicted
    assert low <= 6000 <= high
    found = explored(cache(ttl=1000.0), learn=learn).found
    assert found.evicted[1] is None
    assert "It is still there after 12," in " ".join(lasting(found))


def test_what_other_prompts_pushed_out_is_not_taken_for_old():
    """Four places, as the slots of an engine, and no lifetime: ten prompts are written before the first is read."""
    low, high = explored(cache(capacity=6016, ttl=80000.0), learn=["savings", "lifetime"]).found.lifetime
    assert low > 60
    assert high is None


@pytest.mark.parametrize(
    ("ttl", "usage", "refresh"), [(3.0, "none", True), (20.0, "none", False), (20.0, "zero", True)]
)
def test_the_lifetime_of_a_cache_that_tells_of_no_hits_is_found_by_time(ttl, usage, refresh):
    found = explored(cache(ttl=ttl, refresh=refresh, usage=usage), learn=["savings", "granularity", "lifetime"]).found
    low, high = found.lifetime
    assert low <= ttl <= high
    assert high - low < max(1.5, 0.2 * ttl)
    assert found.refreshed is refresh
    assert (found.hits_by_time, found.minimum_tokens, found.block_tokens) == (True, None, None)


def test_a_lifetime_that_time_cannot_tell_is_not_told():
    """A hit saves three of the spreads of single answers."""
    server = CachedServer(cache(usage="none"), random.Random(1), noise=0.08)
    found = explored(None, learn=["savings", "lifetime"], server=server).found
    assert (found.exists, found.lifetime, found.hits_by_time) == (True, None, False)
    assert "How long it keeps a prompt is unknown" in " ".join(unlearned(found))


def test_a_beginning_that_is_read_too_often_is_seen_to_miss():
    spilling = CachedServer(cache(replicas=8, spill=12, ttl=1000.0), random.Random(1))
    found = explored(None, learn=["savings", "lifetime"], server=spilling).found
    rates = {rate: hits / many for rate, (hits, many) in found.at_rate.items()}
    assert rates[15] == 1.0
    assert rates[240] < 0.95
    steady = explored(cache(replicas=8, ttl=1000.0), learn=["savings", "lifetime"]).found
    assert {hits / many for hits, many in (*steady.at_rate.values(), *steady.at_once.values())} == {1.0}


def test_replicas_without_routing_are_seen_in_parallel_too():
    found = explored(cache(replicas=4, routing="random", ttl=1000.0), learn=["savings", "lifetime"]).found
    assert found.at_once
    assert all(hits / many < 0.8 for hits, many in found.at_once.values())


def test_what_was_not_answered_was_not_learned():
    one = explored(cache(), learn=["savings"])
    found = estimates("m", one.rows.assign(outcome="timeout"), None)
    assert (found.exists, found.honest, found.lifetime, found.minimum_tokens, found.cost_usd) == (None,) * 5


@pytest.mark.parametrize(
    ("stopped_by", "why"),
    [("duration", None), ("budget", "its budget was used up"), ("quota", "no money or quota left")],
)
def test_why_a_run_ended_early_is_said_beside_what_was_not_learned(tmp_path, stopped_by, why):
    folder = write_run(tmp_path, [], scenario={"kind": "prompt_cache"}, end={"stopped_by": stopped_by})
    said = [one.text for one in unfinished(open_run(folder))]
    assert len(said) == (why is not None)
    assert why is None or why in said[0]


# -- the benchmark in short -----------------------------------------------------------------------------------


def test_any_cache_that_tells_of_itself_is_found_as_it_is():
    assert set(caches(1, seed=1).values()) == {1}


def test_the_interval_of_what_a_hit_saves_covers_the_truth():
    assert coverage(12, seed=1) >= 0.75


def test_liars_are_called_out_and_honest_caches_are_not():
    liars = [accused(1, 1, saves=0.0), accused(1, 1, usage="zero"), accused(1, 1, usage="none")]
    assert (liars, accused(2, 1), accused(1, 1, none=True)) == ([1, 1, 1], 0, 0)


# -- scenario and report --------------------------------------------------------------------------------------

SCENARIO = """\
kind: prompt_cache
target: ${URL}
models: [m]
requests: [{name: shared, prompt: {tokens: 300, prefix: {tokens: 200, groups: 2}}, max_tokens: 1}]
learn: [savings, granularity, workload]
budget: {requests: 120, tokens: 100000, duration: 60s}
workload: 20
prices: {m: {input: 1.0, output: 4.0, cached_input: 0.1}}
seed: 3
"""

SCOPE = """\
kind: prompt_cache
target: {url: "${URL}", key: "${KEY}"}
other_key: ${OTHER}
models: [shared, key]
requests: [{prompt: {tokens: 300}, max_tokens: 1}]
learn: [savings, scope]
budget: {requests: 240, tokens: 100000, duration: 60s}
"""


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    monkeypatch.setenv("URL", "http://127.0.0.1:1")
    file = tmp_path / "cache.yaml"
    file.write_text(SCENARIO)
    return file


def test_bench_run_finds_the_simulators_cache_what_a_mix_gets_of_it_and_its_account_to_the_cent(
    new_simulator, scenario, tmp_path, monkeypatch
):
    prices = {"input": 1.0, "output": 4.0, "cached_input": 0.1}
    cached = {"minimum": 64, "block": 32}
    model = {"ttft": [0, 0], "prefill_per_token": 0.0001, "decode_per_token": 0, "prices": prices, "cache": cached}
    with new_simulator(models={"m": model}) as url:
        monkeypatch.setenv("URL", url)
        done = bench("run", scenario, "--out", tmp_path / "out", "--no-report")
        account = httpx.get(f"{url}/simulator/ledger").json()["m"]
    assert done.returncode in (0, 3), done.stderr  # 3: another program kept the client from measuring
    [folder] = (tmp_path / "out").iterdir()
    [found] = json.loads((folder / "findings.json").read_bytes())["caches"]
    assert {"exists": True, "reported": True, "honest": True, "lifetime_s": None}.items() <= found.items()
    assert (found["minimum_tokens"], found["block_tokens"]) == (64, 32)
    estimate, low, high = found["ttft_saved_s"]
    assert 0 < low < estimate < high
    expected, observed = found["workload"]["cached_share"]
    assert expected == pytest.approx(observed, abs=0.05)
    assert found["workload"]["saved_usd"] == pytest.approx([expected * 1e-6 * 0.9 * 20 * 300] * 2, rel=0.2)
    assert found["cost_usd"] == pytest.approx(account["usd"], abs=1e-12)
    assert "m has a prompt cache: a hit saves" in done.stdout


MESSAGES = """\
kind: prompt_cache
target: {url: "${URL}"}
models: [m]
requests:
  - {api: messages, cache_control: 1h, prompt: {tokens: 300, prefix: {tokens: 200}}, max_tokens: 1}
learn: [savings, granularity, workload]
workload: 12
budget: {requests: 140, tokens: 100000, duration: 60s}
prices: {m: {input: 3.0, output: 15.0, cached_input: 0.3, cache_write: 3.75, cache_write_1h: 6.0}}
seed: 3
"""


def test_a_cache_that_keeps_marked_parts_is_found_and_its_writes_cost_what_was_charged(
    new_simulator, tmp_path, monkeypatch
):
    prices = {"input": 3.0, "output": 15.0, "cached_input": 0.3, "cache_write": 3.75, "cache_write_1h": 6.0}
    model = {"ttft": [0, 0], "prefill_per_token": 0.0001, "decode_per_token": 0, "prices": prices}
    file = tmp_path / "messages.yaml"
    file.write_text(MESSAGES)
    with new_simulator(models={"m": model | {"cache": {"minimum": 64, "block": 1}}}) as url:
        monkeypatch.setenv("URL", url)
        done = bench("run", file, "--out", tmp_path / "out", "--no-report")
        account = httpx.get(f"{url}/simulator/ledger").json()["m"]
    assert done.returncode in (0, 3), done.stderr
    [folder] = (tmp_path / "out").iterdir()
    [found] = json.loads((folder / "findings.json").read_bytes())["caches"]
    assert (found["exists"], found["minimum_tokens"], found["block_tokens"]) == (True, 64, 1), done.stdout
    assert account["written"] == 0 < account["written_1h"]
    assert found["cost_usd"] == pytest.approx(account["usd"], abs=1e-9)
    assert found["break_even_reads"] == pytest.approx((6.0 - 3.0) / (3.0 - 0.3)), (
        "what an hour costs more, by what is saved"
    )
    expected, observed = found["workload"]["cached_share"]
    assert expected == pytest.approx(observed, abs=0.05)
    assert observed > 0.5


def test_two_keys_of_a_provider_show_whose_prompts_its_caches_give_away(new_simulator, tmp_path, monkeypatch):
    quick = {"ttft": [0, 0], "prefill_per_token": 0.0001, "decode_per_token": 0}
    models = {scope: quick | {"cache": {"minimum": 64, "block": 32, "scope": scope}} for scope in ("shared", "key")}
    file = tmp_path / "scope.yaml"
    file.write_text(SCOPE)
    monkeypatch.setenv("KEY", "sk-the-first-key")
    monkeypatch.setenv("OTHER", "sk-the-second-key")
    with new_simulator(models=models) as url:
        monkeypatch.setenv("URL", url)
        done = bench("run", file, "--out", tmp_path / "out", "--no-report")
    [folder] = (tmp_path / "out").iterdir()
    found = {one["model"]: one for one in json.loads((folder / "findings.json").read_bytes())["caches"]}
    assert (found["shared"]["shared_between_keys"], found["key"]["shared_between_keys"]) == (True, False), done.stderr
    told = " ".join(done.stdout.split())
    assert "Another key reads what the first one wrote (8 of 8 tries): who guesses a prompt can tell" in told
    assert "Another key does not read what the first one wrote (0 of 8 tries)." in told
    assert not any(b"sk-the-" in path.read_bytes() for path in folder.iterdir()), "no key is in any file"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("prompt: {tokens: 300, prefix: {tokens: 200, groups: 2}}", "prompt: Hi"), "requests.0.prompt has no tokens"),
        (("tokens: 300, prefix: {tokens: 200, groups: 2}", "tokens: 20"), "at least 64 are needed to see a cache"),
        (("max_tokens: 1}", "max_tokens: 1, api: messages}"), "messages cache nothing without it"),
        (("savings, granularity", "scope, granularity"), "scope needs a second key; write other_key: ${NAME}"),
        (("savings, granularity", "savings, savings"), "names a part twice"),
        (("workload: 20", "other_key: sk-123456789"), "other_key is in the file; keep it in the environment"),
        (("learn: [savings", "learn: [saving"), "learn.0 is 'saving'"),
    ],
)
def test_a_mistake_is_told_with_its_line(scenario, change, words):
    assert change[0] in SCENARIO
    scenario.write_text(SCENARIO.replace(*change, 1))
    with pytest.raises(Mistakes) as caught:
        read_scenario(scenario)
    assert words in str(caught.value)


def test_a_fixed_seed_sends_no_run_what_the_run_before_may_have_left_in_a_cache(scenario):
    asked = read_scenario(scenario)
    first, again, next_one = (
        [plan.request(0, k).input[0]["content"] for k in range(6)]
        for plan in (RequestPlan(asked, 3, {}, nonce_seed=seed) for seed in (1, 1, 2))
    )
    assert first == again, "--repeat, and the report, can make them again"
    assert not {text[:12] for text in first} & {text[:12] for text in next_one}
    assert len({text[:12] for text in first}) == 1, "the prompts of one run still share their beginnings"
    assert [text.split("] ")[1] for text in first] == [text.split("] ")[1] for text in next_one], "the seed's mix"


def test_a_stranger_is_asked_only_within_a_budget(scenario, monkeypatch):
    monkeypatch.setenv("URL", "https://provider.example")
    read_scenario(scenario)
    scenario.write_text(SCENARIO.replace("budget: {requests: 120, tokens: 100000, duration: 60s}\n", ""))
    with pytest.raises(Mistakes, match=r"budget is missing, and provider.example is not this machine"):
        read_scenario(scenario)
