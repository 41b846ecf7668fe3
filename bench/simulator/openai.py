"""OpenAI's chat completions and completions, with Novita's form of errors."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bench.simulator.answers import Words
from bench.simulator.exchange import Exchange
from bench.simulator.faults import Faults
from bench.simulator.generation import Generation, Generator, send_answer
from bench.simulator.requests import parse, prompts_of
from bench.simulator.streams import Frame
from bench.simulator.tokens import quoted

LOGPROB = -0.105  # of every simulated token: a probability of 0.9


async def generate(generator: Generator, exchange: Exchange, body: bytes, *, chat: bool) -> None:
    """Answer one request with the timing of its model and with its faults."""
    params = parse(body, chat=chat)
    async with generator.admitted(exchange, params, "chat" if chat else "completions") as slot:
        if slot is None:
            return
        engine, faults = slot
        generation = generator.generation(exchange, params, engine, faults, seed=zlib.crc32(body), chat=chat)
        truth = exchange.truth()
        if params.get("stream"):
            with_usage = bool((params.get("stream_options") or {}).get("include_usage")) and "no_usage" not in faults
            sent = await generator.stream(exchange, frames(generation, with_usage, faults), truth, faults)
            generation.note(truth, sent=sent)
        else:
            answer = completion(generation)
            if "no_usage" in faults:
                del answer["usage"]
            await send_answer(exchange, answer, generation, truth, faults)


def completion(generation: Generation) -> dict[str, Any]:
    """The answer as one object."""
    choices = [choice_of(generation, number) for number in range(len(generation.answers))]
    return head_of(generation, streamed=False) | {"choices": choices, "usage": usage_of(generation)}


def head_of(generation: Generation, *, streamed: bool) -> dict[str, Any]:
    kind = "chat.completion" + (".chunk" if streamed else "") if generation.chat else "text_completion"
    prefix = "chatcmpl-" if generation.chat else "cmpl-"
    identity = {"id": prefix + generation.id, "object": kind}
    return identity | {"created": generation.created, "model": generation.model}


def usage_of(generation: Generation) -> dict[str, Any]:
    usage = {
        "prompt_tokens": generation.prompt,
        "completion_tokens": generation.completion,
        "total_tokens": generation.prompt + generation.completion,
        "completion_tokens_details": {"reasoning_tokens": generation.reasoning},
    }
    stated = generation.stated
    if stated.cached is None:
        return usage
    if generation.cache_style == "deepseek":
        return usage | {
            "prompt_cache_hit_tokens": stated.cached,
            "prompt_cache_miss_tokens": generation.prompt - stated.cached,
        }
    written = {} if stated.written is None else {"cache_write_tokens": stated.written}
    return usage | {"prompt_tokens_details": {"cached_tokens": stated.cached} | written}


def choice_of(generation: Generation, number: int) -> dict[str, Any]:
    """One choice of an answer that does not stream."""
    answer = generation.answers[number]
    words = answer.words[answer.reasoning :]
    choice: dict[str, Any] = {"index": number, "finish_reason": answer.finish}
    logprobs = logprobs_of(generation, words)
    if not generation.chat:
        prompt = prompts_of(generation.params)[number // (generation.params.get("n") or 1)]
        echoed = prompt if generation.params.get("echo") and isinstance(prompt, str) else ""
        return choice | {"text": echoed + "".join(words), "logprobs": logprobs}
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words)}
    if answer.call is not None and words:
        function = {"name": answer.call, "arguments": "".join(words[1:])}
        message |= {"content": None, "tool_calls": [call_of(generation, number, function)]}
    if reasoning := "".join(answer.words[: answer.reasoning]):
        message |= thoughts(generation.style, reasoning, message["content"])
    return choice | {"message": message, "logprobs": logprobs}


def call_of(generation: Generation, number: int, function: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "id": f"call_{generation.id}_{number}", "type": "function", "function": function}


def thoughts(style: str, text: str, content: str | None) -> dict[str, Any]:
    """The reasoning in the member that the model uses."""
    if style == "think":
        return {"content": f"<think>{text}</think>{content or ''}"}
    if style == "reasoning_details":
        return {"reasoning_details": [detail(text)]}
    return {style: text}


def detail(text: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": text, "id": "reasoning-text-1", "index": 0}


def logprobs_of(generation: Generation, words: list[str]) -> dict[str, Any] | None:
    """The log probabilities of tokens; None if the request does not ask for them."""
    params = generation.params
    if not params.get("logprobs"):
        return None
    if generation.chat:
        top = [{"token": "the", "logprob": LOGPROB, "bytes": None}] * (params.get("top_logprobs") or 0)
        each = [
            {"token": word, "logprob": LOGPROB, "bytes": list(word.encode()), "top_logprobs": top} for word in words
        ]
        return {"content": each, "refusal": None}
    offsets = [sum(map(len, words[:number])) for number in range(len(words))]
    tops = [{word: LOGPROB} for word in words]
    return {"tokens": words, "token_logprobs": [LOGPROB] * len(words), "text_offset": offsets, "top_logprobs": tops}


def frames(generation: Generation, with_usage: bool, faults: Faults) -> Iterator[Frame]:
    """The stream's events in order. The last JSON event includes the truth about the stream's timing."""
    chat, answers = generation.chat, generation.answers
    head = head_of(generation, streamed=True)
    chunk = Chunk(generation, head, with_usage)
    options = generation.params.get("stream_options") or {}
    continuous = "usage_every_chunk" in faults or (with_usage and bool(options.get("continuous_usage_stats")))
    per_chunk = fault.size if (fault := faults.get("tokens_per_chunk")) is not None else 1
    if chat:
        due = time.monotonic() if "early_role" in faults or not generation.dues else generation.dues[0]
        for number in range(len(answers)):
            yield Frame(due, chunk.role(number))
    for begin in range(0, len(generation.dues), per_chunk):
        end = min(begin + per_chunk, len(generation.dues))
        usage = None
        if continuous:
            written = sum(min(end, len(answer.words)) for answer in answers)
            usage = usage_of(generation) | {
                "completion_tokens": written,
                "total_tokens": generation.prompt + written,
            }
        for number, answer in enumerate(answers):
            for position, words in parts(answer, begin, end):
                yield Frame(generation.dues[end - 1], chunk.tokens(number, position, words, usage), "token")
    for number, answer in enumerate(answers):
        nothing: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        choice = {"index": number, "finish_reason": answer.finish} | nothing
        last = number == len(answers) - 1 and not with_usage
        yield Frame(generation.ends, payload_of(head | {"choices": [choice]}, truthful=last))
    if with_usage:
        usage_chunk = head | {"choices": [], "usage": usage_of(generation)}
        yield Frame(generation.ends, payload_of(usage_chunk, truthful=True))
    yield Frame(generation.ends, b"[DONE]", "terminator")


class Chunk:
    """Builds a stream's chunks. Plain chunks are joined from bytes that are the same for all of them, which is fast."""

    def __init__(self, generation: Generation, head: dict[str, Any], with_usage: bool) -> None:
        self._generation, self._head, self._with_usage = generation, head, with_usage
        self._start = json.dumps(head).encode()[:-1] + b', "choices": [{"index": %d, '
        self._end = b', "finish_reason": null}]' + (b', "usage": null}' if with_usage else b"}")
        self._plain = b'"delta": {"content": %b}' if generation.chat else b'"text": %b'
        style = generation.style.encode()
        self._thought = b'"delta": {"' + style + b'": %b}' if generation.chat else self._plain
        self._own_words = generation.style in ("reasoning_details", "think")
        self._rich = bool(generation.params.get("logprobs"))

    def role(self, number: int) -> bytes:
        return self._start % number + b'"delta": {"role": "assistant", "content": ""}' + self._end

    def tokens(self, number: int, position: int, words: list[str], usage: dict[str, Any] | None) -> bytes:
        """The chunk of one answer's tokens from this position on; either all of them are reasoning or none."""
        answer = self._generation.answers[number]
        thinking = position < answer.reasoning
        if usage is not None or self._rich or answer.call is not None or (thinking and self._own_words):
            return self._rare(number, position, words, usage)
        text = words[0] if len(words) == 1 else "".join(words)
        return b"%b%b%b" % (
            self._start % number,
            (self._thought if thinking else self._plain) % quoted(text),
            self._end,
        )

    def _rare(self, number: int, position: int, words: list[str], usage: dict[str, Any] | None) -> bytes:
        generation, answer, text = self._generation, self._generation.answers[number], "".join(words)
        choice: dict[str, Any] = {"index": number}
        if not generation.chat:
            choice |= {"text": text}
        elif position < answer.reasoning:
            choice |= {"delta": self._thinking(answer, position, words)}
        elif answer.call is not None:
            choice |= {"delta": {"tool_calls": [self._fragment(number, position - answer.reasoning, words)]}}
        else:
            choice |= {"delta": {"content": text}}
        choice |= {"logprobs": logprobs_of(generation, words), "finish_reason": None}
        stated = {"usage": usage} if self._with_usage or usage is not None else {}
        return json.dumps(self._head | {"choices": [choice]} | stated, ensure_ascii=False).encode()

    def _thinking(self, answer: Words, position: int, words: list[str]) -> dict[str, Any]:
        text = "".join(words)
        if self._generation.style == "reasoning_details":
            return {"reasoning_details": [detail(text)]}
        if self._generation.style != "think":
            return {self._generation.style: text}
        opening = "<think>" if position == 0 else ""
        closing = "</think>" if position + len(words) == answer.reasoning else ""
        return {"content": opening + text + closing}

    def _fragment(self, number: int, position: int, words: list[str]) -> dict[str, Any]:
        """A piece of a tool call: id and name come first, then the arguments."""
        if position == 0:
            return call_of(self._generation, number, {"name": words[0], "arguments": "".join(words[1:])})
        return {"index": 0, "function": {"arguments": "".join(words)}}


def parts(answer: Words, begin: int, end: int) -> Iterator[tuple[int, list[str]]]:
    """An answer's words from begin to end with their position: those of the reasoning first, then the others."""
    edge = min(max(answer.reasoning, begin), end)
    if begin < edge and (words := answer.words[begin:edge]):
        yield begin, words
    if edge < end and (words := answer.words[edge:end]):
        yield edge, words


def payload_of(chunk: dict[str, Any], *, truthful: bool) -> Any:
    """The chunk as bytes, or for a truthful one the function that makes the bytes from the truth."""
    if not truthful:
        return json.dumps(chunk).encode()
    return lambda truth: json.dumps(chunk | {"simulator": asdict(truth)}).encode()
