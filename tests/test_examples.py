"""The example scenarios, listed and copied."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from bench.cli import main
from bench.cli.scenario import read_scenario


def examples(*words):
    return CliRunner().invoke(main, ["examples", *map(str, words)])


def test_every_scenario_is_listed_with_its_question():
    lines = examples().stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in Path("scenarios").glob("*.yaml"))
    assert all(len(line.split()) > 4 for line in lines)


def test_an_example_is_copied_with_its_data_and_can_be_read(tmp_path):
    done = examples("data-file", "--to", tmp_path / "new")
    assert done.exit_code == 0, done.stderr
    copied = [Path(line) for line in done.stdout.splitlines()]
    assert copied[0] == tmp_path / "new" / "data-file.yaml"
    assert len(copied) > 1
    assert read_scenario(copied[0], None, ()).requests[0].prompt.file == str(copied[1].resolve())


def test_nothing_is_overwritten_and_an_unknown_name_is_a_mistake(tmp_path):
    (tmp_path / "quickstart.yaml").write_text("mine")
    assert examples("quickstart", "--to", tmp_path).exit_code == 2
    assert (tmp_path / "quickstart.yaml").read_text() == "mine"
    assert "bench examples lists them" in examples("quickstar").stderr
