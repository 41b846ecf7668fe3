"""`bench init`: a first scenario, from a few questions or from a target's own list of models and prices."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.one_line import DEFAULT_KEY, access_options, access_problems
from bench.cli.problems import Wrong, reported
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.plan.one_line import Access
    from bench.targets.models import ListedModel

KEY_NAMES = {
    "novita.ai": "NOVITA_API_KEY",
    "openai.com": "OPENAI_API_KEY",
    "anthropic.com": "ANTHROPIC_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
}
"""The variable with the key in the guides of each provider, by the end of its hosts' names."""
FAVOURITES = {"simulator": "sim/fast"}  # models of targets that come with the tool
SHOWN = 12  # models of a list in a question
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks the person at the keyboard, or takes each default."""

    yes: bool

    def text(self, question: str, default: str | None) -> str:
        """An answer in one line. Raises Wrong if there is no default and nobody to be asked."""
        if self.yes:
            if default is None:
                raise Wrong(f"{question}? It has no default; leave --yes out, or give it as an option")
            return default
        try:
            answer: str = click.prompt(question, default=default, err=True, show_default=bool(default))
        except click.Abort:
            raise Wrong("nothing was written: a question got no answer; --yes takes the defaults") from None
        return answer.strip()

    def number(self, question: str, default: int) -> int:
        """A whole number above 0, asked for until there is one. Raises Wrong."""
        while True:
            answer = self.text(question, str(default))
            if answer.isdecimal() and int(answer) > 0:
                return int(answer)
            tell(f"{answer!r} is not a whole number above 0")


@click.command(name="init")
@click.argument("target", required=False)
@click.option("--model", "models", multiple=True, metavar="M", help="A model to test; default: a question. Repeatable.")
@access_options
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The file to write; default: the target's name, such as simulator.yaml.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Ask nothing, take every default.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@reported
def command(
    target: str | None, models: tuple[str, ...], access: Access, save: Path | None, yes: bool, force: bool
) -> None:
    """Make a first scenario: a file with comments, to plan, run and change.

    TARGET is a URL, simulator or llama.cpp. Its own list gives the models and their prices; the rest is asked, and
    every question has a default. The file names the variable with the key, never the key itself.

    \b
      bench init                                        asks everything
      bench init https://api.example.com/v1 --key-env EXAMPLE_API_KEY
      bench init simulator --yes                        asks nothing
    """
    from bench.plan.first_scenario import commented
    from bench.plan.one_line import MAX_TOKENS, REQUESTS, TOKENS, USERS, OneLine, name_of
    from bench.report.words import visible

    ask = Asker(yes)
    place = checked_place(target or ask.text("Server to test: a URL, simulator or llama.cpp", "simulator"))
    file = save or Path(f"{name_of(place)}.yaml")
    if file.exists() and not force:
        raise Wrong(f"there is a {file} already; choose another name with --save, or write over it with --force")
    access = checked_access(ask, place, access)
    found = models_of(place, access)
    chosen = models or asked_models(ask, found)
    asked = OneLine(
        place,
        chosen,
        access=access,
        users=ask.number("Users who ask at the same time", max(USERS, len(chosen))),
        requests=ask.number("Requests in all", REQUESTS),
        tokens=ask.number("Tokens of each prompt", TOKENS),
        max_tokens=ask.number("Tokens of each answer at most", MAX_TOKENS),
    )
    text = commented(asked, visible(shlex.quote(str(file))), prices_of(found, place, chosen))
    check(file, text, access.key_env)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    click.echo(f"Scenario: {visible(str(file))}\nNext:\n{next_commands(file, access.key_env)}")


def checked_place(place: str) -> str:
    """The target, with nothing secret in it. Raises Wrong."""
    from bench.plan.addresses import shown

    if shown(place) != place:
        raise Wrong(f"{shown(place)} has a secret in it; a file must not have it: put it into the environment")
    return place


def checked_access(ask: Asker, place: str, given: Access) -> Access:
    """The credentials; asks for the key's variable if no option says where the key is. The variable need not be set
    yet. Raises Wrong."""
    if given.key_env is None and given.key_command is None:
        given = replace(given, key_env=asked_key(ask, place))
    wrong = access_problems(replace(given, key_env=None))
    if given.key_env is not None and not _VARIABLE.fullmatch(given.key_env):
        wrong.append(
            "the key's variable is not a name; the name of an environment variable is expected, not the key itself"
        )
    if wrong:
        raise Wrong("\n".join(wrong))
    return given


def asked_key(ask: Asker, place: str) -> str | None:
    """The variable that holds the key of a server, if it needs one."""
    from bench.plan.addresses import host_of, is_local
    from bench.plan.one_line import EMBEDDED

    if place in EMBEDDED:
        return None
    try:
        host = host_of(place)
    except ValueError:  # a broken address, which gets its message when the models are asked for
        return None
    known = next((name for end, name in KEY_NAMES.items() if host == end or host.endswith(f".{end}")), DEFAULT_KEY)
    if ask.yes:
        return known if os.environ.get(known) else None
    answer = ask.text("Environment variable with the API key; - for none", "-" if is_local(host) else known)
    return None if answer in ("", "-") else answer


def models_of(place: str, access: Access) -> list[ListedModel]:
    """The models that the target lists; empty, with the reason on stderr, if it lists none."""
    import bench.load as load  # first: Locust patches the standard library
    from bench.cli.models import named_target
    from bench.report.words import visible

    key = access.key_env
    if key is not None and not os.environ.get(key):
        tell(f"{key} is not in the environment, so its models are not asked for")
        return []
    target = named_target(place, access, None)
    try:
        load.fetch_keys([target])
        return load.list_models(target)
    except (load.TargetError, load.ListingError, load.KeyCommandError) as error:
        tell(visible(str(error)))
        return []


def asked_models(ask: Asker, found: Sequence[ListedModel]) -> tuple[str, ...]:
    """The models to test. Raises Wrong if the list has no default and nobody is asked."""
    from bench.analysis.numerals import counted
    from bench.report.words import shortened

    names = [str(model["id"]) for model in found]
    if ask.yes and default_model(found) is None:
        listed = (
            f"{counted(len(names), 'models', 'are')} listed, without prices to choose by"
            if names
            else "no model is known"
        )
        raise Wrong(f"{listed}; --model M names one")
    if not ask.yes:
        show(found)
    answer = ask.text("Models to test, with a comma between them", default_model(found))
    chosen = tuple(dict.fromkeys(part.strip() for part in answer.split(",") if part.strip()))
    for name in chosen:
        if names and name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            tell(f"warning: {shortened(name)} is not in the server's list{hint}")
    return chosen


def show(found: Sequence[ListedModel]) -> None:
    """The first models of a list, with their prices, on stderr."""
    from bench.report.words import shortened

    for model in found[:SHOWN]:
        tell(f"  {shortened(str(model['id']))}{price_text(model)}")
    if len(found) > SHOWN:
        tell(f"  … and {len(found) - SHOWN} more: bench models lists all")


def price_text(model: ListedModel) -> str:
    """The price of a model's tokens, for a list; empty if the server does not state it."""
    if model["input"] is None or model["output"] is None:
        return ""
    return f"  ${model['input']:.4g} in, ${model['output']:.4g} out per million tokens"


def default_model(found: Sequence[ListedModel]) -> str | None:
    """The only model, one that comes with the tool, or the cheapest; None if there is no such model."""
    names = [str(model["id"]) for model in found]
    if favourite := next((name for name in FAVOURITES.values() if name in names), None):
        return favourite
    if len(names) == 1:
        return names[0]
    prices = {
        model["id"]: model["input"] + model["output"]
        for model in found
        if model["input"] is not None and model["output"] is not None
    }
    return min(prices, key=prices.__getitem__, default=None)


def prices_of(found: Sequence[ListedModel], place: str, chosen: Sequence[str]) -> str:
    """The prices part of the scenario: what the target's list says of the chosen models; empty if it says nothing."""
    from bench.plan.addresses import host_of
    from bench.plan.one_line import EMBEDDED
    from bench.report.models import prices_text
    from bench.targets.models import PRICES

    listed = [model for model in found if model["id"] in chosen]
    if not any(model["input"] is not None for model in listed):
        return ""
    source = place if place in EMBEDDED else host_of(place)
    return prices_text(listed, PRICES, source=f"{source}, {datetime.now(UTC):%Y-%m-%d}")


def check(file: Path, text: str, key: str | None) -> None:
    """Read it as bench plan will, once the key is there. Raises Mistakes."""
    from bench.cli.scenario import read_scenario
    from bench.plan.document import Given

    later = {} if key is None else {key: os.environ.get(key) or "the key of this variable"}
    read_scenario(file, None, (), given=Given(text, {}), environ={**os.environ, **later})


def next_commands(file: Path, key: str | None) -> str:
    """The next commands to type."""
    from bench.report.words import visible

    export = [f"  export {key}=…"] if key is not None and not os.environ.get(key) else []
    name = visible(shlex.quote(str(file)))
    lines = [f"  bench plan {name}    # what it would send and cost; sends nothing", f"  bench run {name}"]
    return "\n".join([*export, *lines])
