"""`bench run`: a scenario becomes load, records, a report and an exit code."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.one_line import Options, one_line_options, read_any
from bench.cli.options import format_option, overrides, processes_option, scenario_argument, target_option
from bench.cli.problems import Unusable, Wrong, describe, ending, reported
from bench.cli.results import conclude, print_report
from bench.cli.streams import tell

if TYPE_CHECKING:
    from bench.load import Question
    from bench.plan import Draw, Scenario
    from bench.report.live import Live, Loudness


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of `bench run`, without those that stand for a scenario."""

    parent: Path  # --out
    name: str | None
    form: str  # --format
    quiet: bool
    verbose: bool
    opened: bool  # --open
    processes: int | None
    keep_bodies: str | None
    repeat: Path | None
    no_fit: bool
    keep_going: bool
    no_report: bool
    yes: bool
    settings: tuple[str, ...]  # --set

    def check(self) -> None:
        """Whether the options go together, all mistakes at once. Raises Wrong."""
        wrong = []
        if self.name is not None and (self.name in ("", ".", "..") or "/" in self.name or "\0" in self.name):
            wrong.append(
                f"--name: got {self.name!r}; the name of a folder is expected, and --out says where it is made"
            )
        if self.quiet and self.verbose:
            wrong.append("got --quiet and --verbose; only one is expected")
        if self.opened and self.no_report:
            wrong.append("got --open and --no-report; without a report there is no page to show")
        if wrong:
            raise Wrong("\n".join(wrong))

    def all_settings(self) -> tuple[str, ...]:
        """The settings of the scenario: those of --set, then those of options with a name of their own."""
        settings = self.settings
        if self.keep_bodies is not None:
            settings = (*settings, f"keep_bodies={self.keep_bodies}")
        if self.processes is not None:
            settings = (*settings, f"load.processes={self.processes}")
        if self.no_fit:
            settings = (*settings, "fit=false")
        return settings

    @property
    def loudness(self) -> Loudness:
        return "quiet" if self.quiet else "verbose" if self.verbose else "usual"


@click.command(name="run")
@scenario_argument
@one_line_options
@target_option
@click.option("--out", "parent", type=click.Path(path_type=Path), default=Path("reports"), show_default=True,
              metavar="DIR", help="Where the run's folder is made.")  # fmt: skip
@click.option("--name", metavar="NAME", help="The folder's name; default: the scenario's, with the time.")
@format_option("text", "markdown", "json", meaning="Form of the report on stdout; json: the figures, as one document.")
@click.option("-q", "--quiet", is_flag=True, help="No progress; of a report in text only the first lines.")
@click.option("-v", "--verbose", is_flag=True, help="Say when each stage begins, and where files are written.")
@click.option("--open", "opened", is_flag=True, help="Show the report in a browser at the end.")
@processes_option
@click.option("--keep-bodies", type=click.Choice(["failed", "all", "none"]),
              help="Which requests and answers to keep as text, secrets removed; default: none.")  # fmt: skip
@click.option("--repeat", type=click.Path(path_type=Path), metavar="RUN",
              help="Send the requests of that run again, byte for byte, nonces included.")  # fmt: skip
@click.option("--no-fit", is_flag=True,
              help="Do not ask first how the target counts tokens; prompt lengths are then estimates.")  # fmt: skip
@click.option("--keep-going", is_flag=True, help="Go on even if the first requests are all refused.")
@click.option("--no-report", is_flag=True,
              help="Print the figures, make no page and no pictures; bench report makes them later.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask for confirmation before a run that may use up its whole budget.")
@overrides
@reported
def command(scenario_file: Path, one_line: Options, target: str | None, **given: Any) -> None:
    """Send a load, measure it and report.

    SCENARIO is a file; or a URL, simulator or llama.cpp: then the options from --model to --client-key say what is
    asked. Results go to stdout, progress and warnings to stderr. Ctrl-C ends the load early and still reports;
    a second Ctrl-C does not wait for open answers.

    \b
      bench run simulator --model sim/fast
      bench run https://api.example.com/v1 --model M --key-env EXAMPLE_API_KEY
      bench run chat.yaml --set load.users=50

    \b
    Exit codes: 0 pass · 1 a threshold failed · 2 the scenario or the command line is wrong ·
    3 inconclusive, or the measurement is invalid
    """
    options = RunOptions(**given)
    options.check()
    scenario, source = read(scenario_file, one_line, target, options)
    draw = new_draw(scenario) if options.repeat is None else same_draw(scenario, options.repeat)
    build_every_request(scenario, source, draw)
    if not options.yes:
        confirm(scenario)
    fetch_keys(scenario)
    folder = folder_for(options.parent, options.name, scenario)
    if options.verbose:
        tell(f"folder: {folder}; seed: {draw.seed}")
    import bench.load as load  # not before, so that mistakes are told at once
    from bench.analysis.certificate import kept_certificate

    with experiment(scenario, folder, draw, options.loudness) as live:
        load.run_load(
            scenario,
            folder,
            question(scenario, draw),
            draw=draw,
            source=str(source),
            observer=live,
            certificate=kept_certificate(),
            keep_going=options.keep_going,
        )
    drawn = not options.no_report
    sys.exit(report(folder, scenario.kind, form=options.form, quiet=options.quiet, drawn=drawn, opened=options.opened))


def read(file: Path, one_line: Options, target: str | None, options: RunOptions) -> tuple[Scenario, Path]:
    """The scenario, and the file that it comes from; prints its warnings. Raises Mistakes, Wrong."""
    from bench.plan import warnings

    scenario, source = read_any(file, one_line, target, options.all_settings(), shown=not options.quiet)
    for warning in warnings(scenario):
        tell(f"warning: {warning}")
    return scenario, source


def folder_for(parent: Path, name: str | None, scenario: Scenario) -> Path:
    """A new folder for the run. Raises Wrong if the named folder is not empty."""
    import bench.load as load

    if name is None:
        return load.new_folder(parent, scenario.name, datetime.now(UTC))
    try:
        return load.named_folder(parent, name)
    except FileExistsError as error:
        raise Wrong(f"--name: {error}; nothing is written over: choose another name, or remove it") from None


def confirm(scenario: Scenario) -> None:
    """Ask before a question whose number of requests depends on the answers is sent to somebody else's server. Raises
    Wrong if the answer is no, or if nobody can be asked."""
    from bench.plan.inquiry import Inquiry

    if not isinstance(scenario, Inquiry) or not scenario.strangers or scenario.budget is None:
        return
    told = f"kind {scenario.kind} asks {', '.join(scenario.strangers)} and may cost {scenario.budget.in_words}"
    if not sys.stdin.isatty():
        raise Wrong(f"{told}; add --yes if that is meant")
    if not click.confirm(f"{told}. Go on?", err=True):
        raise Wrong("nothing was sent")


def new_draw(scenario: Scenario) -> Draw:
    """The draw of a new run: the scenario's seed, or a random one, and new nonces."""
    from bench.plan import Draw

    seed = secrets.randbelow(2**31) if scenario.seed is None else scenario.seed
    return Draw(seed, nonce_seed=secrets.randbelow(2**52))


def same_draw(scenario: Scenario, run: Path) -> Draw:
    """The draw of an earlier run. Raises Wrong."""
    from bench.plan import NotRepeatableError, draw_of

    try:
        return draw_of(run, scenario)
    except NotRepeatableError as error:
        raise Wrong(f"--repeat: {error}") from None


def build_every_request(scenario: Scenario, file: Path, draw: Draw) -> None:
    """Find requests that cannot be built, before a folder is made or anything is sent. Raises Mistakes, Wrong."""
    import bench.load as load

    try:
        load.rehearse(scenario, str(file), draw.seed)
    except load.UnknownApiError as error:
        raise Wrong(str(error)) from None


def fetch_keys(scenario: Scenario) -> None:
    """Run the commands that print the keys of the scenario's targets. Raises Wrong."""
    import bench.load as load

    try:
        with ending("the command for the key had not ended, and nothing was sent"):
            load.fetch_keys(load.targets_of(scenario))
    except load.KeyCommandError as error:
        raise Wrong(str(error)) from None


def question(scenario: Scenario, draw: Draw) -> Question:
    """The question of the scenario, as steps."""
    import bench.load as load
    from bench.experiments import fit, steps_of

    learn = fit.steps(scenario, seed=draw.seed, nonce_seed=draw.nonce_seed)
    return load.Question(learn, steps_of(scenario.model_copy(update={"seed": draw.seed})))


@contextmanager
def experiment(scenario: Scenario, folder: Path, draw: Draw, loudness: Loudness = "usual") -> Iterator[Live]:
    """The time from an experiment's first request to its last: announces the requests of a fit, and yields the observer
    that shows progress. If the experiment ends early, the message says what is kept. Raises Unusable."""
    import bench.load as load
    from bench.experiments import fit
    from bench.plan.steps import StepsError
    from bench.report.live import Live

    try:
        with ending(f"the run ended early; {folder} holds what there is"), Live(sys.stderr, loudness) as live:
            if draw.learned is None and (told := fit.announcement(scenario)) is not None:
                live.note(told)
            yield live
    except (load.NoRoomError, load.TargetError) as error:
        raise Unusable(str(error)) from None
    except (StepsError, load.MishapError) as error:
        kept = f"its records so far are kept: bench report {folder}"
        report = " Please report this mistake." if isinstance(error, load.MishapError) else ""
        raise Unusable(f"{error}\nThe run was ended; {kept}.{report}") from None
    except OSError as error:
        from bench.analysis.numerals import counted

        if not folder.exists():
            raise Unusable(f"{folder} was removed while the run wrote to it: nothing is kept; run again") from None
        kept = f"{counted(load.kept(folder), 'records', 'are')} kept in {folder}"
        raise Unusable(f"{describe(error)}\n{kept}; bench report {folder} says what they show") from None


def report(
    folder: Path, kind: str, *, form: str = "text", quiet: bool = False, drawn: bool, opened: bool = False
) -> int:
    """Print the run's report in this form, of a text only the first lines if `quiet`; if `drawn`, write it to the
    folder; if `opened`, show it in a browser. Returns the exit code. Raises Unusable."""
    from bench.analysis import NotARunError, exit_code, open_run

    try:
        with ending(f"the report was not finished; bench report {folder} makes it"):
            run = open_run(folder)
            conclusion = conclude(run, kind)
            made = print_report(run, conclusion, "brief" if quiet and form == "text" else form, drawn=drawn)
    except NotARunError as error:
        raise Unusable(str(error)) from None
    except OSError as error:
        raise Unusable(f"{describe(error)}; then bench report {folder} makes the report") from None
    if not quiet:
        tell(f"{'Report' if drawn else 'Figures'}: {made}")
    if opened and click.launch(made.resolve().as_uri()):
        tell(f"warning: no browser could be started; open {made} yourself")
    return exit_code(run.summary, conclusion.verdict)
