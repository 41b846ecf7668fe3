"""Sources of prompts: texts, conversations, synthetic words, data files; with images, videos and sound."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.plan.values import Count, JsonObject, Number, Size, Tokens, Value


class Message(Value):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"] = Field(description="who speaks")
    content: str | tuple[JsonObject, ...] | None = Field(
        None, description="the text, or parts such as {type: image_url, image_url: {url: …}}"
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")] | None = Field(
        None, description="name of the speaker: letters, digits and _, at most 64"
    )
    tool_calls: tuple[JsonObject, ...] | None = Field(
        None, description="tool calls of an assistant, as the API returned them"
    )
    tool_call_id: str | None = Field(None, description="the id of the call that a tool's message answers")

    @model_validator(mode="after")
    def _says_something(self) -> Message:
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing; only an assistant's message with tool_calls can go without")
        return self


class Prefix(Value):
    """A beginning that the prompts of a group share."""

    tokens: Tokens = Field(description="tokens of the shared beginning")
    groups: Count = Field(1, le=1_000_000, description="number of different beginnings")


LARGEST_SIDE = 65_500  # pixels, of a JPEG
LARGEST_IMAGE = 64_000_000  # pixels; providers take 16 million, and testing their errors is a use
MOST_PIXELS = 640_000_000  # of all different images of a source: they are drawn before the load begins


class ImageSource(Value):
    """An image: exactly one of url, file and size."""

    url: str | None = Field(None, description="URL of the image, for the provider")
    file: str | None = Field(None, description="file to send as base64; relative to the scenario")
    size: Size | None = Field(None, description="size of a synthetic image, WIDTHxHEIGHT in pixels, such as 512x512")
    distinct: Count = Field(8, le=1000, description="number of different synthetic images, which then repeat")

    @model_validator(mode="after")
    def _has_one_source(self) -> ImageSource:
        given = [name for name in ("url", "file", "size") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"got {' and '.join(given) or 'none'}; exactly one of url, file and size is expected")
        return self

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of a synthetic image."""
        width, _, height = (self.size or "0x0").partition("x")
        return int(width), int(height)

    @model_validator(mode="after")
    def _can_be_drawn(self) -> ImageSource:
        width, height = self.pixels
        if max(width, height) > LARGEST_SIDE or width * height > LARGEST_IMAGE:
            raise ValueError(
                f"size is {self.size}, {width * height / 1e6:,.0f} megapixels; "
                f"at most {LARGEST_SIDE} pixels a side and {LARGEST_IMAGE // 1_000_000} megapixels are drawn"
            )
        if width * height * self.distinct > MOST_PIXELS:
            raise ValueError(
                f"{self.distinct} different images of {self.size} take too long to draw; "
                f"at most {MOST_PIXELS // 1_000_000} megapixels in all are expected"
            )
        return self


class Image(ImageSource):
    """An image in a prompt, for vision models."""

    detail: Literal["low", "high", "auto"] | None = Field(None, description="how closely the model looks at it")


class Sound(Value):
    """Sound in a prompt."""

    file: str = Field(description="file to send as base64; relative to the scenario")
    format: Literal["wav", "mp3"] = Field("wav", description="format of the file")


class Prompt(Value):
    """The source of prompts: exactly one of text, messages, tokens and file."""

    text: str | None = Field(None, description="the same text every time")
    messages: tuple[Message, ...] | None = Field(None, description="the same conversation every time", min_length=1)
    tokens: Tokens | None = Field(None, description="synthetic text with this many tokens, different every time")
    file: str | None = Field(
        None, description="a data file, JSON Lines, CSV, ShareGPT or Parquet; relative to the scenario"
    )
    format: Literal["openai", "csv", "sharegpt", "parquet"] | None = Field(
        None, description="format of the file; default: from its suffix"
    )
    column: str = Field("prompt", description="column with the prompts, for a CSV or Parquet file")
    prefix: Prefix | None = Field(None, description="a beginning shared by groups of requests")
    cached: Annotated[Number, Field(ge=0, le=0.99)] | None = Field(
        None,
        description="of synthetic tokens: the share that a prompt cache should read, such as 0.6, since all prompts "
        "begin alike",
    )
    nonce: bool = Field(False, description="begin each prompt with unique text, so that no prompt cache helps")
    images: tuple[Image, ...] = Field((), description="images to add to the last message of a chat")
    videos: tuple[str, ...] = Field((), description="URLs of videos to add to the last message of a chat")
    sounds: tuple[Sound, ...] = Field((), description="sounds to add to the last message of a chat")

    @model_validator(mode="before")
    @classmethod
    def _plain_text(cls, value: object) -> object:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_one_source(self) -> Prompt:
        given = [name for name in ("text", "messages", "tokens", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"got {got}; exactly one of text, messages, tokens and file is expected")
        if self.cached is not None and (self.tokens is None or self.prefix is not None or self.nonce):
            raise ValueError(
                "cached is the share of synthetic text that all prompts begin with; it needs tokens, "
                "and goes with neither prefix nor nonce"
            )
        if self.prefix and self.tokens and self.prefix.tokens > self.tokens:
            raise ValueError(
                f"the shared prefix of {self.prefix.tokens} tokens is longer than the prompt of {self.tokens}"
            )
        return self

    @property
    def beginning(self) -> Prefix | None:
        """What its prompts have in common; None if nothing."""
        if self.cached is None or self.tokens is None:
            return self.prefix
        return Prefix(tokens=max(1, round(self.cached * self.tokens))) if self.cached else None

    def front(self, nonce_tokens: int) -> int:
        """Number of its tokens before its own text; a nonce has `nonce_tokens`."""
        beginning = 0 if self.beginning is None else self.beginning.tokens
        return beginning + (nonce_tokens if self.nonce or self.cached is not None else 0)

    @property
    def has_media(self) -> bool:
        return bool(self.images or self.videos or self.sounds)
