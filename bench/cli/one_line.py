"""A scenario without a file, made from the options of the command line."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.problems import Wrong, check_place
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.plan import Scenario
    from bench.plan.one_line import Access, OneLine

ACCESS = ("key_env", "key_command", "key_header", "query", "client_cert", "client_key")
NAMES = (
    "models", "users", "rate", "requests", "duration", "prompt", "tokens", "tokenizer", "max_tokens", "no_stream",
    "save",
)  # fmt: skip
DEFAULT_KEY = "BENCH_API_KEY"  # variable with the key of a target whose provider is not known
_ADDRESS = re.compile(r"https?:", re.IGNORECASE)
_NO_SCHEME = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+|\[[0-9a-f:]+\])(:[0-9]+(/.*)?|/.*)", re.IGNORECASE)
"""Host and port, or host and path, as people type them."""
_FILE = re.compile(r"\.(ya?ml|json)$", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Options:
    """The options as they were given."""

    models: tuple[str, ...]
    users: int | None
    rate: float | None
    requests: int | None
    duration: str | None
    prompt: str | None
    tokens: int | None
    max_tokens: int | None
    no_stream: bool
    access: Access
    save: Path | None
    tokenizer: str | None = None

    def asked(self, place: Path, target: str | None, settings: tuple[str, ...]) -> OneLine | None:
        """What the options ask of a target; None if `place` is a scenario file. Raises Wrong."""
        from bench.plan.one_line import OneLine

        given = self.given()
        words = address(place)
        if not place.exists() and not self.models and lacks_scheme(words):
            raise Wrong(f"{place_of(words)}: a file, or a URL with http:// or https:// before it, is expected")
        if place.exists() or not (given or is_address(words)):
            if given:
                raise Wrong(f"{', '.join(given)}: only for a URL in place of a file; {place} is a file, use --set")
            return None
        if target is not None:
            raise Wrong(f"got {place_of(words)} and --target; the first one is the target already, leave --target out")
        if not self.models:
            raise Wrong(f"--model is missing; bench models {place_of(words)} lists what there is")
        self.check()
        return OneLine(
            target=words,
            models=self.models,
            users=self.users,
            rate=self.rate,
            requests=self.requests,
            duration=self.duration,
            prompt=self.prompt,
            tokens=self.tokens,
            max_tokens=self.max_tokens,
            tokenizer=self.tokenizer,
            stream=not self.no_stream,
            access=self.access,
            settings=settings,
        )

    def given(self) -> list[str]:
        """The names of the options that were given."""
        values = {name: getattr(self, name) for name in NAMES} | asdict(self.access)
        spelled = {"models": "model"}
        return [
            f"--{spelled.get(name, name).replace('_', '-')}"
            for name, value in values.items()
            if value not in (None, (), False)
        ]

    def check(self) -> None:
        """Whether the options go together, all mistakes at once. Raises Wrong."""
        wrong = []
        if self.users is not None and self.rate is not None:
            wrong.append("got --users (a closed loop) and --rate (an open one); only one is expected")
        if self.prompt is not None and self.tokens is not None:
            wrong.append("got --prompt and --tokens; the text, or how many tokens of synthetic text, is expected")
        wrong += access_problems(self.access)
        if self.tokenizer is not None and self.prompt is not None:
            wrong.append("got --prompt and --tokenizer; a tokenizer is for synthetic text, whose length is --tokens")
        if self.save is not None and self.save.exists():
            wrong.append(f"--save: there is a {self.save} already; choose another name")
        if wrong:
            raise Wrong("\n".join(wrong))
        check_place("--save", self.save)


def access_problems(access: Access) -> list[str]:
    """What is wrong with the credentials in the options."""
    from bench.plan.credentials import parameter_problem

    wrong = []
    if access.key_env is not None and access.key_command is not None:
        wrong.append("got --key-env and --key-command; the key comes from one of them")
    if access.key_env is not None and not _VARIABLE.fullmatch(access.key_env):
        wrong.append("--key-env is not a name; the name of an environment variable is expected, not the key itself")
    elif access.key_env is not None and not os.environ.get(access.key_env):
        wrong.append("--key-env: the environment has no variable of that name; export it, and give its name")
    if any("=" not in one for one in access.query):
        wrong.append("--query: got no = in it; NAME=VALUE is expected, such as --query api-version=2024-10-21")
    names = (one.partition("=")[0] for one in access.query if "=" in one)
    wrong += [f"--query: {problem}" for problem in map(parameter_problem, names) if problem is not None]
    if access.client_key is not None and access.client_cert is None:
        wrong.append("got --client-key without --client-cert; the certificate is expected beside its key")
    return wrong


def access_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The options with the credentials for a target; the verb gets them as one value, `access`."""

    @functools.wraps(verb)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        from bench.plan.one_line import Access

        verb(*args, access=Access(**{name: kwargs.pop(name) for name in ACCESS}), **kwargs)

    options = (
        click.option("--key-env", "--key-from", "key_env", metavar="NAME",
                     help="Environment variable with the API key."),
        click.option("--key-command", metavar="COMMAND",
                     help="Or the command that prints the key; run without a shell, again every 10 minutes."),
        click.option("--key-header", metavar="NAME",
                     help="Header that holds the key, such as api-key; default: Authorization, as Bearer."),
        click.option("--query", multiple=True, metavar="NAME=VALUE",
                     help="Query parameter of every request, such as api-version=2024-10-21. Repeatable."),
        click.option("--client-cert", metavar="FILE", help="PEM file with our own certificate."),
        click.option("--client-key", metavar="FILE", help="PEM file with its private key; default: the same file."),
    )  # fmt: skip
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def one_line_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The options for a URL in place of a file; the verb gets them as one value, `one_line`."""

    @functools.wraps(verb)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        chosen = Options(access=kwargs.pop("access"), **{name: kwargs.pop(name) for name in NAMES})
        verb(*args, one_line=chosen, **kwargs)

    taking = access_options(wrapped)
    options = (
        click.option("--model", "models", multiple=True, metavar="M",
                     help="Without a file: the model to ask. Repeatable; users and rate are for all models together."),
        click.option("--users", type=int, metavar="N", help="Number of users who wait for answers; default: 5."),
        click.option("--rate", type=float, metavar="R", help="Or requests per second, sent without waiting."),
        click.option("--requests", type=int, metavar="N", help="End after N requests; default: 100."),
        click.option("--duration", metavar="TIME", help="Or end after a time, such as 30s."),
        click.option("--prompt", metavar="TEXT", help="The text to send."),
        click.option("--tokens", type=int, metavar="N", help="Or synthetic text, new each time; default: 300 tokens."),
        click.option("--tokenizer", metavar="FILE",
                     help="The models' tokenizer.json: with it synthetic text has exactly this many tokens."),
        click.option("--max-tokens", type=int, metavar="N", help="Longest answer; default: 200 tokens."),
        click.option("--no-stream", is_flag=True, help="Ask for whole answers, not streams."),
        click.option("--save", type=click.Path(path_type=Path), metavar="FILE",
                     help="Save the scenario that these options stand for to a file."),
    )  # fmt: skip
    for option in reversed(options):
        taking = option(taking)
    return taking


def read_any(
    place: Path, options: Options, target: str | None, settings: tuple[str, ...], *, shown: bool
) -> tuple[Scenario, Path]:
    """The scenario of a file, or of a URL with options, and the file that it comes from. Raises Mistakes, Wrong."""
    from bench.cli.scenario import read_scenario

    asked = options.asked(place, target, settings)
    if asked is None:
        return read_scenario(place, target, settings), place
    return read_one_line(asked, options.save, shown=shown), asked.path


def read_one_line(asked: OneLine, save: Path | None, *, shown: bool = True) -> Scenario:
    """The scenario of the options; printed to stderr if `shown`, and saved to a file. Raises Mistakes, Wrong."""
    from bench.cli.scenario import read_scenario
    from bench.plan.one_line import given, stands_for
    from bench.report.words import visible

    scenario = read_scenario(asked.path, None, asked.settings, given=given(asked))
    text, incomplete = stands_for(asked, scenario)
    if save is not None and incomplete:
        raise Wrong("--save: the command line has a secret; put it into the environment, and write ${NAME} instead")
    if shown:
        tell(visible(text, keep="\n"))
    if save is not None:
        save.write_text(stands_for(asked, scenario, save.parent)[0], "utf-8")
        if shown:
            tell(f"Scenario: {save}")
    return scenario


def address(place: Path) -> str:
    """The text that was typed; a Path has lost the second slash of https://."""
    return re.sub(r"^([a-z][a-z0-9+.-]*):/(?!/)", r"\1://", str(place), flags=re.IGNORECASE)


def is_address(words: str) -> bool:
    from bench.plan.one_line import EMBEDDED

    return words in EMBEDDED or _ADDRESS.match(words) is not None


def lacks_scheme(words: str) -> bool:
    """Whether the words are probably a URL of which only http:// is missing."""
    return _NO_SCHEME.fullmatch(words) is not None and _FILE.search(words) is None


def place_of(words: str) -> str:
    """An address without its secrets."""
    from bench.plan.addresses import shown

    return shown(words)
