"""The mix: the request classes of a scenario, one type for each API, with the parameters of that API.

Parameters are sent under their own names, and only if they are given. Values that a provider would refuse are checked
in bench.plan.parameter_ranges and not by these types, so that they can be sent on purpose.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from bench.plan.classes import Poll, Request, Streamless
from bench.plan.conversation import Conversation, check_conversation
from bench.plan.media import Flux, Images, Img2Img, Speech, Task, Txt2Img, Txt2Speech, Txt2Video
from bench.plan.prompt import Prompt
from bench.plan.values import Count, JsonObject, Number, PositiveSeconds, Tokens, Value, Whole

OWN_FILE = r"^.+\.py:[A-Za-z_][A-Za-z0-9_]*$"
_IDENTIFIER = r"^[A-Za-z0-9_-]{1,64}$"


# -- texts and conversations ----------------------------------------------------------------------


class Function(Value):
    """A function that the model may call."""

    name: Annotated[str, Field(pattern=_IDENTIFIER)] = Field(description="letters, digits, _ and -, at most 64")
    description: str | None = Field(None, description="when and how to call it")
    parameters: JsonObject = Field({"type": "object", "properties": {}}, description="JSON Schema of its arguments")
    strict: bool | None = Field(None, description="let the provider enforce the schema")


class Tool(Value):
    """A tool as OpenAI's API has it."""

    type: Literal["function"] = Field("function", description="the only type")
    function: Function = Field(description="the function to call")


class JsonSchema(Value):
    """The schema of a structured answer."""

    name: Annotated[str, Field(pattern=_IDENTIFIER)] = Field("answer", description="at most 64 characters")
    description: str | None = Field(None, description="what the schema is for")
    schema_: JsonObject = Field(alias="schema", description="JSON Schema of the answer")
    strict: bool | None = Field(None, description="let the provider enforce the schema")


class ResponseFormat(Value):
    """The format of the answer."""

    type: Literal["text", "json_object", "json_schema"] = Field(description="text, json_object, or json_schema")
    json_schema: JsonSchema | None = Field(None, description="for json_schema: name and schema")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError(f"type is {self.type}; json_schema belongs to type json_schema, which needs it")
        return self


class Writing(Request):
    """What chat and completions have in common."""

    stream: bool = Field(True, description="stream the answer token by token")
    prompt: Prompt = Field(description="the prompt: a text, or where texts come from")
    max_tokens: Count | None = Field(None, description="the largest number of tokens in the answer")
    temperature: Number | None = Field(None, description="from 0 to 2")
    top_p: Number | None = Field(None, description="above 0, at most 1")
    top_k: Whole | None = Field(None, description="number of candidate tokens, from 1 to 128; -1: all")
    min_p: Number | None = Field(None, description="from 0 to 1")
    presence_penalty: Number | None = Field(None, description="from -2 to 2")
    frequency_penalty: Number | None = Field(None, description="from -2 to 2")
    repetition_penalty: Number | None = Field(None, description="above 0, at most 2; 1: no penalty")
    stop: str | tuple[str, ...] | None = Field(None, description="stop sequences that end the answer, at most four")
    seed: Whole | None = Field(None, description="the model's own seed")
    n: Count | None = Field(None, description="number of answers to one request, at most 128")
    logit_bias: dict[str, Number] | None = Field(None, description="token id to bias, from -100 to 100")
    user: str | None = Field(None, description="your end user's id, for the provider")

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def answer_tokens(self) -> int | None:
        return self.max_tokens


class Conversing(Request):
    """A class that can have a next turn: after tool calls, or in a conversation."""

    prompt: Prompt = Field(description="the prompt: a text, or where texts come from")
    tool_results: dict[str, str] | None = Field(
        None, description="the result of each function, sent in a second turn with figures of its own"
    )
    conversation: Conversation | None = Field(
        None, description="later turns, each with everything said before, such as {turns: 6, tokens: 100}"
    )

    def tool_names(self) -> list[str]:
        """The tools that the model may call."""
        raise NotImplementedError

    def hidden(self) -> tuple[str, ...]:
        return ("tool_results", "conversation")

    @property
    def classes(self) -> tuple[str, ...]:
        return recorded_names(self.name, self.tool_results)

    @model_validator(mode="after")
    def _answers_its_own_tools(self) -> Self:
        check_results(self.tool_results, self.tool_names())
        check_conversation(self.conversation, self.prompt)
        return self


class Talking(Writing, Conversing):
    """The parameters of a chat."""

    system: str | None = Field(None, description="the system message, before those that a data file has")
    max_completion_tokens: Count | None = Field(None, description="the newer name of max_tokens")
    logprobs: bool | None = Field(None, description="return the log probability of each token")
    top_logprobs: Whole | None = Field(None, description="number of alternatives for each token, from 0 to 20")
    tools: tuple[Tool, ...] | None = Field(None, min_length=1, description="functions that the model may call")
    tool_choice: str | JsonObject | None = Field(None, description="none, auto, required, or {type: function, …}")
    parallel_tool_calls: bool | None = Field(None, description="allow several tool calls in one answer")
    response_format: ResponseFormat | None = Field(None, description="text, json_object, or a json_schema")
    enable_thinking: bool | None = Field(None, description="let the model reason first, if it can")
    separate_reasoning: bool | None = Field(None, description="return the reasoning in a separate field")
    reasoning_effort: str | None = Field(None, description="how much to reason, such as low, medium, high")
    reasoning_split: bool | None = Field(None, description="MiniMax: return the reasoning as reasoning_details")
    modalities: tuple[Literal["text", "audio"], ...] | None = Field(None, description="kinds of output: text, audio")

    def parameters(self) -> JsonObject:
        given = super().parameters()
        if self.response_format is not None and self.response_format.json_schema is not None:
            schema = self.response_format.json_schema.model_dump(mode="json", by_alias=True, exclude_none=True)
            given["response_format"] = {"type": "json_schema", "json_schema": schema}
        return given

    @property
    def answer_tokens(self) -> int | None:
        return self.max_tokens or self.max_completion_tokens

    def tool_names(self) -> list[str]:
        return [tool.function.name for tool in self.tools or ()]


class Chat(Talking):
    """OpenAI's chat completions."""

    api: Literal["chat"] = Field("chat", description="POST chat/completions")


class Completions(Writing):
    """OpenAI's legacy completions."""

    api: Literal["completions"] = Field("completions", description="POST completions")
    logprobs: Whole | None = Field(None, description="number of alternatives for each token, at most 5")
    suffix: str | None = Field(None, description="the text that follows the completion")
    echo: bool | None = Field(None, description="repeat the prompt in the answer")
    best_of: Count | None = Field(None, description="make this many answers and return the best n; not with stream")

    @model_validator(mode="after")
    def _asks_with_a_text(self) -> Completions:
        if self.prompt.messages is not None or self.prompt.has_media:
            raise ValueError("completions take a text, not messages; use api: chat, or prompt: {text: …}")
        return self


class Thinking(Value):
    """Settings for the thinking before the answer."""

    type: Literal["enabled", "disabled", "adaptive"] = Field("enabled", description="enabled, disabled or adaptive")
    budget_tokens: Count | None = Field(None, description="the largest number of thinking tokens, 1024 or more")


class AnthropicTool(Value):
    """A tool as Anthropic's API has it."""

    name: Annotated[str, Field(pattern=_IDENTIFIER)] = Field(description="letters, digits, _ and -, at most 64")
    description: str | None = Field(None, description="when and how to call it")
    input_schema: JsonObject = Field({"type": "object", "properties": {}}, description="JSON Schema of its input")


class Messages(Conversing):
    """Anthropic's messages."""

    api: Literal["messages"] = Field("messages", description="POST messages, as Anthropic has it")
    stream: bool = Field(True, description="stream the answer token by token")
    system: str | None = Field(None, description="the system prompt")
    max_tokens: Count = Field(description="the largest number of tokens in the answer; this API requires it")
    temperature: Number | None = Field(None, description="from 0 to 1")
    top_p: Number | None = Field(None, description="above 0, at most 1")
    top_k: Whole | None = Field(None, description="number of candidate tokens")
    stop_sequences: tuple[str, ...] | None = Field(None, description="stop sequences that end the answer")
    tools: tuple[AnthropicTool, ...] | None = Field(None, min_length=1, description="tools that the model may call")
    tool_choice: JsonObject | None = Field(
        None, description="{type: auto}, {type: any}, {type: none}, {type: tool, name: …}"
    )
    thinking: Thinking | None = Field(None, description="thinking before the answer, and how much")
    cache_control: Literal["5m", "1h"] | None = Field(
        None,
        description="cache what is sent up to the last message, or to the end of a shared prefix, for this time",
    )
    metadata: JsonObject | None = Field(None, description="such as {user_id: …}")

    @property
    def answer_tokens(self) -> int | None:
        return self.max_tokens

    def tool_names(self) -> list[str]:
        return [tool.name for tool in self.tools or ()]


class ResponsesTool(Value):
    """A tool as OpenAI's responses have it."""

    type: Literal["function"] = Field("function", description="the only type")
    name: Annotated[str, Field(pattern=_IDENTIFIER)] = Field(description="letters, digits, _ and -, at most 64")
    description: str | None = Field(None, description="when and how to call it")
    parameters: JsonObject = Field({"type": "object", "properties": {}}, description="JSON Schema of its arguments")
    strict: bool | None = Field(None, description="let the provider enforce the schema")


class TextFormat(Value):
    """The format of a response's text."""

    type: Literal["text", "json_object", "json_schema"] = Field(description="text, json_object, or json_schema")
    name: Annotated[str, Field(pattern=_IDENTIFIER)] = Field(
        "answer", description="for json_schema: its name, at most 64 characters"
    )
    schema_: JsonObject | None = Field(None, alias="schema", description="for json_schema: the schema of the answer")
    strict: bool | None = Field(None, description="let the provider enforce the schema")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_its_schema(self) -> TextFormat:
        if (self.type == "json_schema") != (self.schema_ is not None):
            raise ValueError(f"type is {self.type}; schema belongs to type json_schema, which needs it")
        return self


class Text(Value):
    """Format and length of a response's text."""

    format: TextFormat | None = Field(None, description="text, json_object, or {type: json_schema, schema: …}")
    verbosity: str | None = Field(None, description="how long the text should be, such as low, medium, high")


class Reasoning(Value):
    """Settings for the reasoning of a model."""

    effort: str | None = Field(None, description="how much to reason, such as none, low, medium, high")
    summary: str | None = Field(None, description="summary of the reasoning, such as auto")


class Responses(Conversing):
    """OpenAI's responses."""

    api: Literal["responses"] = Field("responses", description="POST responses")
    stream: bool = Field(True, description="stream the answer token by token")
    instructions: str | None = Field(None, description="instructions, like the system message of a chat")
    max_output_tokens: int | None = Field(
        None, gt=0, description="the largest number of tokens in the answer, reasoning included"
    )
    temperature: float | None = Field(None, description="from 0 to 2")
    top_p: float | None = Field(None, description="above 0, at most 1")
    top_logprobs: int | None = Field(None, description="number of alternatives for each token, from 0 to 20")
    tools: tuple[ResponsesTool, ...] | None = Field(None, min_length=1, description="functions that the model may call")
    tool_choice: str | JsonObject | None = Field(None, description="none, auto, required, or {type: function, name: …}")
    parallel_tool_calls: bool | None = Field(None, description="allow several tool calls in one answer")
    text: Text | None = Field(None, description="format of the answer")
    reasoning: Reasoning | None = Field(None, description="reasoning before the answer, and how much")
    store: bool | None = Field(None, description="let the provider store the response")
    metadata: JsonObject | None = Field(None, description="what the provider stores with the response")
    user: str | None = Field(None, description="your end user's id, for the provider")

    def parameters(self) -> JsonObject:
        given = super().parameters()
        if self.text is not None:
            given["text"] = self.text.model_dump(mode="json", by_alias=True, exclude_none=True)
            if self.text.format is not None and self.text.format.type != "json_schema":
                given["text"]["format"].pop("name", None)
        return given

    @property
    def answer_tokens(self) -> int | None:
        return self.max_output_tokens

    def tool_names(self) -> list[str]:
        return [tool.name for tool in self.tools or ()]


def check_results(results: dict[str, str] | None, known: list[str]) -> None:
    """Check that every result belongs to a declared tool. Raises ValueError."""
    for name in results or ():
        if name not in known:
            raise ValueError(f"tool_results has {name}, which is not among the tools: {', '.join(known) or 'none'}")


def recorded_names(name: str, tool_results: object) -> tuple[str, ...]:
    """The names of a class in the records: a second turn after tool calls has its own."""
    return (name,) if tool_results is None else (name, second_turn(name))


def second_turn(name: str) -> str:
    """The name of the turn that sends a tool's result."""
    return f"{name}: result"


# -- vectors, ranks and models --------------------------------------------------------------------


class Embeddings(Streamless):
    """Vectors of texts."""

    api: Literal["embeddings"] = Field("embeddings", description="POST embeddings")
    prompt: Prompt = Field(description="the texts; a request has as many as inputs says")
    inputs: Count = Field(1, le=100_000, description="texts in one request")
    dimensions: Count | None = Field(None, description="length of each vector")
    encoding_format: Literal["float", "base64"] | None = Field(None, description="how vectors are written")
    user: str | None = Field(None, description="your end user's id, for the provider")

    def hidden(self) -> tuple[str, ...]:
        return ("inputs",)


class Documents(Value):
    """Synthetic documents."""

    count: Count = Field(le=100_000, description="how many")
    tokens: Tokens = Field(description="tokens of each document")


class Rerank(Streamless):
    """Documents sorted by their relevance to a query."""

    api: Literal["rerank"] = Field("rerank", description="POST rerank")
    prompt: Prompt = Field(description="the query")
    documents: tuple[str, ...] | Documents = Field(description="the documents: texts, or {count: 20, tokens: 100}")
    top_n: Count | None = Field(None, description="number of documents to return")
    return_documents: bool | None = Field(None, description="return the texts of the documents too")

    def hidden(self) -> tuple[str, ...]:
        return ("documents",)


class Models(Streamless):
    """The list of models."""

    api: Literal["models"] = Field("models", description="GET models")


# -- many at once ---------------------------------------------------------------------------------


class Batch(Talking):
    """A batch: a file of requests that the provider answers later. Upload, create, wait, fetch."""

    api: Literal["batch"] = Field("batch", description="POST files and batches")
    stream: Literal[False] = Field(False, description="a batch cannot stream")
    endpoint: Literal["chat", "completions"] = Field("chat", description="the API of each line of the file")
    requests: Count = Field(100, le=1_000_000, description="number of lines of the file, at most 50,000")
    window: str = Field("24h", description="time in which it should be done: 24h or 48h")
    dialect: Literal["novita", "openai"] | None = Field(
        None, description="format of the lines; default: from the target's style"
    )
    cancel_after: PositiveSeconds | None = Field(None, description="cancel the batch this long after its creation")
    poll: Poll = Field(Poll(interval=5.0, timeout=86400.0), description="polling for the result")

    def hidden(self) -> tuple[str, ...]:
        return ("poll", "endpoint", "requests", "window", "dialect", "cancel_after")

    @model_validator(mode="after")
    def _has_one_turn(self) -> Batch:
        if self.tool_results is not None:
            raise ValueError("tool_results: a batch has no second turn")
        if self.conversation is not None:
            raise ValueError("conversation: a batch has no second turn")
        return self


# -- APIs of users' own ---------------------------------------------------------------------------


class Other(Request):
    """A user's own API: FILE.py:OBJECT beside the scenario."""

    api: Annotated[str, Field(pattern=OWN_FILE)] = Field(
        description="FILE.py:OBJECT, an API of your own; the body's members go into extra_body"
    )
    conversation: Conversation | None = Field(
        None, description="later turns, each with everything said before, if the API has a function reply"
    )
    poll: Poll = Field(Poll(), description="polling for the result, if it is a job")

    def hidden(self) -> tuple[str, ...]:
        return ("conversation", "poll")

    @model_validator(mode="after")
    def _can_go_on(self) -> Other:
        if self.conversation is not None and self.prompt is None:
            raise ValueError("conversation: there is no prompt to begin it")
        if self.prompt is not None:
            check_conversation(self.conversation, self.prompt)
        return self


def api_of(value: Any) -> str:
    """The tag of the value's class. An unknown API gives no tag, but its own name."""
    api = value.get("api", "chat") if isinstance(value, dict) else getattr(value, "api", "chat")
    return "other" if isinstance(api, str) and re.fullmatch(OWN_FILE, api) else str(api)


AnyRequest = Annotated[
    Annotated[Chat, Tag("chat")]
    | Annotated[Completions, Tag("completions")]
    | Annotated[Messages, Tag("messages")]
    | Annotated[Responses, Tag("responses")]
    | Annotated[Embeddings, Tag("embeddings")]
    | Annotated[Rerank, Tag("rerank")]
    | Annotated[Models, Tag("models")]
    | Annotated[Txt2Img, Tag("txt2img")]
    | Annotated[Img2Img, Tag("img2img")]
    | Annotated[Txt2Video, Tag("txt2video")]
    | Annotated[Txt2Speech, Tag("txt2speech")]
    | Annotated[Task, Tag("task")]
    | Annotated[Flux, Tag("flux")]
    | Annotated[Images, Tag("images")]
    | Annotated[Speech, Tag("speech")]
    | Annotated[Batch, Tag("batch")]
    | Annotated[Other, Tag("other")],
    Discriminator(api_of),
]
"""A request class of the mix. To add an API, add its class here, and its object to wire.PROTOCOLS."""

CLASSES: dict[str, type[Request]] = {
    tagged.__metadata__[0].tag: tagged.__origin__
    for tagged in get_args(get_args(AnyRequest)[0])
    if tagged.__origin__ is not Other
}
"""The request class of each API that comes with bench."""
