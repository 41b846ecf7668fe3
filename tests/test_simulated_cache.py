"""The simulator's prompt cache on a clock of the test's own, its account, and how answers tell of it."""

from __future__ import annotations

import httpx
import pytest

from bench.simulator.cache import Cache
from bench.simulator.config import PrefixCache, Prices
from bench.simulator.ledger import Ledger, Tokens


def cache(**settings):
    return Cache(PrefixCache(**({"block": 4, "minimum": 8, "ttl": 10.0} | settings)))


def ask(known, text, now, *, takes=0.0, ttl=None, **whose):
    """Tokens read for a prompt of one-letter tokens that arrives now and whose prefill takes so long."""
    found = known.look_up(list(text), now, **whose)
    known.store(found, now + takes, ttl=ttl)
    return found.read


def test_whole_blocks_of_a_beginning_are_known_from_the_minimum_on():
    known = cache()
    assert ask(known, "abcdefghij", 0.0) == 0
    assert ask(known, "abcdefghxx", 1.0) == 8
    assert ask(known, "abcdxxxxxx", 1.0) == 0, "below the minimum"
    assert ask(known, "xbcdefghij", 1.0) == 0, "another first token"
    assert known.look_up(list("abcdefg"), 1.0).stored == 0, "too short to be kept"


def test_a_prompt_is_known_when_its_prefill_is_done():
    known = cache()
    assert ask(known, "abcdefgh", 0.0, takes=2.0) == 0
    assert ask(known, "abcdefgh", 1.9, takes=2.0) == 0
    assert ask(known, "abcdefgh", 2.0) == 8


@pytest.mark.parametrize(("refresh", "read"), [(True, 8), (False, 0)])
def test_reading_prolongs_a_life_only_where_it_refreshes(refresh, read):
    known = cache(refresh=refresh)
    ask(known, "abcdefgh", 0.0)
    assert ask(known, "abcdefgh", 9.0) == 8
    assert ask(known, "abcdefgh", 12.0) == read
    unread = cache(refresh=refresh)
    ask(unread, "abcdefgh", 0.0)
    assert ask(unread, "abcdefgh", 10.0) == 0, "it lives for ten seconds, not one moment longer"


def test_a_request_may_ask_for_a_longer_life():
    known = cache()
    ask(known, "abcdefgh", 0.0, ttl=100.0)
    assert ask(known, "abcdefgh", 99.0) == 8


def test_the_longest_unused_goes_first_and_last_blocks_before_first_ones():
    known = cache(capacity=16, ttl=1000.0)
    ask(known, "aaaaaaaaaaaa", 0.0)
    ask(known, "bbbbbbbb", 1.0)  # twenty tokens are too many by one block: a's last
    assert known.look_up(list("aaaaaaaaaaaa"), 2.0).read == 8
    assert ask(known, "cccccccc", 3.0) == 0  # room for two blocks: b, which nobody read since
    assert known.look_up(list("bbbbbbbb"), 4.0).read == 0
    assert known.look_up(list("aaaaaaaa"), 4.0).read == 8


def test_each_key_has_a_cache_of_its_own_only_where_it_says_so():
    apart, shared = cache(scope="key"), cache()
    for known in (apart, shared):
        ask(known, "abcdefgh", 0.0, key="one")
    assert ask(apart, "abcdefgh", 1.0, key="two") == 0
    assert ask(apart, "abcdefgh", 1.0, key="one") == 8
    assert ask(shared, "abcdefgh", 1.0, key="two") == 8


def test_replicas_know_what_they_were_sent():
    by_chance = cache(replicas=2, routing="random", ttl=1000.0)
    texts = [f"{chr(97 + n)}" * 8 for n in range(26)]
    for text in texts:
        ask(by_chance, text, 0.0)
    assert 5 < sum(by_chance.look_up(list(text), 1.0).read > 0 for text in texts) < 21, "half, by chance"
    for routing in ("prefix", "sticky"):
        known = cache(replicas=5, routing=routing, route_tokens=4)
        found = [known.look_up(list(text), 0.0, session="me").replica for text in texts]
        assert (len(set(found)) == 1) is (routing == "sticky")
        assert found == [known.look_up([*text[:4], *"zzzz"], 1.0, session="me").replica for text in texts]


def test_a_beginning_that_is_asked_too_often_goes_anywhere():
    known = cache(replicas=1000, spill=3)
    replicas = [known.look_up(list("abcdefgh"), float(now)).replica for now in range(5)]
    assert len(set(replicas[:3])) == 1
    assert len(set(replicas)) > 1
    assert known.look_up(list("abcdefgh"), 100.0).replica == replicas[0], "a minute later it is at home again"


def test_the_account_is_exact_to_the_cent():
    account = Ledger(Prices(input=3.0, output=15.0, cached_input=0.3, cache_write=3.75, cache_write_1h=6.0))
    account.charge(Tokens(1_000_000, cached=400_000, written=200_000, written_1h=100_000, completion=10_000))
    # 300,000 · 3 + 400,000 · 0.3 + 200,000 · 3.75 + 100,000 · 6 + 10,000 · 15, a millionth of it
    assert account.as_json()["usd"] == 0.9 + 0.12 + 0.75 + 0.6 + 0.15
    account.charge(Tokens(1_000_000), 0.5)
    assert account.as_json()["usd"] == 2.52 + 1.5
    account.reset()
    assert account.as_json()["usd"] == account.as_json()["requests"] == 0


MODEL = {"ttft": [0, 0], "prefill_per_token": 0, "decode_per_token": 0}
WORDS = "word " * 100


def say(url, model, *, api="chat/completions", **more):
    body = {"model": model, "max_tokens": 1} | more
    if api == "messages":
        body["messages"] = [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": WORDS, "cache_control": {"type": "ephemeral", **more.pop("mark", {})}}
                ],
            }
        ]
        body.pop("mark", None)
    else:
        body["messages"] = [{"role": "user", "content": WORDS}]
    return httpx.post(f"{url}/v1/{api}", json=body).raise_for_status().json()


def test_answers_tell_of_cached_tokens_in_each_style_and_the_account_charges_what_they_tell(new_simulator):
    styles = ("openai", "deepseek", "none", "zero")
    cached = {style: MODEL | {"cache": {"minimum": 64, "block": 32, "usage": style}} for style in styles}
    with new_simulator(models=cached | {"off": MODEL}) as url:
        told = {}
        for model in (*styles, "off"):
            say(url, model)
            answer = say(url, model)
            told[model] = answer["usage"]
            assert answer["simulator"]["cached"] == (0 if model == "off" else 96), "the truth, whatever is told"
        assert told["openai"]["prompt_tokens_details"] == {"cached_tokens": 96}
        assert told["deepseek"]["prompt_cache_hit_tokens"] == 96
        assert told["deepseek"]["prompt_cache_miss_tokens"] == 8
        assert "prompt_tokens_details" not in told["deepseek"]
        assert set(told["none"]) == {"prompt_tokens", "completion_tokens", "total_tokens", "completion_tokens_details"}
        assert told["zero"]["prompt_tokens_details"] == told["off"]["prompt_tokens_details"] == {"cached_tokens": 0}
        account = httpx.post(f"{url}/simulator/ledger").json()
        for model, hit in {"openai": 96, "deepseek": 96, "none": 0, "zero": 0, "off": 0}.items():
            assert (account[model]["prompt"], account[model]["cached"], account[model]["completion"]) == (208, hit, 2)
            assert account[model]["usd"] == pytest.approx(((208 - hit) * 0.1 + hit * 0.025 + 2 * 0.4) / 1e6, abs=1e-15)
        assert httpx.get(f"{url}/simulator/ledger").json()["openai"]["requests"] == 0, "asking by POST began a new one"


def test_messages_tell_of_writes_for_five_minutes_and_for_an_hour(new_simulator):
    model = MODEL | {"cache": {"minimum": 64, "block": 32}, "prices": {"cache_write": 0.125, "cache_write_1h": 0.2}}
    with new_simulator(models={"m": model, "n": model}) as url:
        written, read = (say(url, "m", api="messages")["usage"] for _ in range(2))
        hour = say(url, "n", api="messages", mark={"ttl": "1h"})["usage"]
        assert (
            written["input_tokens"],
            written["cache_creation_input_tokens"],
            written["cache_read_input_tokens"],
        ) == (8, 96, 0)
        assert (read["input_tokens"], read["cache_creation_input_tokens"], read["cache_read_input_tokens"]) == (
            8,
            0,
            96,
        )
        assert hour["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 96}
        account = httpx.get(f"{url}/simulator/ledger").json()
        assert account["m"]["usd"] == pytest.approx((16 * 0.1 + 96 * 0.125 + 96 * 0.025 + 2 * 0.4) / 1e6, abs=1e-15)
        assert account["n"]["usd"] == pytest.approx((8 * 0.1 + 96 * 0.2 + 0.4) / 1e6, abs=1e-15)


def test_messages_read_whole_marked_parts_and_nothing_else(new_simulator):
    mark = {"cache_control": {"type": "ephemeral"}}

    def read(url, *parts):
        content = [{"type": "text", "text": text} | more for text, more in parts]
        body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}]}
        usage = httpx.post(f"{url}/v1/messages", json=body).raise_for_status().json()["usage"]
        return usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]

    with new_simulator(models={"m": MODEL | {"cache": {"minimum": 64, "block": 1}}}) as url:
        assert read(url, (f"{WORDS} one", mark)) == (0, 101)
        assert read(url, (f"{WORDS} two", mark)) == (0, 101), "the part is another one, though it begins alike"
        assert read(url, (f"{WORDS} {WORDS}", mark), ("four", {})) == (0, 200)
        assert read(url, (f"{WORDS} {WORDS}", mark), ("five", {})) == (200, 0)
        assert read(url, (f"{WORDS} {WORDS}", {}), ("five", {})) == (0, 0), "without a mark there is no cache"


def test_a_run_that_writes_for_five_minutes_and_for_an_hour_costs_what_the_server_charged(new_simulator, bench_run):
    prices = {"input": 3.0, "output": 15.0, "cached_input": 0.3, "cache_write": 3.75, "cache_write_1h": 6.0}
    shared = {"tokens": 400, "prefix": {"tokens": 300, "groups": 3}}
    requests = [
        {"name": ttl, "api": "messages", "cache_control": ttl, "prompt": shared, "max_tokens": 4}
        for ttl in ("5m", "1h")
    ]
    with new_simulator(models={"m": MODEL | {"cache": {"minimum": 64, "block": 32}, "prices": prices}}) as url:
        scenario = {"target": {"url": url}, "models": ["m"], "requests": requests, "prices": {"m": prices}}
        done = bench_run(**scenario, load={"users": 1, "requests": 40}, fit=False)
        account = httpx.get(f"{url}/simulator/ledger").json()["m"]
    [found] = [group for group in done.run.summary.groups if group.name == "all"]
    assert account["written"] > 0
    assert account["written_1h"] > 0
    assert found.cost_usd == pytest.approx(account["usd"], abs=1e-9)
    assert found.cache_write_usd == pytest.approx((account["written"] * 3.75 + account["written_1h"] * 6.0) / 1e6)
    without = (account["prompt"] * 3.0 + account["completion"] * 15.0) / 1e6
    assert found.cache_saved_usd == pytest.approx(without - account["usd"], abs=1e-9)


def test_a_hit_saves_as_much_prefill_as_the_cache_has_it(new_simulator):
    slow = MODEL | {"prefill_per_token": 0.002}
    settings = {"fast": {}, "liar": {"saves": 0.0}, "silent": {"usage": "none"}}
    models = {name: slow | {"cache": {"minimum": 64, "block": 32} | more} for name, more in settings.items()}
    with new_simulator(models=models) as url:
        for name in models:
            say(url, name)
            truth = say(url, name)["simulator"]
            took = truth["first_token"] - truth["arrived"]
            assert took >= (0.2 if name == "liar" else 0.015)
            assert took < (1.0 if name == "liar" else 0.1)
