"""Conversations: their settings in a scenario, and the later turns of one.

A conversation is planned whole before its first turn is sent; only the model's own answers are put in as they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from bench.plan.pauses import Think
from bench.plan.prompt import Prompt
from bench.plan.values import Count, JsonObject, Tokens, Value

Messages = list[JsonObject]

MOST_TURNS = 1000
DELAY = "delay"
"""The key in a data file for the time between the previous answer and a user's message, in ms. AIPerf's and Mooncake's
files use the same key."""

_ANSWERING = frozenset({"assistant", "tool", "function"})


class Conversation(Value):
    """A conversation of several turns; each turn sends everything that was said before."""

    turns: Annotated[Count, Field(le=MOST_TURNS)] | None = Field(
        None, description="number of user turns; of a recorded conversation at most this many, default: all"
    )
    tokens: Tokens | None = Field(
        None, description="tokens of synthetic text in every later turn; default: the recorded text is sent"
    )
    think_time: Think | None = Field(
        None, description="pause between an answer and the next turn, if the data file has no delay; default: none"
    )
    history: Literal["answers", "recorded"] = Field(
        "answers", description="which answers later turns repeat: the model's own, or the recorded ones"
    )


def check_conversation(conversation: Conversation | None, prompt: Prompt) -> None:
    """Check that these settings fit the prompt. Raises ValueError."""
    if conversation is None:
        return
    recorded = prompt.file is not None or prompt.messages is not None
    if conversation.tokens is None and not recorded:
        raise ValueError("conversation: later turns have no text; conversation: {turns: 6, tokens: 100} is expected")
    if conversation.tokens is not None and prompt.file is not None:
        raise ValueError("conversation.tokens: the data file has the texts; leave tokens out")
    if conversation.tokens is not None and conversation.turns is None:
        raise ValueError("conversation.turns is missing; the number of user turns is expected, such as 6")
    if conversation.history == "recorded" and conversation.tokens is not None:
        raise ValueError("conversation.history: synthetic turns have no recorded answers; answers is expected")


@dataclass(frozen=True, slots=True)
class Turn:
    """A later turn, planned before the previous answer is known."""

    said: Messages  # the user's message; if answers are recorded, the recorded answer stands before it
    think: float  # time between the end of the previous answer and this turn, s


@dataclass(frozen=True, slots=True)
class Script:
    """A recorded conversation, split into its turns."""

    first: Messages  # up to the user's first message
    later: tuple[Messages, ...]  # each holds the recorded answer and the user's messages after it


def script_of(messages: Messages) -> Script:
    """Split a conversation into its turns. A turn ends with the last user message before an answer. An assistant's
    message before the first user message, and messages after the last one, do not begin a turn."""
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
    """The messages without the recorded answers; the model's own answers take their places."""
    return [message for message in messages if message["role"] not in _ANSWERING]


def delay_of(messages: Messages) -> float | None:
    """The recorded time between the previous answer and these messages, s; None if there is none."""
    delays = [message[DELAY] for message in messages if message["role"] == "user" and DELAY in message]
    return delays[0] / 1e3 if delays else None


def without_delays(messages: Messages) -> Messages:
    """The messages as an API takes them."""
    if not any(DELAY in message for message in messages):
        return messages
    return [{key: value for key, value in message.items() if key != DELAY} for message in messages]
