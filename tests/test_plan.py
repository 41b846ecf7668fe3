"""Units, thresholds as written, prices, and the forecast."""

from __future__ import annotations

import pytest

from bench.experiments import LoadScenario, read_scenario
from bench.plan import Planned, parse_threshold
from bench.plan.forecast import forecast, of_requests, prompt_tokens
from bench.plan.prices import Price, cost_usd
from bench.plan.units import seconds
from bench.report.planned import load_text
from tests.conftest import bench


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("30s", 30), ("2m", 120), ("1h", 3600), (5, 5), ("1.5", 1.5), ("10us", 1e-5)]
)
def test_durations_are_seconds_inside(text, value):
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["soon", "5 parsecs", "", "s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"is expected|such as"):
        seconds(text)


def test_a_threshold_says_metric_statistic_and_limit():
    found = parse_threshold(" ttft[sim/fast, short chat] p99.9 <= 1.5s ")
    assert (found.metric, found.stat, found.operator, found.limit) == ("ttft", "p99.9", "<=", 1.5)
    assert found.scope == ("sim/fast", "short chat")
    assert parse_threshold("e2e p95 < 1m30s").limit == 90
    assert parse_threshold("error_rate < 1%").limit == 0.01
    assert parse_threshold("requests_per_s > 20/s").limit == 20
    assert parse_threshold("ttft p50 < 1s").holds(0.9)
    assert not parse_threshold("goodput >= 0.95").holds(0.9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ttft < 1s", "a latency needs a statistic"),
        ("ttft p42 < 1s", "p42 is not a statistic"),
        ("ttft p50 < 800", "has no unit; ttft is a time: did you mean 800ms or 800s"),
        ("ttft p50 < 5 parsecs", "is not a duration; 500ms, 30s, 1m30s"),
        ("speed > 3", "speed is not known; known are ttft"),
        ("error_rate p95 < 1%", "error_rate is one number and has no p95"),
        ("error_rate < 1s", "has the unit s; error_rate is a share"),
        ("faster please", "is not a threshold"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_threshold(text)


def test_cost_without_cache_prices_is_as_of_plain_tokens():
    assert cost_usd(Price(input=2.0, output=8.0), prompt=1e6, completion=1e6, cached=5e5) == pytest.approx(10.0)
    cheap = Price(input=2.0, output=8.0, cached_input=0.2, cache_write=2.5)
    assert cost_usd(cheap, prompt=1e6, completion=0, cached=5e5, cache_write=1e5) == pytest.approx(0.8 + 0.1 + 0.25)


def test_the_forecast_has_requests_tokens_and_dollars(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("""\
target: simulator
models: [m, n]
requests:
  - {name: a, weight: 3, prompt: {tokens: 1000}, max_tokens: 100}
  - {name: b, weight: 1, prompt: {tokens: 100}}
load: {rate: 10, duration: 60s, warmup: 20s}
prices: {m: {input: 1.0, output: 10.0}}
""")
    scenario = read_scenario(path)
    rows = {(row.model, row.name): row for row in forecast(scenario, scenario.load.as_stages(), 1)}
    assert rows["m", "a"].requests == pytest.approx(800 * 0.75 / 2)
    assert rows["m", "a"].prompt_tokens == 1000
    assert rows["m", "a"].dollars == pytest.approx(300 * (1000 * 1.0 + 100 * 10.0) / 1e6)
    assert rows["m", "b"].dollars is None, "without max_tokens nobody knows"
    assert rows["n", "a"].dollars is None, "without a price nobody knows"


PLANNED = """\
target: simulator
models: [m]
requests:
  - {name: a, weight: 3, prompt: {tokens: 1000}, max_tokens: 100}
  - {name: b, weight: 1, prompt: Hi, max_tokens: 10}
load: {users: 5, requests: 100, warmup: 20s}
prices: {m: {input: 1.0, output: 10.0}}
"""


def rows_of(tmp_path, *options):
    """The rows of `bench plan` by the name of what is sent: the cells after it."""
    path = tmp_path / "s.yaml"
    path.write_text(PLANNED)
    done = bench("plan", path, *options)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(" m ")]
    return {name: cells for _, name, *cells in lines}, done.stdout


def test_a_plan_counts_what_is_measured_and_beside_it_what_comes_before(tmp_path):
    """By hand: 75 requests cost 1,000 tokens and 100 answered, 0.002 dollars each; 25 one token and ten answered."""
    rows, text = rows_of(tmp_path)
    assert rows["a"] == ["75", "1,000", "100", "75,000", "$0.1500"]
    assert rows["b"] == ["25", "1", "10", "25", "$0.0025"]
    assert rows["warm-up"] == ["?", "750", "100", "?", "?"]
    assert rows["fit"][:1] + rows["fit"][2:3] == ["2", "1"]
    assert "How many requests users send in the warm-up depends on how fast the answers come." in text
    assert "Without warm-up, whose cost is not known: about $0.1531. That is for the longest" in text


def test_a_plan_says_that_several_models_share_the_users(tmp_path):
    _, text = rows_of(tmp_path)
    assert "5 users until 100 requests are sent" in text
    _, text = rows_of(tmp_path, "--set", "models=[m, n]")
    assert "5 users in all (2 or 3 for each model) until 100 requests are sent" in text


def test_a_plan_without_a_fit_and_with_a_rate_knows_all_of_it(tmp_path):
    rows, text = rows_of(tmp_path, "--set", "fit=false", "--set", "load={rate: 5, duration: 20s, warmup: 4s}")
    assert (rows["a"][0], rows["b"][0], rows["warm-up"][0]) == ("75", "25", "20")
    assert "fit" not in rows
    assert "About $0.1830. That is for the longest answers, and an average: random arrivals make more or" in text


ONE = "requests=[{name: a, prompt: {tokens: 1000}, max_tokens: 100}]"


@pytest.mark.parametrize(
    ("load", "told"),
    [
        ("{users: 2, requests: 100}", "At most $0.2000."),
        ("{rate: 5, duration: 20s, arrivals: constant}", "At most $0.2000."),
        ("{rate: 5, requests: 100}", "At most $0.2000."),
        ("{rate: 5, duration: 20s}", "About $0.2000. That is for the longest answers, and an average: random arrivals"),
    ],
)
def test_a_plan_says_at_most_only_where_the_number_of_requests_is_sure(tmp_path, load, told):
    _, text = rows_of(tmp_path, "--set", "fit=false", "--set", f"load={load}", "--set", ONE)
    assert told in text


def test_a_plan_with_retries_says_what_every_retry_would_cost(tmp_path):
    options = ("--set", "fit=false", "--set", "load={users: 2, requests: 100}", "--set", "retries={attempts: 9}")
    _, text = rows_of(tmp_path, *options)
    assert "About $0.1525 if no request is sent again, $1.3727 if each is sent 9 times. That is" in text


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        ("{m: {input: 1.0, output: 10.0}}", "Without n, whose cost is not known: about"),
        ("{m: {input: 1.0, output: 10.0}, n: {input: 1.0, output: 1.0}}", "\nAbout"),
    ],
)
def test_a_plan_names_what_has_no_price(tmp_path, prices, told):
    _, text = rows_of(
        tmp_path, "--set", "load={users: 2, requests: 9}", "--set", "models=[m, n]", "--set", f"prices={prices}"
    )
    assert told in text
    _, text = rows_of(tmp_path, "--set", "load={users: 2, requests: 9}", "--set", "requests.1.max_tokens=null")
    assert "Without b, whose cost is not known: about" in text


def test_a_plan_says_which_ramp_would_never_end(tmp_path):
    _, text = rows_of(tmp_path, "--set", "load={users: 30, duration: 8s, ramp: 1m}")
    assert "The ramp to 30 users takes 60 s, but the stage is over after 8 s, so this is no load of 30 users" in text
    assert "The ramp" not in rows_of(tmp_path, "--set", "load={users: 30, duration: 8s, ramp: 8s}")[1]


def test_a_plan_says_which_users_would_never_ask(tmp_path):
    _, text = rows_of(tmp_path, "--set", "load={users: 30, requests: 8}")
    assert "At most 8 of the 30 users ever ask, since only 8 requests are sent, so this is no load of 30 users" in text
    assert "ever ask" not in rows_of(tmp_path, "--set", "load={users: 8, requests: 8}")[1]


def test_a_plan_of_a_comparison_says_that_a_user_sends_pairs(tmp_path):
    _, text = rows_of(tmp_path, "--set", "kind=compare", "--set", "models=[m, n]", "--set", "load={users: 6}")
    assert "6 users, each with one pair at a time, until 1,000 pairs are sent" in text
    _, text = rows_of(tmp_path, "--set", "kind=compare", "--set", "models=[m, n]", "--set", "load={users: 1}")
    assert "1 user with one pair at a time until 1,000 pairs are sent" in text
    _, text = rows_of(tmp_path, "--set", "kind=compare", "--set", "models=[m, n]", "--set", "load={rate: 6}")
    assert "6 pairs/s, poisson arrivals, until 1,000 pairs are sent" in text


def test_a_text_has_at_least_one_token_and_no_text_has_none():
    def asked(text):
        return Planned(0, 0, "a", "m", "chat", False, [{"role": "user", "content": text}], {"max_tokens": 1}, {})

    assert [prompt_tokens(asked(text)) for text in ("Hi", "", "x" * 43)] == pytest.approx([1, 0, 10])


def test_requests_that_are_known_cost_what_their_tokens_do(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(PLANNED)
    request = Planned(0, 0, "fit", "m", "completions", False, "x" * 430, {"max_tokens": 1}, {})
    [row] = of_requests([request], read_scenario(path))
    assert (row.requests, row.prompt_tokens, row.max_tokens) == (1, pytest.approx(100), 1)
    assert row.dollars == pytest.approx((100 * 1.0 + 10.0) / 1e6)


@pytest.mark.parametrize(
    ("load", "told"),
    [
        ({"rate": 12, "duration": 2, "clients": ["raw", "polite"]}, "raw: 12 requests/s, poisson arrivals, for 2 s; then polite:"),
        ({"users": [1, 2], "duration": 2}, "1 user for 2 s; then 2 users for 2 s"),
    ],
    ids=["clients", "a sweep"],
)  # fmt: skip
def test_stages_of_one_load_are_told_apart_by_their_names(load, told):
    stages = LoadScenario.model_validate(
        {"name": "chat", "target": "simulator", "models": ["m"], "requests": [{"prompt": "Hi"}], "load": load}
    ).load.as_stages()
    assert load_text(stages).startswith(told)
