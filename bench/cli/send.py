"""`bench send`: one request, sent and shown whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.one_line import Options, access_options, address, is_address, read_any
from bench.cli.options import format_option, overrides, scenario_argument, target_option
from bench.cli.problems import Unusable, Wrong, ending, reported
from bench.cli.results import say
from bench.cli.run import build_every_request, fetch_keys, new_draw

if TYPE_CHECKING:
    from bench.plan import Scenario
    from bench.plan.one_line import Access
    from bench.records.sent import Sent


@click.command(name="send")
@scenario_argument
@click.option("--model", metavar="M", help="The model to ask; default: the scenario's first.")
@click.option("--request", "wanted", metavar="NAME", help="Which of the scenario's requests; default: the first.")
@click.option("--arm", metavar="NAME", help="The arm of a comparison to ask as; default: the first.")
@click.option("--prompt", metavar="TEXT", help="Without a file: the text to send.")
@click.option("--tokens", type=int, metavar="N", help="Or synthetic text; default: 300 tokens.")
@click.option("--max-tokens", type=int, metavar="N", help="Longest answer; default: 200 tokens.")
@click.option("--no-stream", is_flag=True, help="Ask for a whole answer, not a stream.")
@access_options
@target_option
@overrides
@format_option("text", "json")
@reported
def command(
    scenario_file: Path,
    model: str | None,
    wanted: str | None,
    arm: str | None,
    prompt: str | None,
    tokens: int | None,
    max_tokens: int | None,
    no_stream: bool,
    access: Access,
    target: str | None,
    settings: tuple[str, ...],
    form: str,
) -> None:
    """Send one request and show it whole: request, answer, events with their times, and what a run would record.
    For a job, such as a batch or a video, each exchange is shown, but of its polls only the last.

    SCENARIO is a file; or a URL, simulator or llama.cpp: then the options say what is asked.
    Times count from the sending. Keys and other secrets are left out.

    \b
      bench send simulator --model sim/fast --prompt Hello --max-tokens 5
      bench send scenarios/novita.yaml --request report

    \b
    Exit codes: 0 the answer is ok · 1 the request failed · 2 wrong input
    """
    is_url = is_address(address(scenario_file)) and not scenario_file.exists()
    chosen = (model,) if is_url and model is not None else ()
    one_line = Options(
        chosen, None, None, 1 if is_url else None, None, prompt, tokens, max_tokens, no_stream, access, None
    )
    scenario, file = read_any(scenario_file, one_line, target, settings, shown=False)
    scenario = as_arm(scenario, arm)
    index = place_in("--request", wanted, [one.name for one in scenario.requests])
    place = place_in("--model", None if is_url else model, list(scenario.models))
    sent = send(scenario, file, index, place, in_text=form == "text")
    sys.exit(0 if sent.record.outcome == "ok" else 1)


def send(scenario: Scenario, file: Path, index: int, model: int, *, in_text: bool) -> Sent:
    """Send the request at this place of the scenario to the model at that place, and show it. Raises Mistakes,
    Unusable, Wrong."""
    import bench.load as load  # Locust first: it patches the standard library

    draw = new_draw(scenario)
    build_every_request(scenario, file, draw)
    fetch_keys(scenario)
    from bench.report.sent import TextWatcher, sent_in_json

    watcher = TextWatcher(say) if in_text else None
    try:
        with ending("the request was sent and its answer was not waited for"):
            sent = load.send_one(scenario, index=index, model=model, draw=draw, watcher=watcher)
    except (load.NoRoomError, load.TargetError) as error:
        raise Unusable(str(error)) from None
    if watcher is None:
        say(sent_in_json(sent))
    else:
        watcher.rest(sent)
    return sent


def as_arm(scenario: Scenario, arm: str | None) -> Scenario:
    """The scenario as one of its arms asks it. Raises Wrong."""
    if not scenario.arms:
        if arm is not None:
            raise Wrong(f"--arm {arm}: the scenario has no arms")
        return scenario
    names = list(scenario.arms)
    return scenario.arms[names[place_in("--arm", arm, names)]]


def place_in(option: str, wanted: str | None, known: list[str]) -> int:
    """Where a name stands among those that are known; the first if none is wanted. Raises Wrong."""
    if wanted is None:
        return 0
    if wanted not in known:
        raise Wrong(f"{option} {wanted} is not in the scenario; known are {', '.join(known)}")
    return known.index(wanted)
