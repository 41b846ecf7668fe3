"""Prompts from Parquet files: the same rows as in JSON Lines, and what is told of files that are none."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.plan import Mistakes
from bench.plan.datasets import read_dataset
from bench.plan.parquet import ROWS, ParquetError, numbered

USER = {"role": "user", "content": "Hi"}


def written(tmp_path, name="d.parquet", **columns):
    path = tmp_path / name
    pq.write_table(pa.table(columns), path)
    return path


def told_of(path, column="prompt", form=None):
    with pytest.raises(Mistakes) as raised:
        read_dataset(path, form, column)
    return str(raised.value).replace(f"{path.parent}/", "").splitlines()


def told_or_read(path):
    """What is told of a file, or its prompts: a byte of a text may be another and nobody knows."""
    try:
        return read_dataset(path, None, "prompt")
    except Mistakes as mistakes:
        return str(mistakes)


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ROWS_OF_JSON = [
    [{"prompt": "one"}, {"prompt": "zwei"}, {"prompt": "三"}],
    [{"messages": [{"role": "system", "content": "Be short."}, USER]}, {"messages": [USER]}],
    [{"messages": [USER, {"role": "assistant", "tool_calls": [CALL]},
                   {"role": "tool", "content": "5", "tool_call_id": "c"}, USER]}],
    [{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}],
    [{"messages": [USER, {"role": "assistant", "content": "Hello"}, USER | {"delay": 2000}]}],
]  # fmt: skip


@pytest.mark.parametrize("rows", ROWS_OF_JSON)
def test_a_file_has_the_same_prompts_as_json_lines(tmp_path, rows):
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    assert read_dataset(tmp_path / "d.parquet", None, "prompt") == read_dataset(tmp_path / "d.jsonl", None, "prompt")


def test_conversations_are_those_of_sharegpt(tmp_path):
    rows = [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}]
    path = written(tmp_path, conversations=[row["conversations"] for row in rows])
    (tmp_path / "d.json").write_text(json.dumps(rows))
    assert read_dataset(path, None, "prompt") == read_dataset(tmp_path / "d.json", None, "prompt")


def test_a_column_is_named_and_the_others_are_not_read(tmp_path):
    path = written(tmp_path, question=["a", "b"], prompt=["x", None], when=[1, 2])
    assert [one[0]["content"] for one in read_dataset(path, None, "question")] == ["a", "b"]


def test_a_name_without_a_suffix_is_read_as_the_format_says(tmp_path):
    path = written(tmp_path, "data", prompt=["a"])
    assert read_dataset(path, "parquet", "prompt") == [[{"role": "user", "content": "a"}]]


def test_many_rows_come_in_their_order(tmp_path):
    path = written(tmp_path, prompt=[f"prompt {number}" for number in range(5 * ROWS + 3)])
    assert [one[0]["content"] for one in read_dataset(path, None, "prompt")] == [
        f"prompt {number}" for number in range(5 * ROWS + 3)
    ]


@pytest.mark.parametrize(
    ("columns", "column", "words"),
    [
        ({"text": ["a"], "n": [1]}, "prompt", "d.parquet: there is no column prompt, messages, conversations; columns are text, n; column: NAME says"),
        ({"prompt": ["a"]}, "question", "d.parquet: there is no column 'question'; columns are prompt"),
        ({"messages": [[USER]]}, "question", "d.parquet: there is no column 'question'; columns are messages"),
        ({"prompt": ["a", None]}, "prompt", "d.parquet: row 2: its prompt is null"),
        ({"prompt": ["a", ""]}, "prompt", 'd.parquet: row 2: prompt is ""; text or messages are expected'),
        ({"prompt": [5]}, "prompt", "d.parquet: row 1: prompt is 5; text or messages are expected"),
        ({"prompt": [b"a"]}, "prompt", "d.parquet: row 1: prompt is \"b'a'\"; text or messages"),
        ({"messages": [[USER | {"role": "uesr"}]]}, "prompt", "d.parquet: row 1: "),
        ({"messages": [[]]}, "prompt", "d.parquet: row 1: there is no message with the role user"),
        ({"prompt": [[USER], [None]]}, "prompt", "d.parquet: row 2: null is not a message"),
        ({"conversations": ["a"]}, "prompt", "d.parquet: row 1: conversations is missing, a list of {from, value}"),
        ({"prompt": pa.array([], pa.string())}, "prompt", "d.parquet: holds no prompt"),
    ],
)  # fmt: skip
def test_what_is_no_prompt_is_told_with_its_row(tmp_path, columns, column, words):
    [told, *_] = told_of(written(tmp_path, **columns), column)
    assert told.startswith(words), told


def test_of_many_broken_rows_the_first_are_told_and_the_rest_counted(tmp_path):
    told = told_of(written(tmp_path, prompt=[""] * 1000))
    assert len(told) == 21
    assert told[-1] == "d.parquet: 980 more rows are broken"


def test_a_damaged_file_is_told_wherever_it_is_damaged(tmp_path):
    whole = written(tmp_path, prompt=[f"prompt {number} " * 20 for number in range(200)]).read_bytes()
    good = read_dataset(tmp_path / "d.parquet", None, "prompt")
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        for data in (whole[:at], whole[:at] + b"\xff" * 8 + whole[at + 8 :]):
            path = tmp_path / "broken.parquet"
            path.write_bytes(data)
            told = told_or_read(path)
            assert len(told) == len(good) if isinstance(told, list) else told.startswith(str(path))


def test_what_is_no_parquet_file_is_told(tmp_path):
    path = tmp_path / "d.parquet"
    path.write_text('{"prompt": "a"}\n')
    [told] = told_of(path)
    assert told.startswith("d.parquet: is not a sound Parquet file: ")


def test_more_than_can_be_kept_is_refused_before_it_is_unpacked():
    batch = pa.RecordBatch.from_pylist([{"prompt": "x" * 600_000}])
    rows = numbered([batch, batch], most=1_000_000)
    assert next(rows)[0] == 1
    with pytest.raises(ParquetError, match="has more than 1 MB of prompts, and all of them stay in memory; take fewer"):
        next(rows)


def test_without_the_package_it_is_said_what_to_install(tmp_path):
    path = written(tmp_path, prompt=["a"])
    code = f"""
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from bench.plan import Mistakes
from bench.plan.datasets import read_dataset
try:
    read_dataset(Path({str(path)!r}), None, "prompt")
except Mistakes as mistakes:
    print(mistakes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = "Parquet needs a package that is not installed here; run: pip install 'bench-llm[parquet]'"
    assert done.stdout == f"{path}: {told}\n"


def test_without_a_parquet_file_the_package_is_not_imported(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"prompt": "a"}')
    code = f"""
import sys
from pathlib import Path
from bench.plan.datasets import read_dataset
read_dataset(Path({str(tmp_path / "d.jsonl")!r}), None, "prompt")
print("pyarrow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_run_is_made_of_a_file_by_several_processes(tmp_path, bench_run):
    written(tmp_path, prompt=[f"What is {number} + {number}?" for number in range(40)])
    done = bench_run(
        requests=[{"prompt": {"file": "d.parquet"}, "max_tokens": 5}],
        load={"users": 2, "requests": 40, "processes": 2},
    )
    assert done.passed, done.err
    assert len(done.requests) == 40
