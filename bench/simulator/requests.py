"""Reads requests and checks them as the provider does."""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from bench.simulator.config import Fault
from bench.simulator.errors import ProviderError
from bench.simulator.exchange import Exchange
from bench.simulator.tokens import text_of, tokenize

if TYPE_CHECKING:
    from werkzeug.datastructures import FileStorage, MultiDict

IMAGE_TOKENS = {"low": 85}  # of an image, by level of detail
IMAGE_TOKENS_ELSE = 765
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8")  # JPEG, PNG, WebP, GIF

_FAULTS = TypeAdapter(tuple[Fault, ...])
_RANGES = {  # as the provider documents them
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repetition_penalty": (0, 2),
    "min_p": (0, 1),
    "n": (1, 128),
    "top_logprobs": (0, 20),
}
_KINDS: dict[str, type | tuple[type, ...]] = {
    "tools": list,
    "tool_choice": (str, dict),
    "response_format": dict,
    "logit_bias": dict,
    "stream_options": dict,
    "stop": (str, list),
}


def object_of(body: bytes) -> dict[str, Any]:
    """The body's JSON object. Raises ProviderError."""
    try:
        params = json.loads(body)
    except ValueError as error:
        raise ProviderError(400, f"body is not JSON: {error}") from None
    if not isinstance(params, dict):
        raise ProviderError(400, "body is not a JSON object")
    return params


def form_of(exchange: Exchange, body: bytes) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """The fields and the files of a multipart body."""
    from werkzeug.formparser import parse_form_data  # here: a quarter of all that starting the simulator would import

    environ = {
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": exchange.header("content-type"),
        "REQUEST_METHOD": "POST",
    }
    _, fields, files = parse_form_data(environ)
    return fields, files


def params_of_form(fields: MultiDict[str, str]) -> dict[str, Any]:
    """The fields of a form as the members of a body; the member `simulator` is JSON. Raises ProviderError."""
    params: dict[str, Any] = dict(fields.items())
    if "simulator" in params:
        params["simulator"] = object_of(params["simulator"].encode())
    return params


def require(params: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """A required member of this kind; it must not be empty. Raises ProviderError."""
    if not isinstance(params.get(name), kind) or not params[name]:
        raise ProviderError(400, f"{name} is required")
    return params[name]


def parse(body: bytes, *, chat: bool) -> dict[str, Any]:
    """The request's JSON, checked as the provider does. Raises ProviderError."""
    params = object_of(body)
    require(params, "model", str)
    require(params, "messages" if chat else "prompt", list if chat else (str, list))
    check_parameters(params)
    if chat:
        check_images(params["messages"])
        for tool in params.get("tools") or ():
            if not isinstance(tool, dict) or not (tool.get("function") or {}).get("name"):
                raise ProviderError(400, "tools must be of type function, with a name")
        form = params.get("response_format") or {}
        if form.get("type") == "json_schema" and not isinstance((form.get("json_schema") or {}).get("schema"), dict):
            raise ProviderError(400, "response_format.json_schema.schema is required")
    return params


def check_ranges(params: dict[str, Any], ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check that the given numbers lie in their ranges. Raises ProviderError."""
    for name, (low, high) in ranges.items():
        value = params.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high
        ):
            raise ProviderError(400, f"{name} must be between {low} and {high}, got {value!r}")


def check_parameters(params: dict[str, Any]) -> None:
    """Check the ranges and types of parameters. Raises ProviderError."""
    check_ranges(params, _RANGES)
    for name, kind in _KINDS.items():
        if params.get(name) is not None and not isinstance(params[name], kind):
            raise ProviderError(400, f"{name} is of the wrong type, got {params[name]!r:.40}")
    limit = params.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ProviderError(400, f"max_tokens must be at least 1, got {limit!r}")
    least = params.get("min_tokens")
    if least is not None and (isinstance(least, bool) or not isinstance(least, int) or least < 0):
        raise ProviderError(400, f"min_tokens must be at least 0, got {least!r}")
    if least is not None and limit is not None and least > limit:
        raise ProviderError(400, f"min_tokens must be at most max_tokens={limit}, got {least}")


def check_images(messages: list[Any]) -> None:
    """Check that images in base64 are images. Raises ProviderError."""
    for message in messages:
        if not isinstance(message, dict):
            raise ProviderError(400, "messages must be objects")
        for part in parts_of(message):
            url = str((part.get("image_url") or {}).get("url", ""))
            if part.get("type") == "image_url" and url.startswith("data:"):
                check_image(url.partition(",")[2])


def check_image(text: str) -> bytes:
    """The bytes of an image in base64. Raises ProviderError."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        data = b""
    check_bytes(data)
    return data


def check_bytes(data: bytes) -> None:
    """Check that bytes begin like an image. Raises ProviderError."""
    if not data.startswith(_MAGIC):
        raise ProviderError(400, "the image cannot be read", reason="INVALID_IMAGE_FORMAT")


def parts_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def prompts_of(params: dict[str, Any]) -> list[Any]:
    """The prompts of a completion, each a text or a list of token ids: one, or several in one request."""
    prompt = params["prompt"]
    return [prompt] if isinstance(prompt, str) or isinstance(prompt[0], int) else prompt


def tokens_of_prompts(params: dict[str, Any], *, chat: bool) -> list[list[str]]:
    """The tokens of each prompt of a request. Raises ProviderError."""
    if chat:
        return [prompt_tokens(params)]
    prompts = prompts_of(params)
    if not all(isinstance(prompt, str | list) for prompt in prompts):
        raise ProviderError(400, "prompt must be a text, a list of texts, or token ids")
    return [tokenize(prompt) if isinstance(prompt, str) else [str(token) for token in prompt] for prompt in prompts]


def prompt_tokens(params: dict[str, Any]) -> list[str]:
    """The tokens of a chat in order, tools first."""
    tokens = tokenize(json.dumps(params["tools"])) if params.get("tools") else []
    for message in params["messages"]:
        tokens += tokenize(text_of(message.get("content")))
        for part in parts_of(message):
            if part.get("type") in ("image_url", "image"):
                seen = zlib.crc32(json.dumps(part).encode())  # another image has other tokens, also for the cache
                detail = str((part.get("image_url") or {}).get("detail"))
                tokens += [f"<image {seen:08x}>"] * IMAGE_TOKENS.get(detail, IMAGE_TOKENS_ELSE)
    return tokens


def own_faults(params: dict[str, Any]) -> tuple[Fault, ...]:
    """The faults that a request asks for: `"simulator": {"faults": [{"kind": "stall"}]}`. Raises ProviderError."""
    try:
        return _FAULTS.validate_python((params.get("simulator") or {}).get("faults") or ())
    except ValidationError as error:
        raise ProviderError(400, f"simulator.faults: {error.errors()[0]['msg']}") from None
