"""Prompts of an exact length, by tokenizers of several makes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pandas as pd
import pytest
import yaml
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from bench.analysis.doubts import other_lengths
from bench.analysis.facts import Facts
from bench.experiments import fit, read_scenario
from bench.plan import Mistakes, NotRepeatableError, RequestPlan, draw_of
from bench.plan.pairs import PairPlan
from bench.plan.requests import plain_text
from bench.plan.text import known_words
from bench.plan.tokenizer import NONCE_WORDS, lexicon
from tests.conftest import bench

CYRILLIC = [f"{a}{b}{c}" for a in "бвгджз" for b in "аеиоу" for c in "клмнпр"]


def corpus(words):
    rng = random.Random(1)
    return [" ".join(rng.choices(words, k=40)) for _ in range(400)]


def byte_level(words):
    """As those of GPT, Llama 3, Qwen."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(corpus(words), trainers.BpeTrainer(vocab_size=3000, show_progress=False,
                             initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))  # fmt: skip
    return made


def metaspace(words):
    """As those of Llama 2, Mistral, Gemma; it puts a token in front of every text."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        corpus(words), trainers.BpeTrainer(vocab_size=3000, special_tokens=["<unk>", "<s>"], show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return made


def word_piece(words):
    """As those of BERT and models of embeddings; it cuts off what is longer than its model takes, and pads."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(
        corpus(words),
        trainers.WordPieceTrainer(vocab_size=3000, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False),
    )
    made.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    made.enable_truncation(max_length=128)
    made.enable_padding(length=128)
    return made


MAKES = {"byte level": byte_level, "metaspace": metaspace, "word piece": word_piece}


@pytest.fixture(scope="module")
def makes(tmp_path_factory):
    """A file of each make, and of one that knows Cyrillic words only and one that knows no word at all."""
    folder = tmp_path_factory.mktemp("tokenizers")
    for name, make in MAKES.items():
        make(known_words()).save(str(folder / f"{name}.json"))
    byte_level(CYRILLIC).save(str(folder / "cyrillic.json"))
    byte_level(["x"]).save(str(folder / "bytes.json"))
    return folder


def counting(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def scenario(folder, tokenizers, requests, *, kind="load", models=("m",), **more):
    file = folder / "s.yaml"
    plain = {"target": "simulator", "models": list(models), "requests": requests, "tokenizers": tokenizers}
    load = {"load": {"users": len(models), "requests": 3}} if kind == "load" else {"load": {"users": 1}}
    file.write_text(yaml.safe_dump(plain | load | {"kind": kind} | more))
    return file


@pytest.mark.parametrize("make", [*MAKES, "cyrillic"])
@pytest.mark.parametrize(
    ("prompt", "more"),
    [
        ({"tokens": 1}, {}),
        ({"tokens": 300}, {}),
        ({"tokens": 5000}, {}),
        ({"tokens": 300, "nonce": True}, {}),
        ({"tokens": 300, "prefix": {"tokens": 200, "groups": 3}}, {}),
        ({"tokens": 300, "prefix": {"tokens": 200, "groups": 3}, "nonce": True}, {}),
        ({"tokens": 300, "cached": 0.6}, {}),
        ({"tokens": 300}, {"api": "completions"}),
        ({"tokens": 300, "nonce": True}, {"api": "messages", "max_tokens": 5}),
        ({"tokens": 300, "nonce": True}, {"api": "responses"}),
    ],
)
def test_every_prompt_has_exactly_as_many_tokens_as_is_asked(makes, make, prompt, more):
    path = makes / f"{make}.json"
    file = scenario(makes, {"m": path.name}, [{"prompt": prompt} | more])
    plan, count = RequestPlan(read_scenario(file), 7, {}, nonce_seed=3), counting(path)
    texts = [planned.input for planned in (plan.request(0, k) for k in range(40))]
    texts = [text if isinstance(text, str) else plain_text(text[-1]["content"]) for text in texts]
    assert {count(text) for text in texts} == {prompt["tokens"]}
    assert len(set(texts)) == 40 or prompt["tokens"] == 1


def test_a_beginning_is_shared_and_the_nonce_is_new(makes):
    prompt = {"tokens": 100, "prefix": {"tokens": 40}}
    file = scenario(makes, {"m": "byte level.json"}, [{"prompt": prompt | {"nonce": True}}])
    asked = read_scenario(file)
    one, other = (RequestPlan(asked, 7, {}, nonce_seed=seed).request(0, 0).input[0]["content"] for seed in (1, 2))
    assert one.split()[NONCE_WORDS:] == other.split()[NONCE_WORDS:]
    assert one.split()[:NONCE_WORDS] != other.split()[:NONCE_WORDS]
    again = RequestPlan(asked, 7, {}, nonce_seed=1).request(0, 1).input[0]["content"]
    assert again.split()[NONCE_WORDS : NONCE_WORDS + 40] == one.split()[NONCE_WORDS : NONCE_WORDS + 40]


def test_a_system_message_is_beside_the_tokens_that_are_asked(makes):
    file = scenario(makes, {"m": "byte level.json"}, [{"prompt": {"tokens": 50, "nonce": True}, "system": "Be short."}])
    system, user = RequestPlan(read_scenario(file), 7, {}).request(0, 0).input
    count = counting(makes / "byte level.json")
    front = system["content"].removesuffix(" Be short.")
    assert count(front) + count(user["content"]) == 50


def test_turns_embeddings_batches_and_documents_are_exact_too(makes):
    count = counting(makes / "word piece.json")
    requests = [
        {"name": "talk", "prompt": {"tokens": 50}, "conversation": {"turns": 3, "tokens": 20}},
        {"name": "vectors", "api": "embeddings", "prompt": {"tokens": 30}, "inputs": 4},
        {"name": "ranked", "api": "rerank", "prompt": {"tokens": 10}, "documents": {"count": 3, "tokens": 25}},
        {"name": "many", "api": "batch", "prompt": {"tokens": 40}, "requests": 3},
    ]
    plan = RequestPlan(read_scenario(scenario(makes, {"m": "word piece.json"}, requests)), 7, {})
    talk, vectors, ranked, many = (plan.request_of_class(index, 0, 0) for index in range(4))
    assert [count(turn.said[0]["content"]) for turn in talk.later] == [20, 20]
    assert [count(text) for text in vectors.input] == [30] * 4
    assert [count(text) for text in ranked.input["documents"]] == [25] * 3
    assert count(ranked.input["query"]) == 10
    assert [count(messages[0]["content"]) for messages in many.input] == [40] * 3


def test_each_model_has_its_own_tokenizer_and_only_the_others_are_asked_how_they_count(makes):
    tokenizers = {"a": "byte level.json", "b": "cyrillic.json"}
    file = scenario(makes, tokenizers, [{"prompt": {"tokens": 60}}], models=("a", "b", "c"))
    asked = read_scenario(file)
    plan = RequestPlan(asked, 7, {})
    texts = [plan.request(model, 0).input[0]["content"] for model in range(3)]
    assert counting(makes / "byte level.json")(texts[0]) == 60
    assert counting(makes / "cyrillic.json")(texts[1]) == 60
    assert {planned.model for planned in fit.planned(asked)} == {"c"}
    assert "how c counts tokens" in fit.announcement(asked)
    exact = scenario(makes, {"a": "byte level.json"}, [{"prompt": {"tokens": 60}}], models=("a",))
    assert fit.announcement(read_scenario(exact)) is None


def test_the_arms_of_a_comparison_get_the_same_text(makes):
    tokenizers = {"a": "byte level.json", "b": "cyrillic.json"}
    file = scenario(makes, tokenizers, [{"prompt": {"tokens": 60}}], models=("a", "b"), kind="compare")
    asked = read_scenario(file)
    assert [list(arm.tokenizers) for arm in asked.arms.values()] == [["a"], ["b"]]
    pair = PairPlan(asked.arms, tuple(asked.arms), 7, {}, nonce_seed=1).request(0, 0)
    assert pair.input == pair.partners[0].input
    assert counting(makes / "byte level.json")(pair.input[0]["content"]) == 60


@pytest.mark.parametrize(
    ("tokenizers", "requests", "line", "words"),
    [
        ({"m": "gone.json"}, [{"prompt": "Hi"}], 9, "tokenizers.m: gone.json cannot be read: No such file or directory"),
        ({"m": "."}, [{"prompt": "Hi"}], 9, "is a folder; the file tokenizer.json of a model is expected"),
        ({"m": "s.yaml"}, [{"prompt": "Hi"}], 9, "s.yaml is not the tokenizer.json of a model: expected value at line 1"),
        ({"m": "bytes.json"}, [{"prompt": "Hi"}], 9, "of its words are one token each, at least 32 are needed; leave it out"),
        ({"n": "byte level.json"}, [{"prompt": "Hi"}], 9, "tokenizers.n is not a model of this scenario; its models are m"),
        ({"m": 5}, [{"prompt": "Hi"}], 9, "tokenizers.m is 5; text"),
        ("byte level.json", [{"prompt": "Hi"}], 8, "tokenizers is 'byte level.json'; keys and values are expected"),
        ({"m": "byte level.json"}, [{"prompt": {"tokens": 16, "nonce": True}}], 8, "requests.0.prompt.tokens is 16; its beginning and its nonce alone have 16"),
        ({"m": "byte level.json"}, [{"prompt": {"tokens": 40, "prefix": {"tokens": 30}, "nonce": True}}], 9, "alone have 46; ask for more"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_cannot_be_used_is_told_with_its_line(makes, tokenizers, requests, line, words):
    with pytest.raises(Mistakes) as raised:
        read_scenario(scenario(makes, tokenizers, requests))
    told = str(raised.value).replace(f"{makes}/", "")
    assert words in told
    assert told.startswith("s.yaml:"), told


def test_a_damaged_file_is_told_wherever_it_is_damaged(makes, tmp_path):
    whole = (makes / "word piece.json").read_bytes()
    for at in range(0, len(whole), len(whole) // 40):
        for number, data in enumerate((whole[:at], whole[:at] + b"\xff{" + whole[at + 2 :])):
            path = tmp_path / f"{at}-{number}.json"
            path.write_bytes(data)
            with pytest.raises(ValueError, match=r"is not the tokenizer\.json of a model"):
                lexicon(path)


def test_without_the_package_it_is_said_what_to_install(makes):
    code = f"""
import sys
sys.modules["tokenizers"] = None
from pathlib import Path
from bench.plan.tokenizer import lexicon
try:
    lexicon(Path({str(makes / "byte level.json")!r}))
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "this needs a package that is not installed here; run: pip install 'bench-llm[tokenizers]'\n"


def test_a_run_sends_prompts_of_this_length_and_asks_the_server_nothing_before(makes, bench_run, tmp_path):
    (tmp_path / "t.json").write_bytes((makes / "byte level.json").read_bytes())
    done = bench_run(
        requests=[{"prompt": {"tokens": 77, "nonce": True}, "max_tokens": 5}],
        tokenizers={"sim/instant": "t.json"},
        load={"users": 2, "requests": 20},
        keep_bodies="all",
    )
    assert done.passed, done.err
    assert "short requests first" not in done.err
    assert set(done.run.records["stage"]) == {"measure"}
    bodies = [json.loads(line) for path in done.folder.glob("bodies*") for line in path.read_text().splitlines()]
    count = counting(tmp_path / "t.json")
    texts = [json.loads(body["request"])["messages"][0]["content"] for body in bodies]
    assert ([count(text) for text in texts], len(set(texts))) == ([77] * 20, 20)
    assert any("by its tokenizer's file" in doubt for doubt in done.run.summary.doubts), "the simulator has its own"
    again = bench(
        "run", tmp_path / "scenario.yaml", "--out", tmp_path / "again", "--no-report", "--repeat", done.folder
    )
    assert again.returncode in (0, 3), again.stderr
    (tmp_path / "t.json").write_bytes((makes / "metaspace.json").read_bytes())
    with pytest.raises(NotRepeatableError, match=r"the contents of .*t\.json .* have changed"):
        draw_of(done.folder, read_scenario(tmp_path / "scenario.yaml"))


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([300, 300, 300], None),
        ([312, 312, 312], None),  # with a template
        ([312, 313, 312], "m counts 312 to 313 tokens in prompts of chat that have 300 by its tokenizer's file"),
        ([290, 290, 290], "m counts 290 tokens in prompts of chat that have 300"),
        ([None, None, None], None),
    ],
)
def test_a_server_that_counts_other_lengths_is_a_doubt(counts, told):
    chat = {"name": "chat", "prompt": {"tokens": 300}}
    said = {"name": "s", "models": ["m"], "tokenizers": {"m": "t.json"}, "requests": [chat]}
    facts = msgspec.convert({"scenario": said, "started_at": "", "seed": 1}, Facts)
    rows = pd.DataFrame({"outcome": "ok", "turn": 0, "model": "m", "name": "chat", "prompt_tokens": counts})
    found = other_lengths(rows, facts)
    assert [told in one for one in found] == ([] if told is None else [True])


def test_a_line_without_a_file_takes_a_tokenizer_too(makes, tmp_path):
    path = makes / "byte level.json"
    done = bench("run", "simulator", "--model", "sim/instant", "--tokens", "50", "--tokenizer", path, "--requests", "5",
                 "--out", "out", "--no-report", "--save", "s.yaml", cwd=tmp_path)  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    assert yaml.safe_load((tmp_path / "s.yaml").read_text())["tokenizers"] == {"sim/instant": str(path)}
    for options, words in (
        (["--tokenizer", "gone.json"], "--tokenizer: tokenizers.m: gone.json cannot be read"),
        (["--tokenizer", path, "--prompt", "Hi"], "got --prompt and --tokenizer"),
    ):
        wrong = bench("run", "simulator", "--model", "m", *options, cwd=tmp_path)
        assert (wrong.returncode, words in wrong.stderr) == (2, True), wrong.stderr


def test_a_file_is_read_once(makes):
    first = lexicon(makes / "byte level.json")
    assert lexicon(Path(makes / "byte level.json")) is first
