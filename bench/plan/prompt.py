"""Where prompts come from: texts, conversations, synthetic words, data files; images, videos and sound beside them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bench.plan.values import Count, Size, Tokens, Value


class Message(Value):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"] = Field(description="who speaks")
    content: str | tuple[dict[str, Any], ...] | None = Field(
        None, description="what is said: a text, or parts such as {type: image_url, image_url: {url: …}}"
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")] | None = Field(
        None, description="tells writers of one role apart: letters, digits and _, at most 64"
    )
    tool_calls: tuple[dict[str, Any], ...] | None = Field(None, description="of an assistant, as the API gave them")
    tool_call_id: str | None = Field(None, description="which call a tool's message answers")

    @model_validator(mode="after")
    def _says_something(self) -> Message:
        if self.content is None and not self.tool_calls:
            raise ValueError("content is missing; only an assistant's tool_calls may stand without")
        return self


class Prefix(Value):
    """What the prompts of a group have in common at their beginning."""

    tokens: Tokens = Field(description="length of the shared beginning")
    groups: Count = Field(1, le=1_000_000, description="how many different beginnings there are")


LARGEST_SIDE = 65_500  # pixels, of a JPEG
LARGEST_IMAGE = 64_000_000  # pixels; providers take 16 million, and testing their errors is a use
MOST_PIXELS = 640_000_000  # of all different images of a source: they are drawn before the load begins


class ImageSource(Value):
    """An image: exactly one of url, file and size."""

    url: str | None = Field(None, description="where the provider finds it")
    file: str | None = Field(None, description="sent as base64; relative to the scenario")
    size: Size | None = Field(None, description="drawn by us, WIDTHxHEIGHT in pixels, such as 512x512")
    distinct: Count = Field(8, le=1000, description="how many different ones are drawn, then they repeat")

    @model_validator(mode="after")
    def _has_one_source(self) -> ImageSource:
        given = [name for name in ("url", "file", "size") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"got {' and '.join(given) or 'none'}; exactly one of url, file and size is expected")
        return self

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of one that we draw."""
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
    """An image beside a prompt, for models that see."""

    detail: Literal["low", "high", "auto"] | None = Field(None, description="how closely it is looked at")


class Sound(Value):
    """Sound beside a prompt."""

    file: str = Field(description="sent as base64; relative to the scenario")
    format: Literal["wav", "mp3"] = Field("wav", description="of the file")


class Prompt(Value):
    """Where prompts come from: exactly one of text, messages, tokens and file."""

    text: str | None = Field(None, description="the same text every time")
    messages: tuple[Message, ...] | None = Field(None, description="the same conversation every time", min_length=1)
    tokens: Tokens | None = Field(None, description="synthetic text of so many tokens, different every time")
    file: str | None = Field(None, description="a data file, JSON Lines, CSV or ShareGPT; relative to the scenario")
    format: Literal["openai", "csv", "sharegpt"] | None = Field(None, description="of the file; default: by its ending")
    column: str = Field("prompt", description="of a CSV file")
    prefix: Prefix | None = Field(None, description="a beginning shared by groups of requests")
    nonce: bool = Field(False, description="begin with something unique, so that no prompt cache helps")
    images: tuple[Image, ...] = Field((), description="shown with the last message of a chat")
    videos: tuple[str, ...] = Field((), description="URLs of videos shown with the last message of a chat")
    sounds: tuple[Sound, ...] = Field((), description="sound heard with the last message of a chat")

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
        if self.prefix and self.tokens and self.prefix.tokens > self.tokens:
            raise ValueError(
                f"the shared prefix of {self.prefix.tokens} tokens is longer than the prompt of {self.tokens}"
            )
        return self

    @property
    def has_media(self) -> bool:
        return bool(self.images or self.videos or self.sounds)
