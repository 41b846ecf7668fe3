"""The requests of a run. Each is a pure function of the seed and its number, so the same seed gives the same bytes,
except for the nonces. Nonces have their own seed, which is new in every run: otherwise the server's prompt cache would
know the prompts of a second run.

Every model gets the same sequence: the k-th request has the same class and the same prompt for all models, so that the
comparison is fair. Synthetic prompts differ in length only if the tokenizers differ.
"""

from __future__ import annotations

import mimetypes
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.plan.classes import Job, Poll, Request
from bench.plan.conversation import Conversation, Messages, Turn, delay_of, script_of, without_answers, without_delays
from bench.plan.datasets import read_dataset
from bench.plan.images import base64_of, synthetic_image
from bench.plan.media import Img2Img, Media, Txt2Video
from bench.plan.mix import Batch, Documents, Embeddings, Other, Rerank, Responses, Talking, second_turn
from bench.plan.mix import Messages as AnthropicMessages
from bench.plan.prompt import ImageSource, Prompt
from bench.plan.scenario import Scenario
from bench.plan.schemas import Schema
from bench.plan.text import Fit
from bench.plan.tokenizer import Lexicon, lexicon
from bench.plan.values import JsonObject

Fits = Mapping[tuple[str, str], Fit]
"""How tokens are counted, by model and API: the chat API adds a template, completions do not."""

Writer = Fit | Lexicon
"""Makes texts of a given number of tokens: as a server counts them, or by a tokenizer file."""
DEFAULT_FIT = Fit()
COUNTING = frozenset({"chat", "completions", "messages", "responses", "embeddings"})
"""APIs that return the number of a prompt's tokens."""
CONVERSING = frozenset({"chat", "messages", "responses"})
"""APIs whose input is a conversation. For the others, the input is made of the conversation's texts."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The schemas that an answer is checked against."""

    schema: Schema | None = None  # of its text; None: any text is valid
    tools: Mapping[str, Schema] | None = None  # of each tool's arguments; None: no tools


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned request, before its body is made."""

    seq: int  # position in the stage, from 0
    k: int  # position in its model's sequence, from 0
    name: str  # of its class
    model: str
    api: str
    stream: bool
    input: Any  # what the API makes the body of: messages, a text, texts, a query with documents
    parameters: JsonObject
    extra_body: JsonObject
    expected: Expected | None = None  # None: the answer is not checked
    tool_results: Mapping[str, str] | None = None  # by tool; None: no turn follows a tool call
    conversation: int | None = None  # the seq of its first turn; None: it is not part of a conversation
    turn: int = 0  # position in its conversation, from 0
    later: tuple[Turn, ...] = ()  # the user's later turns
    own_answers: bool = True  # True: later turns repeat the model's answers; False: recorded ones
    think: float = 0.0  # time between the end of the previous answer and this turn, s
    results_of: Planned | None = None  # the turn whose tool calls this one answers; None: a user's turn
    poll: Poll | None = None  # how to wait for a job
    webhook: bool = False  # True: a job's result comes by webhook
    arm: str | None = None  # the arm of the scenario; None: the scenario itself
    pair: int | None = None  # in a comparison: the same number for requests that are compared with each other
    partners: tuple[Planned, ...] = ()  # the other requests of its pair, in the order in which they are sent after it


class RequestPlan:
    """All requests of one stage. Raises Mistakes if a data file is broken."""

    def __init__(self, scenario: Scenario, seed: int, fits: Fits, *, nonce_seed: int = 0) -> None:
        """`nonce_seed` is the seed of the nonces; it matters only if a server sees them."""
        self._models, self._mix, self._seed, self._fits = scenario.models, scenario.requests, seed, fits
        self._nonce_seed, self._new_prompts = nonce_seed, scenario.new_prompts
        self._lexicons = {model: lexicon(Path(file)) for model, file in scenario.tokenizers.items()}
        self._weights = list(accumulate(request.weight for request in scenario.requests))
        self._parameters = [sent_parameters(request, scenario) for request in scenario.requests]
        self._expected = [expected(request) for request in scenario.requests]
        self._data = [
            read_dataset(Path(prompt.file), prompt.format, prompt.column) if prompt and prompt.file else []
            for prompt in (request.prompt for request in scenario.requests)
        ]
        for request in scenario.requests:  # made before the load begins, not while it runs
            for source in image_sources(request):
                for number in range(source.distinct if source.size else 0):
                    synthetic_image(f"{number}", *source.pixels)

    def request(self, model: int, k: int) -> Planned:
        """The k-th request of a model, both from 0."""
        rng = random.Random(f"{self._seed}:{k}")
        return self._planned(rng.choices(range(len(self._mix)), cum_weights=self._weights)[0], model, k, rng)

    def request_of_class(self, index: int, model: int, k: int) -> Planned:
        """The k-th request of a model, as if it were of this class."""
        return self._planned(index, model, k, random.Random(f"{self._seed}:{k}"))

    def rows(self, index: int) -> Iterator[tuple[int, Planned]]:
        """Requests of this class that hold every row of its data file, each with its row, from 1 (of several rows in
        one request the first); nothing if it has no file."""
        request, data = self._mix[index], self._data[index]
        several = request.inputs if isinstance(request, Embeddings) else 1
        several = request.requests if isinstance(request, Batch) else several
        for k in range(-(-len(data) // several)):
            yield self._order(index, 0)[k * several] + 1, last_turn(self.request_of_class(index, 0, k))

    def _planned(self, index: int, model: int, k: int, rng: random.Random) -> Planned:
        request = self._mix[index]
        writer = self._writer(request, self._models[model])
        seq = k * len(self._models) + model
        asked, tool_results = conversation_of(request), getattr(request, "tool_results", None)
        return Planned(
            seq=seq,
            k=k,
            name=request.name,
            model=self._models[model],
            api=request.api,
            stream=request.stream,
            input=self._input(request, index, k, rng, writer),
            parameters=self._parameters[index],
            extra_body=request.extra_body,
            expected=self._expected[index],
            tool_results=tool_results,
            conversation=None if asked is None and tool_results is None else seq,
            later=self._later(request, index, k, writer),
            own_answers=asked is None or asked.history == "answers",
            poll=request.poll if isinstance(request, Job | Batch | Other) else None,
            webhook=isinstance(request, Media) and request.result == "webhook",
        )

    def _writer(self, request: Request, model: str) -> Writer:
        """Makes texts of a given number of tokens for a model."""
        exact = self._lexicons.get(model)
        return self._fits.get((model, counting_api(request) or ""), DEFAULT_FIT) if exact is None else exact

    def _input(self, request: Request, index: int, k: int, rng: random.Random, writer: Writer) -> Any:
        """The input: what the API makes the body of."""
        if request.prompt is None:
            return None
        several = request.inputs if isinstance(request, Embeddings) else 0
        several = request.requests if isinstance(request, Batch) else several
        if several:
            each = [self._messages(request, index, k * several + place, rng, writer) for place in range(several)]
            talks = isinstance(request, Batch) and request.endpoint == "chat"
            return each if talks else [text_of(messages) for messages in each]
        messages = self._messages(request, index, k, rng, writer)
        if request.api in CONVERSING or isinstance(request, Other):
            return messages
        text = text_of(messages)
        if isinstance(request, Rerank):
            return {"query": text, "documents": documents(request.documents, rng, writer)}
        if isinstance(request, Img2Img):
            return {"prompt": text, "image_base64": image_base64(request.image, rng)}
        if isinstance(request, Txt2Video):
            return {"prompts": [{"frames": request.frames, "prompt": text}]}
        return text

    def _messages(self, request: Request, index: int, k: int, rng: random.Random, writer: Writer) -> Messages:
        prompt = request.prompt
        assert prompt is not None
        front = []
        if prompt.nonce:
            front.append(writer.nonce(nonce_seed(self._nonce_seed, index, k)))
        elif self._new_prompts:
            front.append(writer.nonce(f"{self._nonce_seed}:run"))
        if (beginning := prompt.beginning) is not None:
            group = rng.randrange(beginning.groups)
            front.append(writer.part(f"{self._seed}:prefix:{index}:{group}", beginning.tokens))
        shared = len(front)
        if prompt.cached is not None:  # else a cache would know the rest from an earlier run with the same seed
            front.append(writer.nonce(nonce_seed(self._nonce_seed, index, k)))
        taken = prompt.front(writer.nonce_tokens) + (
            writer.nonce_tokens if self._new_prompts and not prompt.nonce else 0
        )
        messages = self._source(request, index, k, rng, writer, taken=taken)
        if (system := getattr(request, "system", None)) is not None:
            messages = [{"role": "system", "content": system}, *messages]
        messages = with_media(messages, prompt, rng)
        if front:  # before everything else, even system message and images: caches compare from the first token
            kept = request.cache_control if isinstance(request, AnthropicMessages) and beginning is not None else None
            if kept is None:
                messages = [in_front(" ".join(front), messages[0]), *messages[1:]]
            else:
                messages = [with_mark(front[:shared], front[shared:], messages[0], kept), *messages[1:]]
        return messages

    def _later(self, request: Request, index: int, k: int, writer: Writer) -> tuple[Turn, ...]:
        """The user's later turns in the k-th conversation."""
        asked = conversation_of(request)
        if asked is None or request.prompt is None:
            return ()
        rng = random.Random(f"{self._seed}:turns:{k}")
        pause = None if asked.think_time is None else asked.think_time.pause()
        said: Sequence[Messages]
        if asked.tokens is not None:
            texts = [writer.part(f"{rng.getrandbits(64)}", asked.tokens) for _ in range((asked.turns or 1) - 1)]
            said = [[{"role": "user", "content": text}] for text in texts]
        else:
            later = script_of(self._recorded(request.prompt, index, k)).later
            said = later if asked.turns is None else later[: asked.turns - 1]
        turns = []
        for messages in said:
            drawn_think = 0.0 if pause is None else pause.draw(rng)
            think = delay_of(messages)
            kept = messages if asked.history == "recorded" else without_answers(messages)
            turns.append(Turn(without_delays(kept), drawn_think if think is None else think))
        return tuple(turns)

    def _recorded(self, prompt: Prompt, index: int, k: int) -> Messages:
        """The whole conversation that the scenario or its data file holds for the k-th request."""
        if prompt.messages is not None:
            return [message.model_dump(mode="json", exclude_none=True) for message in prompt.messages]
        data = self._data[index]
        return data[self._order(index, k // len(data))[k % len(data)]]

    def _source(
        self, request: Request, index: int, k: int, rng: random.Random, writer: Writer, *, taken: int
    ) -> Messages:
        prompt, asked = request.prompt, conversation_of(request)
        assert prompt is not None
        if prompt.messages is not None or prompt.file is not None:
            recorded = self._recorded(prompt, index, k)
            return without_delays(recorded if asked is None or asked.tokens is not None else script_of(recorded).first)
        if prompt.text is not None:
            return [{"role": "user", "content": prompt.text}]
        assert prompt.tokens is not None
        text = writer.prompt(f"{rng.getrandbits(64)}", prompt.tokens - taken)
        return [{"role": "user", "content": text}]

    def _order(self, index: int, round_: int) -> list[int]:
        """A data file's rows in the order of one round through it, shuffled anew each time."""
        key = (index, round_)
        if key not in self._orders:
            self._orders.clear()
            order = list(range(len(self._data[index])))
            random.Random(f"{self._seed}:rows:{index}:{round_}").shuffle(order)
            self._orders[key] = order
        return self._orders[key]

    @cached_property
    def _orders(self) -> dict[tuple[int, int], list[int]]:
        return {}


def sent_parameters(request: Request, scenario: Scenario) -> JsonObject:
    """A class's parameters as its API's object gets them: those of the provider, and what jobs need in addition."""
    given = request.parameters()
    if isinstance(request, Media):
        given["extra"] = request.extra
    if isinstance(request, Batch):
        dialect = request.dialect or ("novita" if scenario.target.path_style() == "novita" else "openai")
        given["batch"] = {
            "endpoint": request.endpoint,
            "window": request.window,
            "dialect": dialect,
            "cancel_after": request.cancel_after,
        }
    return given


def expected(request: Request) -> Expected | None:
    """What the answers of a class are checked against; None if the class promises nothing."""
    schema, tools = None, None
    if isinstance(request, Talking):
        if (form := request.response_format) is not None and form.type != "text":
            schema = Schema({"type": "object"} if form.json_schema is None else form.json_schema.schema_)
        if request.tools is not None:
            tools = {tool.function.name: Schema(tool.function.parameters) for tool in request.tools}
    elif isinstance(request, Responses):
        if request.text is not None and (asked := request.text.format) is not None and asked.type != "text":
            schema = Schema({"type": "object"} if asked.schema_ is None else asked.schema_)
        if request.tools is not None:
            tools = {tool.name: Schema(tool.parameters) for tool in request.tools}
    elif isinstance(request, AnthropicMessages) and request.tools is not None:
        tools = {tool.name: Schema(tool.input_schema) for tool in request.tools}
    return None if schema is None and tools is None else Expected(schema, tools)


def counting_api(request: Request) -> str | None:
    """The API by which a server counts the prompts of a class; None if the server returns no count."""
    api = request.endpoint if isinstance(request, Batch) else request.api
    return api if api in COUNTING else None


def nonce_seed(seed: int, index: int, k: int) -> str:
    """The seed of the nonce that only the k-th prompt of a class has."""
    return f"{seed}:nonce:{index}:{k}"


def conversation_of(request: Request) -> Conversation | None:
    """The conversation settings of a class; None if its requests have one turn."""
    return request.conversation if isinstance(request, Talking | AnthropicMessages | Responses | Other) else None


def next_turn(planned: Planned, answer: Messages, *, calls: bool) -> Planned | None:
    """The turn that follows an answered one; None if the conversation is over.

    `answer` is the answer as later turns repeat it, with the results of its tool calls if it `calls` any.
    """
    if calls and planned.tool_results is not None and planned.own_answers and planned.results_of is None:
        return replace(
            planned,
            name=second_turn(planned.name),
            input=[*planned.input, *answer],
            parameters={key: value for key, value in planned.parameters.items() if key != "tool_choice"},
            turn=planned.turn + 1,
            think=0.0,
            results_of=planned,
        )
    if not planned.later:
        return None
    following, *later = planned.later
    asked = planned.results_of or planned
    return replace(
        asked,
        input=[*planned.input, *(answer if planned.own_answers else ()), *following.said],
        turn=planned.turn + 1,
        think=following.think,
        later=tuple(later),
        results_of=None,
    )


def last_turn(planned: Planned) -> Planned:
    """The last turn as it is known before any answer: without the model's own answers."""
    if not planned.later:
        return planned
    said = [message for turn in planned.later for message in turn.said]
    return replace(planned, input=[*planned.input, *said], turn=len(planned.later), later=())


def text_of(messages: Messages) -> str:
    """All texts of a conversation, joined."""
    return "\n\n".join(plain_text(message.get("content")) for message in messages)


def plain_text(content: Any) -> str:
    """The text of a message, which may be made of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content or () if isinstance(part.get("text"), str))


def in_front(text: str, message: JsonObject) -> JsonObject:
    """The message with a text before its own."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return message | {"content": f"{text} {content}"}
    return message | {"content": [{"type": "text", "text": text}, *content]}


def with_mark(shared: Sequence[str], own: Sequence[str], message: JsonObject, kept: str) -> JsonObject:
    """The message with a shared beginning as a part of its own, marked for Anthropic's cache, which keeps parts."""
    if own:
        message = in_front(" ".join(own), message)
    content = message.get("content") or ""
    rest = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return message | {"content": [marked_part(" ".join(shared), kept), *rest]}


def marked_part(text: str, kept: str) -> JsonObject:
    """A text that Anthropic's cache keeps, with all before it, for `5m` or `1h`."""
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": kept}}


def with_media(messages: Messages, prompt: Prompt, rng: random.Random) -> Messages:
    """The conversation with the prompt's images, videos and sounds in its last message, in front of the text."""
    if not prompt.has_media:
        return messages
    parts: list[JsonObject] = [{"type": "image_url", "image_url": image_url(image, rng)} for image in prompt.images]
    parts += [{"type": "video_url", "video_url": {"url": url}} for url in prompt.videos]
    for sound in prompt.sounds:
        heard = {"data": base64_of(sound.file), "format": sound.format}
        parts.append({"type": "input_audio", "input_audio": heard})
    last = messages[-1]
    content = last["content"]
    said = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [*messages[:-1], last | {"content": [*parts, *said]}]


def image_url(image: ImageSource, rng: random.Random) -> JsonObject:
    """An image as OpenAI's API has it."""
    detail = getattr(image, "detail", None)
    kind = (mimetypes.guess_type(image.file)[0] if image.file else None) or "image/jpeg"
    url = image.url or f"data:{kind};base64,{image_base64(image, rng)}"
    return {"url": url} | ({"detail": detail} if detail else {})


def image_base64(image: ImageSource, rng: random.Random) -> str:
    """An image from a file, or a synthetic one."""
    if image.file is not None:
        return base64_of(image.file)
    return synthetic_image(f"{rng.randrange(image.distinct)}", *image.pixels)


def image_sources(request: Request) -> tuple[ImageSource, ...]:
    """Every image of a class."""
    shown = request.prompt.images if request.prompt is not None else ()
    return (*shown, request.image) if isinstance(request, Img2Img) else shown


def documents(asked: tuple[str, ...] | Documents, rng: random.Random, writer: Writer) -> list[str]:
    """The documents of a rerank request."""
    if not isinstance(asked, Documents):
        return list(asked)
    return [writer.part(f"{rng.getrandbits(64)}", asked.tokens) for _ in range(asked.count)]
