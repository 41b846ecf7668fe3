"""Request classes for images, video and speech: Novita's tasks, and APIs that answer at once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bench.plan.classes import Job, Request, Streamless
from bench.plan.prompt import ImageSource, Prompt
from bench.plan.values import Count, JsonObject, Number, Size, Whole


class Media(Job):
    """A task of the provider's media API."""

    prompt: Prompt = Field(description="the prompt")
    result: Literal["poll", "webhook"] = Field("poll", description="poll for the result, or get it by webhook")
    extra: JsonObject = Field({}, description="the task's extra member, such as {response_image_type: png}")

    def hidden(self) -> tuple[str, ...]:
        return ("poll", "result", "extra")


class Painting(Media):
    """What both image tasks have in common."""

    negative_prompt: str | None = Field(None, description="what the result should not show")
    width: Whole | None = Field(None, description="pixels, from 128 to 2048")
    height: Whole | None = Field(None, description="pixels, from 128 to 2048")
    image_num: Whole | None = Field(None, description="number of images, from 1 to 8")
    steps: Whole | None = Field(None, description="denoising steps, from 1 to 100")
    guidance_scale: Number | None = Field(None, description="how closely to follow the prompt, from 1 to 30")
    sampler_name: str | None = Field(None, description="the sampler, such as Euler a")
    seed: Whole | None = Field(None, description="seed of the model; -1: random")
    sd_vae: str | None = Field(None, description="the VAE")
    clip_skip: Whole | None = Field(None, description="number of CLIP layers to skip")
    loras: tuple[JsonObject, ...] | None = Field(None, description="LoRA weights, at most 5")
    embeddings: tuple[JsonObject, ...] | None = Field(None, description="textual inversions, at most 5")


class Txt2Img(Painting):
    """Images from a text."""

    api: Literal["txt2img"] = Field("txt2img", description="POST /v3/async/txt2img")
    hires_fix: JsonObject | None = Field(None, description="{target_width, target_height, strength, upscaler}")
    refiner: JsonObject | None = Field(None, description="{switch_at: …}")
    enable_transparent_background: bool | None = Field(None, description="make the background transparent")
    restore_faces: bool | None = Field(None, description="repair faces")


class Img2Img(Painting):
    """Images from an image and a text."""

    api: Literal["img2img"] = Field("img2img", description="POST /v3/async/img2img")
    image: ImageSource = Field(description="the image to start from: {size: 512x512}, or {file: …}")
    strength: Number | None = Field(None, description="how much to change the image, from 0 to 1")
    controlnet: JsonObject | None = Field(None, description="{units: […]}")
    ip_adapters: tuple[JsonObject, ...] | None = Field(None, description="further images to follow")

    def hidden(self) -> tuple[str, ...]:
        return (*super().hidden(), "image")

    @model_validator(mode="after")
    def _has_its_image_here(self) -> Img2Img:
        if self.image.url is not None:
            raise ValueError("image.url: this API takes the image itself; use {file: …} or {size: 512x512}")
        return self


class Txt2Video(Media):
    """A video from a text."""

    api: Literal["txt2video"] = Field("txt2video", description="POST /v3/async/txt2video")
    width: Whole = Field(640, description="pixels")
    height: Whole = Field(480, description="pixels")
    steps: Whole = Field(20, description="denoising steps, from 1 to 100")
    frames: Count = Field(32, description="number of frames of the scene")
    negative_prompt: str | None = Field(None, description="what the result should not show")
    guidance_scale: Number | None = Field(None, description="how closely to follow the prompt")
    seed: Whole | None = Field(None, description="seed of the model; -1: random")
    loras: tuple[JsonObject, ...] | None = Field(None, description="LoRA weights")
    embeddings: tuple[JsonObject, ...] | None = Field(None, description="textual inversions")
    closed_loop: bool | None = Field(None, description="end the video as it began")
    clip_skip: Whole | None = Field(None, description="number of CLIP layers to skip")

    def hidden(self) -> tuple[str, ...]:
        return (*super().hidden(), "frames")


class Txt2Speech(Media):
    """Speech from a text, as a task."""

    api: Literal["txt2speech"] = Field("txt2speech", description="POST /v3/async/txt2speech")
    voice_id: str = Field("Emily", description="Emily, James, Olivia, Michael, Sarah or John")
    language: str = Field("en-US", description="en-US, zh-CN or ja-JP")
    volume: Number | None = Field(None, description="volume, from 1 to 2")
    speed: Number | None = Field(None, description="speed, from 0.8 to 3")


class Task(Media):
    """Any other task with a flat body: Wan, Kling, Hunyuan, Qwen-Image, FLUX.2, Kontext."""

    api: Literal["task"] = Field("task", description="POST /v3/async/MODEL; the body's members go into extra_body")


class Flux(Streamless):
    """FLUX.1 [schnell], at once."""

    api: Literal["flux"] = Field("flux", description="POST /v3beta/flux-1-schnell, answered at once")
    prompt: Prompt = Field(description="the prompt")
    width: Whole = Field(512, description="pixels, from 64 to 2048")
    height: Whole = Field(512, description="pixels, from 64 to 2048")
    image_num: Whole = Field(1, description="number of images, from 1 to 8")
    steps: Whole = Field(4, description="denoising steps, from 1 to 100")
    seed: Whole = Field(0, description="seed of the model, from 0 to 4294967295")
    response_image_format: str | None = Field(None, description="png, webp or jpeg")


class Images(Streamless):
    """OpenAI's images, at once."""

    api: Literal["images"] = Field("images", description="POST images/generations")
    prompt: Prompt = Field(description="the prompt")
    n: Count | None = Field(None, description="number of images")
    size: Size | Literal["auto"] | None = Field(None, description="WIDTHxHEIGHT")
    quality: str | None = Field(None, description="such as low, medium, high")
    response_format: Literal["url", "b64_json"] | None = Field(None, description="images as URLs or as base64")


class Speech(Request):
    """MiniMax speech and similar APIs, which answer at once: as a stream of sound, or as one file."""

    api: Literal["speech"] = Field("speech", description="POST /v3/MODEL, such as minimax-speech-02-turbo")
    stream: bool = Field(True, description="stream the sound piece by piece")
    prompt: Prompt = Field(description="the text to speak")
    voice_setting: JsonObject | None = Field(None, description="{voice_id, speed, vol, pitch}")
    audio_setting: JsonObject | None = Field(None, description="{sample_rate, bitrate, format, channel}")
