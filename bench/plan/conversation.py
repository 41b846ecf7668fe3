"""Conversations: what a scenario says of them, and the later turns of one.

A conversation is planned whole before its first turn is sent; only the model's own answers are put in as they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.plan.pauses import Think
from bench.plan.prompt import Prompt
from bench.plan.values import Count, Tokens, Value

Messages = list[dict[str, Any]]

MOST_TURNS = 1000
DELAY = "delay"
"""What a data file calls the time between the answer before and a user's message, ms, as AIPerf's and Mooncake's do."""

_ANSWERING = frozenset({"assistant", "tool", "function"})


class Conversation(Value):
    """How a prompt goes on: turns that each send all that was said before."""

    turns: Annotated[Count, Field(le=MOST_TURNS)] | None = Field(
        None, description="how many questions the user asks; at most so many of a recorded conversation, default: all"
    )
    tokens: Tokens | None = Field(
        None, description="synthetic text of so many tokens for every later turn; default: what was recorded is asked"
    )
    think_time: Think | None = Field(
        None, description="between an answer and the next turn, where the data file has no delay; default: none"
    )
    history: Literal["answers", "recorded"] = Field(
        "answers", description="what later turns repeat: the model's own answers, or the recorded ones"
    )


def check_conversation(conversation: Conversation | None, prompt: Prompt) -> None:
    """Whether the prompt can go on like that. Raises ValueError."""
    if conversation is None:
        return
    recorded = prompt.file is not None or prompt.messages is not None
    if conversation.tokens is None and not recorded:
        raise ValueError("conversation: later turns have no text; conversation: {turns: 6, tokens: 100} is expected")
    if conversation.tokens is not None and prompt.file is not None:
        raise ValueError("conversation.tokens: the data file says what is asked; leave tokens out")
    if conversation.tokens is not None and conversation.turns is None:
        raise ValueError("conversation.turns is missing; how many questions the user asks is expected, such as 6")
    if conversation.history == "recorded" and conversation.tokens is not None:
        raise ValueError("conversation.history: synthetic turns have no recorded answers; answers is expected")


@dataclass(frozen=True, slots=True)
class Turn:
    """A later turn, before the answer that it follows is known."""

    said: Messages  # the user's message, and where answers are recorded the answer before it
    think: float  # between the end of the answer before and this turn, s


@dataclass(frozen=True, slots=True)
class Script:
    """A recorded conversation, taken apart."""

    first: Messages  # up to the user's first message
    later: tuple[Messages, ...]  # each from the recorded answer to the user's message, or messages, after it


def script_of(messages: Messages) -> Script:
    """A conversation as its turns. A turn ends with the last user's message before an answer; what an assistant says
    before any user, and what follows the last user's message, begins none."""
    turns: list[Messages] = [[]]
    asked = False
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    for message in messages[: users[-1] + 1] if users else messages:
        if asked and message["role"] in _ANSWERING:
            turns.append([])
            asked = False
        asked = asked or message["role"] == "user"
        turns[-1].append(message)
    return Script(turns[0], tuple(turns[1:]))


def without_answers(messages: Messages) -> Messages:
    """What users and system say: the model's own answer stands for the recorded one."""
    return [message for message in messages if message["role"] not in _ANSWERING]


def delay_of(messages: Messages) -> float | None:
    """The recorded time between the answer before and these messages, s; None if there is none."""
    delays = [message[DELAY] for message in messages if message["role"] == "user" and DELAY in message]
    return delays[0] / 1e3 if delays else None


def without_delays(messages: Messages) -> Messages:
    """The messages as an API takes them."""
    if not any(DELAY in message for message in messages):
        return messages
    return [{key: value for key, value in message.items() if key != DELAY} for message in messages]
