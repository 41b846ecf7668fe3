"""The mix: what each API's request class takes, what is refused, and what is planned from it."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from bench.experiments import read_scenario
from bench.plan import Mistakes, RequestPlan
from bench.plan.forecast import forecast
from bench.plan.mix import CLASSES
from bench.wire.ask import Ask
from bench.wire.protocols import PROTOCOLS, UnknownApiError, protocol

FRAME = "target: simulator\nmodels: [m]\nload: {users: 1, requests: 5}\nseed: 1\nrequests:\n"
TOOL = "{function: {name: f, parameters: {type: object, properties: {a: {type: integer}}}}}"


def loaded(folder, *requests, **options):
    path = folder / "mix.yaml"
    path.write_text(FRAME + "".join(f"  - {request}\n" for request in requests), "utf-8")
    return read_scenario(path, **options)


def mistakes_of(folder, *requests):
    with pytest.raises(Mistakes) as raised:
        loaded(folder, *requests)
    return [str(mistake).rpartition("mix.yaml:")[2] for mistake in raised.value.mistakes]


def planned(folder, request, k=0):
    scenario = loaded(folder, request)
    return RequestPlan(scenario, 1, {}).request(0, k)


def body(folder, request):
    one = planned(folder, request)
    ask = Ask(model=one.model, stream=one.stream, input=one.input, parameters=one.parameters, extra_body=one.extra_body)
    return protocol(one.api).body(ask)


def test_plan_and_wire_know_the_same_apis():
    assert set(CLASSES) == set(PROTOCOLS)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("{api: embeddings, prompt: Hi, inputs: 2, dimensions: 8}", {"model": "m", "input": ["Hi", "Hi"], "dimensions": 8}),
        ("{api: rerank, prompt: Hi, documents: [a, b], top_n: 1}",
         {"model": "m", "query": "Hi", "documents": ["a", "b"], "top_n": 1}),
        ("{api: models}", {}),
        ("{api: flux, prompt: cat, image_num: 3}",
         {"prompt": "cat", "width": 512, "height": 512, "image_num": 3, "steps": 4, "seed": 0}),
        ("{api: images, prompt: cat, n: 2, size: 512x512}", {"model": "m", "prompt": "cat", "n": 2, "size": "512x512"}),
        ("{api: speech, prompt: Hi, voice_setting: {speed: 1}}", {"text": "Hi", "stream": True, "voice_setting": {"speed": 1}}),
        ("{api: messages, prompt: Hi, max_tokens: 5, system: Be brief., thinking: {budget_tokens: 1024}, unchecked: true}",
         {"model": "m", "max_tokens": 5, "stream": True, "system": "Be brief.", "thinking": {"type": "enabled", "budget_tokens": 1024},
          "messages": [{"role": "user", "content": "Hi"}]}),
        ("{api: completions, prompt: Hi, stream: false, logprobs: 2, echo: true, best_of: 3, suffix: '.'}",
         {"model": "m", "prompt": "Hi", "logprobs": 2, "echo": True, "best_of": 3, "suffix": "."}),
    ],
)  # fmt: skip
def test_the_body_is_what_the_api_wants(tmp_path, request_, expected):
    assert body(tmp_path, request_) == expected


def test_a_chats_tools_and_form_go_out_as_the_api_has_them(tmp_path):
    schema = "{type: object, properties: {a: {type: string}}}"
    sent = body(
        tmp_path,
        f"{{prompt: Hi, stream: false, tools: [{TOOL}], tool_choice: auto, tool_results: {{f: x}}, enable_thinking: false, "
        f"response_format: {{type: json_schema, json_schema: {{name: n, schema: {schema}}}}}}}",
    )
    assert sent["tools"][0]["type"] == "function"
    assert sent["tools"][0]["function"]["parameters"]["properties"] == {"a": {"type": "integer"}}
    assert sent["response_format"]["json_schema"] == {
        "name": "n",
        "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
    }
    assert sent["enable_thinking"] is False
    assert "tool_results" not in sent


def test_images_are_drawn_in_the_wanted_size_and_differ(tmp_path):
    request = "{prompt: {text: 'What?', images: [{size: 64x48, detail: low, distinct: 3}, {url: 'http://x/y.png'}]}}"
    [message] = planned(tmp_path, request).input
    drawn, linked, text = message["content"]
    assert (linked["image_url"], text) == ({"url": "http://x/y.png"}, {"type": "text", "text": "What?"})
    assert drawn["image_url"]["detail"] == "low"
    data = base64.b64decode(drawn["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(data)).size == (64, 48)
    urls = {planned(tmp_path, request, k).input[0]["content"][0]["image_url"]["url"] for k in range(30)}
    assert len(urls) == 3


def test_files_of_images_and_sounds_lie_beside_the_scenario(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    (tmp_path / "cat.wav").write_bytes(b"RIFF")
    request = "{prompt: {text: Hi, images: [{file: cat.png}], sounds: [{file: cat.wav}], videos: ['http://x/y.mp4']}}"
    image, video, sound, _ = planned(tmp_path, request).input[0]["content"]
    assert image["image_url"]["url"] == "data:image/png;base64,iVBORw=="
    assert video == {"type": "video_url", "video_url": {"url": "http://x/y.mp4"}}
    assert sound == {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    told = mistakes_of(tmp_path, "{prompt: {text: Hi, images: [{file: dog.png}]}}", "{api: nobody.py:api, prompt: Hi}")
    assert told[0].startswith("6: requests.0.prompt.images.0.file: there is no file")
    assert told[1].startswith("7: requests.1.api: there is no file")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("{api: txt2img, prompt: cat, width: 64}", "requests.0.width is 64; from 128 to 2048 is expected"),
        ("{api: txt2img, prompt: cat, image_num: 9}", "requests.0.image_num is 9; from 1 to 8 is expected"),
        ("{api: txt2img, prompt: {tokens: 900}}", "requests.0.prompt has 3870 characters; from 1 to 1024 are expected"),
        ("{api: img2img, prompt: cat, image: {size: 5000x5000}}", "requests.0.image has 25 megapixels; at most 16"),
        ("{api: txt2speech, prompt: Hi, voice_id: Eve}", "requests.0.voice_id is 'Eve'; Emily, James, Olivia, Michael, Sarah or John is expected"),
        ("{api: flux, prompt: cat, steps: 0}", "requests.0.steps is 0; from 1 to 100 is expected"),
        ("{api: batch, prompt: Hi, requests: 60000}", "requests.0.requests is 60000; from 1 to 50000 is expected"),
        ("{api: batch, prompt: {tokens: 9000}, requests: 9000}", "requests.0.requests make a file of about 350 MB"),
        ("{api: messages, prompt: Hi, max_tokens: 50, temperature: 1.5}", "requests.0.temperature is 1.5; from 0 to 1"),
        ("{api: messages, prompt: Hi, max_tokens: 50, thinking: {budget_tokens: 60}}", "budget_tokens is 60; at least 1024"),
        ("{prompt: Hi, logit_bias: {'7': -101}}", "requests.0.logit_bias.7 is -101.0; from -100 to 100 is expected"),
        ("{prompt: Hi, tools: [{function: {name: f, parameters: {type: objekt}}}]}",
         "requests.0.tools.0.function.parameters is not a valid JSON Schema: type: 'objekt' is not valid"),
    ],
)  # fmt: skip
def test_what_the_provider_would_refuse_is_said_before_it_is_sent(tmp_path, request_, words):
    [told] = mistakes_of(tmp_path, request_)
    assert told.startswith("6: ")
    assert words in told
    assert "unchecked: true it is sent anyway" in told
    assert loaded(tmp_path, request_.replace("prompt:", "unchecked: true, prompt:", 1)).requests[0].unchecked


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("{api: caht, prompt: Hi}", "requests.0.api is 'caht'; did you mean chat?"),
        ("{api: embeddings, prompt: Hi, max_tokens: 3}", "requests.0.max_tokens is not known"),
        ("{api: embeddings, prompt: Hi, dimension: 3}", "did you mean dimensions?"),
        ("{api: messages, prompt: Hi}", "requests.0.max_tokens is missing"),
        ("{api: rerank, prompt: Hi}", "requests.0.documents is missing"),
        ("{api: batch, prompt: Hi, stream: true}", "requests.0.stream"),
        ("{api: embeddings, prompt: Hi, stream: true}", "requests.0.stream is True; False is expected"),
        ("{api: models, stream: true}", "requests.0.stream"),
        ("{api: flux, prompt: Hi, stream: true}", "requests.0.stream"),
        ("{api: txt2video, prompt: Hi, stream: true}", "requests.0.stream"),
        ("{api: img2img, prompt: Hi, image: {url: 'http://x'}}", "this API takes the image itself"),
        ("{prompt: {text: Hi, images: [{size: 5, url: x}]}}", "requests.0.prompt.images.0"),
        ("{prompt: Hi, tool_results: {g: x}}", "tool_results has g, which is not among the tools: none"),
        ("{prompt: Hi, response_format: json_schema}", "json_schema belongs to type json_schema"),
        ("{api: txt2img, prompt: Hi, poll: {interval: 0s}}", "requests.0.poll.interval"),
    ],
)
def test_a_mistake_is_told_by_the_words_of_its_own_api(tmp_path, request_, words):
    told = mistakes_of(tmp_path, request_)
    assert any(one.startswith("6: ") and words in one for one in told), told


def test_a_second_turn_has_a_name_that_no_other_class_may_have(tmp_path):
    request = f"{{name: w, prompt: Hi, tools: [{TOOL}], tool_results: {{f: x}}}}"
    assert loaded(tmp_path, request).requests[0].classes == ("w", "w: result")
    [told] = mistakes_of(tmp_path, request, "{name: 'w: result', prompt: Hi}")
    assert "requests.1 has the name 'w: result', which is taken" in told


def test_a_batchs_lines_differ_and_none_comes_twice(tmp_path):
    first, second = (planned(tmp_path, "{api: batch, prompt: {tokens: 30}, requests: 4}", k).input for k in range(2))
    texts = [messages[0]["content"] for messages in [*first, *second]]
    assert len(set(texts)) == 8
    assert planned(tmp_path, "{api: batch, endpoint: completions, prompt: Hi, requests: 2}").input == ["Hi", "Hi"]


def test_llama_serves_one_kind_at_a_time(tmp_path):
    with pytest.raises(Mistakes, match="serves embeddings or texts, not both"):
        loaded(tmp_path, "{prompt: Hi}", "{api: embeddings, prompt: Hi}", overrides=["target=llama.cpp"])


def test_a_forecast_counts_images_and_the_batchs_own_price(tmp_path):
    options = ['prices={m: {input: 1.0, output: 10.0, item: 0.01, batch: 0.5}}', "load.requests=10"]  # fmt: skip
    painting = loaded(tmp_path, "{api: txt2img, prompt: cat, image_num: 8}", overrides=options)
    [painted] = forecast(painting, painting.load.as_stages(), 1)
    assert (painted.images, painted.dollars) == (8, pytest.approx(10 * 8 * 0.01, rel=0.01))
    batches = loaded(tmp_path, "{api: batch, prompt: Hi, max_tokens: 10, requests: 100}", overrides=options)
    [batch] = forecast(batches, batches.load.as_stages(), 1)
    assert batch.dollars == pytest.approx(10 * 100 * 10 * 10.0 / 1e6 * 0.5, rel=0.05)


def test_an_api_of_ones_own_is_looked_at_before_it_is_used(tmp_path):
    (tmp_path / "mine.py").write_text("half = object()\nraise_ = 1\n")
    with pytest.raises(UnknownApiError, match="half is not an API; it lacks name, family, path, body, read"):
        protocol(f"{tmp_path / 'mine.py'}:half")
    (tmp_path / "broken.py").write_text("import nobody_has_this\n")
    with pytest.raises(UnknownApiError, match=r"broken\.py cannot be imported: ModuleNotFoundError"):
        protocol(f"{tmp_path / 'broken.py'}:api")
