"""Broken scenarios and command lines: each is told with file and line, quickly, and nothing is written or sent."""

from __future__ import annotations

import json
import os

import pytest

from bench.cli.scenario import api_mistakes
from bench.experiments import read_scenario
from bench.plan import Mistakes, parse_threshold, redacted, secrets, shown_command, shown_url
from bench.plan.datasets import read_dataset
from bench.plan.document import read_document, validate
from bench.plan.syntax import read_yaml
from bench.simulator.config import Provider
from tests.conftest import bench

SOUND = """\
target: {url: "http://127.0.0.1:9"}
models: [m]
requests:
  - {prompt: Hello, max_tokens: 5}
load: {users: 1, duration: 1s}
"""
KEYED = 'target: {url: "http://127.0.0.1:9", key: "${KEY}"}'
TARGET, MODELS, REQUEST, LOAD = (
    SOUND.splitlines()[0],
    "models: [m]",
    "{prompt: Hello, max_tokens: 5}",
    "load: {users: 1, duration: 1s}",
)


def told_of(folder, text, **options):
    path = folder / "chat.yaml"
    path.write_text(text, "utf-8")
    before = sorted(folder.iterdir())
    with pytest.raises(Mistakes) as raised:
        read_scenario(path, **{"environ": {}, "simulator": Provider} | options)
    assert sorted(folder.iterdir()) == before
    return str(raised.value).replace(str(path), "chat.yaml").replace(f"{folder}/", "").splitlines()


def target(more):
    return TARGET.replace("}", f", {more}}}")


def url(address):
    return f"target: {{url: {json.dumps(address)}}}"


def request(members):
    return f"{{{members}}}"


BOMB = "\n".join(
    ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]", *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))]
)

YAML = [
    (TARGET, BOMB, 1, "aliases make more than"),
    (TARGET, "target: &t [*t]", 1, "*t is an alias, but no complete value above it has that anchor"),
    (TARGET, "target: &t {url: *t}", 1, "*t is an alias, but no complete value above it has that anchor"),
    (TARGET, "target: *nothing", 1, "*nothing is an alias, but no complete value above it has that anchor"),
    (REQUEST, "[" * 5000, 4, "nested deeper than 50"),
    (REQUEST, "{a: " * 5000, 4, "nested deeper than 50"),
    (REQUEST, "- " * 5000, 4, "nested deeper than 50"),
    (MODELS, f"models: [{'m, ' * 20_000}m]", 2, "holds more than 10,000 values"),
    (MODELS, "models: " + "!" * 5000, 2, "300 exclamation marks"),
    (MODELS, "models: [m", 3, "not YAML: while parsing a flow sequence"),
    (MODELS, "models: [m]]", 2, "not YAML"),
    (MODELS, "models: @m", 2, "not YAML: while scanning for the next token"),
    (MODELS, "models: [m]\n\tx: 1", 3, "not YAML"),
    (MODELS, "models: [m]\n---\nmodels: [n]", 3, "a second document begins"),
    (MODELS, 'models: ["\\q"]', 2, "not YAML: while scanning a double-quoted scalar"),
    (MODELS, 'models: ["\\ud800"]', 2, "half of a surrogate pair"),
    (MODELS, "models: [a\x00b]", 2, "U+0000 is not allowed in YAML"),
    (MODELS, "models: [a\x07b]", 2, "U+0007 is not allowed in YAML"),
    (MODELS, "models: !!set {m}", 2, "the tag !!set is not known"),
    (MODELS, "models: [!!binary bQ==]", 2, "the tag !!binary is not known"),
    (MODELS, "models: [!!timestamp 2020-01-01]", 2, "the tag !!timestamp is not known"),
    (MODELS, "models: [!!python/object/apply:os.getcwd []]", 2, "the tag !!python/object/apply:os.getcwd"),
    (MODELS, "models: !mine [m]", 2, "the tag !mine is not known"),
    (MODELS, "models: [!!int m]", 2, "the tag !!int is not known"),
    (MODELS, "models: [m]\nmodels: [n]", 3, "models is given twice; the first is in line 2"),
    (MODELS, "models: [m]\n1: x", 3, "the key 1 is not text; put it in quotes"),
    (MODELS, "models: [m]\nnull: x", 3, "the key null is not text"),
    (MODELS, "models: [m]\ntrue: x", 3, "the key true is not text"),
    (MODELS, "models: [m]\n1.5: x", 3, "the key 1.5 is not text"),
    (MODELS, "models: [m]\n[a]: x", 3, "a list or mapping is in the place of a key"),
    (MODELS, "models: [m]\n? {a: b}\n: x", 3, "a list or mapping is in the place of a key"),
    (MODELS, "models: [m]\n: x", 3, "an empty key is not text"),
    (MODELS, "models: [m]\n<<: 5", 3, "<< needs an alias of keys and values"),
    ("users: 1", "users: 010", 5, "010 has a leading zero; write 10"),
    ("users: 1", "users: -08", 5, "-08 has a leading zero; write -8"),
    ("users: 1", "users: 01.5", 5, "01.5 has a leading zero; write 1.5"),
    ("users: 1", "users: " + "9" * 5000, 5, "has more than 64 bits"),
    ("users: 1", "users: 0x" + "f" * 5000, 5, "has more than 64 bits"),
    ("users: 1", "users: 18446744073709551616", 5, "has more than 64 bits"),
    ("max_tokens: 5", "extra_body: {a: .inf}", 4, ".inf is not finite"),
    ("max_tokens: 5", "extra_body: {a: -.INF}", 4, "-.INF is not finite"),
    ("max_tokens: 5", "extra_body: {a: .nan}", 4, ".nan is not finite"),
    ("max_tokens: 5", "extra_body: {a: 1e999}", 4, "1e999 is not finite"),
    ("max_tokens: 5", "extra_body: {1: a}", 4, "the key 1 is not text"),
    ("max_tokens: 5", "extra_body: {a: !!set {b}}", 4, "the tag !!set is not known"),
    (SOUND, "", None, "target is missing"),
    (SOUND, "just text", 1, "keys and values are expected"),
    (SOUND, "5", 1, "keys and values are expected"),
    (SOUND, "x" * 1_000_001, None, "at most 1,000,000 are expected; put prompts into a data file"),
]  # fmt: skip

NUMBERS = [
    ("users: 1", "users: true", 5, "load.users: got true; a number is expected"),
    ("users: 1", "users: 1e30", 5, "load.users is 1e+30"),
    ("users: 1", "users: 1.5", 5, "load.users is 1.5; a whole number is expected"),
    ("users: 1", "users: 1000001", 5, "load.users is 1000001; it should be less than or equal to 1000000"),
    ("users: 1", "users: -1", 5, "load.users is -1"),
    ("users: 1", "users: [a]", 5, "load.users.0 is 'a'; a whole number is expected"),
    ("users: 1", "users: []", 5, "load.users is []; at least 1 entry is expected"),
    ("max_tokens: 5", "api: 'a.py:b', tool_results: {}", 4, "tool_results is not known; known are name, weight, api"),
    ("users: 1", "users: 2020-01-01", 5, "load.users is '2020-01-01'"),
    ("users: 1", 'users: "inf"', 5, "load.users is 'inf'"),
    ("users: 1", "users: 1, spawn_rate: 0", 5, "load.spawn_rate is 0"),
    ("users: 1", "users: 1, spawn_rate: 1e9", 5, "load.spawn_rate is 1000000000.0"),
    ("users: 1", "users: 1, processes: 257", 5, "load.processes is 257"),
    ("users: 1", "users: 1, processes: true", 5, "load.processes: got true"),
    ("users: 1", "rate: 1e30", 5, "load.rate is 1e+30"),
    ("users: 1", 'rate: "nan"', 5, "load.rate is 'nan'"),
    ("users: 1", 'rate: "inf"', 5, "load.rate is 'inf'"),
    ("users: 1", "rate: 1e-300", 5, "at least 1e-05 requests per second"),
    ("users: 1", "rate: false", 5, "load.rate: got false"),
    ("users: 1, duration: 1s", "rate: 1e6, duration: 10h", 5, "at most 1,000,000,000 are expected"),
    ("duration: 1s", "duration: 1000h", 5, "load.duration is '1000h'; it should be less than or equal to 2592000"),
    ("duration: 1s", "duration: 1e400s", 5, "load.duration is inf; it should be a finite number"),
    ("duration: 1s", "duration: 0s", 5, "load.duration is '0s'"),
    ("duration: 1s", "duration: 1us", 5, "load.duration is '1us'"),
    ("duration: 1s", "duration: true", 5, "load.duration"),
    ("duration: 1s", "duration: -1s", 5, "load.duration is '-1s'"),
    ("duration: 1s", "duration: 1 fortnight", 5, "is not a duration"),
    ("duration: 1s", "duration: [1s]", 5, "load.duration"),
    ("duration: 1s", "duration: 1s, warmup: 1e9", 5, "load.warmup is 1000000000.0"),
    ("duration: 1s", "duration: 1s, drain: 1e9", 5, "load.drain is 1000000000.0"),
    ("duration: 1s", "requests: 1e12", 5, "load.requests is 1000000000000.0"),
    ("duration: 1s", "requests: 0", 5, "load.requests is 0"),
    ("max_tokens: 5", "max_tokens: 1e18", 4, "requests.0.max_tokens is 1e+18"),
    ("max_tokens: 5", "max_tokens: true", 4, "requests.0.max_tokens: got true"),
    ("max_tokens: 5", "temperature: true", 4, "requests.0.temperature: got true"),
    ("max_tokens: 5", 'temperature: "inf"', 4, "requests.0.temperature is 'inf'"),
    ("max_tokens: 5", "weight: 0", 4, "requests.0.weight is 0"),
    ("max_tokens: 5", "weight: 1e30", 4, "requests.0.weight is 1e+30"),
    ("max_tokens: 5", "weight: true", 4, "requests.0.weight: got true"),
    ("max_tokens: 5", "n: 1e12", 4, "requests.0.n is 1"),
    ("max_tokens: 5", "logit_bias: {a: true}", 4, "requests.0.logit_bias.a: got true"),
    (REQUEST, request("prompt: {tokens: 1e9}"), 4, "requests.0.prompt.tokens is 1"),
    (REQUEST, request("prompt: {tokens: 10, prefix: {tokens: 5, groups: 1e9}}"), 4, "requests.0.prompt.prefix.groups"),
    (REQUEST, request("api: embeddings, prompt: Hi, inputs: 1e9"), 4, "requests.0.inputs is 1"),
    (REQUEST, request("api: rerank, prompt: Hi, documents: {count: 1e9, tokens: 5}"), 4, "documents"),
    (REQUEST, request("api: batch, prompt: Hi, requests: 1e9"), 4, "requests.0.requests is 1"),
    (REQUEST, request("api: task, prompt: Hi, poll: {interval: 0.00001}"), 4, "requests.0.poll.interval is 1e-05"),
    (REQUEST, request("api: task, prompt: Hi, poll: {timeout: 1e12}"), 4, "requests.0.poll.timeout is 1"),
    (REQUEST, request("prompt: {text: Hi, images: [{size: 99999x99999}]}"), 4, "megapixels are drawn"),
    (REQUEST, request("prompt: {text: Hi, images: [{size: 65600x1}]}"), 4, "at most 65500 pixels a side"),
    (REQUEST, request("prompt: {text: Hi, images: [{size: 4000x4000, distinct: 1000}]}"), 4, "take too long to draw"),
    (REQUEST, request("prompt: {text: Hi, images: [{size: 5x0}]}"), 4, "requests.0.prompt.images.0.size is '5x0'"),
    (REQUEST, request("api: img2img, prompt: Hi, image: {size: 99999x99999}"), 4, "megapixels are drawn"),
    (LOAD, LOAD + "\ntimeouts: {total: 1e9}", 6, "timeouts.total is 1000000000.0"),
    (LOAD, LOAD + "\ntimeouts: {gap: 0}", 6, "timeouts.gap is 0"),
    (LOAD, LOAD + "\nretries: {attempts: 1000}", 6, "retries.attempts is 1000"),
    (LOAD, LOAD + "\nretries: {backoff: 1e9}", 6, "retries.backoff is 1000000000.0"),
    (LOAD, LOAD + "\nprices: {m: {input: 1e30}}", 6, "prices.m.input is 1e+30"),
    (LOAD, LOAD + "\nprices: {m: {input: -1}}", 6, "prices.m.input is -1"),
    (LOAD, LOAD + '\nprices: {m: {input: "nan"}}', 6, "prices.m.input is 'nan'"),
    (LOAD, LOAD + "\nprices: {m: {input: true}}", 6, "prices.m.input: got true"),
    (LOAD, LOAD + "\nprices: {m: {input: 1, batch: 2}}", 6, "prices.m.batch is 2"),
    (LOAD, LOAD + "\nseed: 4294967296", 6, "seed is 4294967296"),
    (LOAD, LOAD + "\nseed: true", 6, "seed: got true"),
    (LOAD, LOAD + "\nwebhook: {port: 99999}", 6, "webhook.port is 99999"),
    (LOAD, LOAD + "\nslo: {ttft: 1e9s}", 6, "slo.ttft is"),
    (LOAD, LOAD + "\nslo: {ttft: 500}", 6, "500 has no unit, and as seconds it is long: did you mean 500ms or 500s?"),
    (LOAD, LOAD + "\nslo: {e2e: '90.5'}", 6, "90.5 has no unit, and as seconds it is long"),
    (LOAD, LOAD + "\nslo: {}", 6, "is empty; a limit such as ttft: 500ms is expected"),
]  # fmt: skip

WORDS = [
    (LOAD, LOAD + "\nkind: stress", 6, "kind is 'stress'; load or "),
    (LOAD, LOAD + "\nkind: 5", 6, "kind is 5; load or "),
    (LOAD, LOAD + "\nkind: comparison", 6, "did you mean compare?"),
    (LOAD, LOAD + "\nkind: laod", 6, "did you mean load?"),
    (LOAD, LOAD + "\nkind: compare\narmss: {}", 7, "armss is not known; did you mean arms?"),
    (LOAD, LOAD + "\nkind: compare\nfoo: 1", 7, "fit, seed, arms, load, pairs, gate, slo, budget"),
    (LOAD, LOAD + "\nkind: compare\narms: 5", 7, "arms is 5; keys and values are expected"),
    (LOAD, LOAD + "\nname: " + "n" * 300, 6, "at most 150 characters"),
    (LOAD, LOAD + "\nname: ../up", 6, "name is '../up'"),
    (LOAD, LOAD + '\nname: "a\\n"', 6, "name is 'a\\n'"),
    (MODELS, "models: ['']", 2, "models.0: got ''; a name without spaces around it"),
    (MODELS, 'models: ["a\\u0007b"]', 2, "models.0: has the character U+0007"),
    (MODELS, "models: [" + "m" * 300 + "]", 2, "models.0: is 300 characters long"),
    (MODELS, "models: [1]", 2, "models.0 is 1; text is expected; put it in quotes if YAML reads something else"),
    ("max_tokens: 5", 'name: "a\\nb"', 4, "requests.0.name: has the character U+000A"),
    ("max_tokens: 5", "name: " + "n" * 300, 4, "requests.0.name: is 300 characters long"),
    ("prompt: Hello", "prompt: 5", 4, "requests.0.prompt is 5"),
    ("prompt: Hello", "prompt: {file: " + "f" * 5000 + "}", 4, "requests.0.prompt.file: there is no file"),
    ("prompt: Hello", "prompt: {file: .}", 4, "requests.0.prompt.file: there is no file"),
    (TARGET, target("headers: {'X Y': z}"), 1, "'X Y' is not a header's name"),
    (TARGET, target('headers: {"X:": z}'), 1, "'X:' is not a header's name"),
    (TARGET, target("headers: {Ä: z}"), 1, "'Ä' is not a header's name"),
    (TARGET, target("headers: {'': z}"), 1, "'' is not a header's name"),
    (TARGET, target('headers: {X: "a\\nY: b"}'), 1, "target.headers.X: has a line break"),
    (TARGET, target('headers: {X: "a\\0b"}'), 1, "target.headers.X: has the character U+0000"),
    (TARGET, target("headers: {X: ä}"), 1, "target.headers.X: has letters beyond ASCII"),
    (TARGET, target("headers: {X: 5}"), 1, "target.headers.X is '***'; text"),
    (TARGET, target("headers: {Content-Length: '5'}"), 1, "Content-Length belongs to the transport"),
    (TARGET, target("headers: {transfer-encoding: chunked}"), 1, "transfer-encoding belongs to the transport"),
    (TARGET, target("headers: {X-A: a, x-a: b}"), 1, "x-a is given twice, first as X-A"),
    (TARGET, url("http://h:0"), 1, "target.url: the port is '0'; a number from 1 to 65535"),
    (TARGET, url("http://h:65536"), 1, "the port is '65536'"),
    (TARGET, url("http://h:http"), 1, "the port is 'http'"),
    (TARGET, url("http://h:-1"), 1, "the port is '-1'"),
    (TARGET, url("http://h:" + "9" * 5000), 1, "at most 4000 are expected"),
    (TARGET, url("http://"), 1, "the host is missing"),
    (TARGET, url("http://:80"), 1, "the host is missing"),
    (TARGET, url("http://a..b"), 1, "the host 'a..b' is not a name"),
    (TARGET, url("http://-a.b"), 1, "the host '-a.b' is not a name"),
    (TARGET, url("http://" + "a" * 64 + ".de"), 1, "is not a name; the parts between its dots are 1 to 63"),
    (TARGET, url("http://" + "a." * 130 + "de"), 1, "is not a name"),
    (TARGET, url("http://a_b!c"), 1, "the host 'a_b!c' is not a name"),
    (TARGET, url("http://1.2.3"), 1, "the host 1.2.3 is not an IPv4 address"),
    (TARGET, url("http://256.1.1.1"), 1, "the host 256.1.1.1 is not an IPv4 address"),
    (TARGET, url("http://[::1"), 1, "an IPv6 address needs brackets"),
    (TARGET, url("http://[::g]"), 1, "IPv6"),
    (TARGET, url("http://[1.2.3.4]"), 1, "IPv6"),
    (TARGET, url("http://::1:80"), 1, "an IPv6 address needs brackets"),
    (TARGET, url("http://[::1]:x"), 1, "the port is 'x'"),
    (TARGET, url("http://a b"), 1, "has a space, which no URL can have"),
    (TARGET, url("http://a/b\u0007"), 1, "has the character U+0007"),
    (TARGET, url("http://a/\nb"), 1, "has the character U+000A"),
    (TARGET, url("http://a/#b"), 1, "the part after # is never sent to a server"),
    (TARGET, url("ftp://a"), 1, "http://… or https://… is expected"),
    (TARGET, url("a.b:80"), 1, "http://… or https://… is expected"),
    (TARGET, target("proxy: nowhere"), 1, "target.proxy: got 'nowhere'"),
    (TARGET, target("proxy: 'http://h:99999'"), 1, "target.proxy: the port is '99999'"),
    (TARGET, target("proxy: 'ftp://h'"), 1, "target.proxy: got 'ftp://h'"),
    (TARGET, target("verify: gone.pem"), 1, "gone.pem' is not a file with certificates"),
    (TARGET, target("verify: chat.yaml"), 1, "chat.yaml' is not a file with certificates"),
    (LOAD, LOAD + "\nwebhook: {url: nowhere}", 6, "webhook.url: got 'nowhere'"),
    (LOAD, LOAD + "\nwebhook: {host: 'a b'}", 6, "webhook.host: the host 'a b' is not a name"),
    (MODELS, "models: ['${X']", 2, "models.0: ${ begins a variable; write ${NAME}"),
    (MODELS, "models: ['${1X}']", 2, "models.0: ${ begins a variable"),
    (MODELS, "models: ['${}']", 2, "models.0: ${ begins a variable"),
    (MODELS, "models: ['${A-B}']", 2, "models.0: ${ begins a variable"),
    (MODELS, "models: ['${A:-${B}}']", 2, "models.0: ${ begins a variable"),
    (MODELS, "models: ['${GONE}']", 2, "models.0 has ${GONE}, which is not in the environment"),
    (LOAD, LOAD + "\n'${X}': 1", 6, "${NAME} can be used in values, not in keys"),
]  # fmt: skip

CREDENTIALS = [
    ("key: {every: 5m}", "target.key.command is missing"),
    ("key: {command: ''}", "target.key.command: is empty; a program and its arguments are expected"),
    ("key: {command: []}", "target.key.command: is empty"),
    ("key: {command: 5}", "target.key.command is '***'; text"),
    ("key: {command: [a, 5]}", "target.key.command.1 is '***'; text"),
    ('key: {command: "a | b"}', "target.key.command: has |, which means nothing without a shell; write sh -c '…'"),
    ('key: {command: "a > b"}', "has >, which means nothing without a shell"),
    ('key: {command: "a && b"}', "has &, which means nothing without a shell"),
    ('key: {command: "a $TOKEN"}', "has $TOKEN, which means nothing without a shell"),
    ('key: {command: "a $(b)"}', "has $(, which means nothing without a shell"),
    ('key: {command: "a `b`"}', "has `, which means nothing without a shell"),
    ('key: {command: "~/bin/a"}', "has ~, which means nothing without a shell"),
    ('key: {command: "a \'b"}', "has a quotation mark that is not closed"),
    ('key: {command: "a\\0b"}', "has the character U+0000"),
    ("key: {command: 'a ${GONE}'}", "target.key.command has ${GONE}, which is not in the environment"),
    ("key: {command: a, every: 0}", "target.key.every is 0"),
    ("key: {command: a, every: 5 parsecs}", "target.key.every: '5 parsecs' is not a duration"),
    ("key: {command: a, every: 100ms}", "target.key.every is 0.1; it should be greater than or equal to 1"),
    ("key: {command: a, timeout: 0}", "target.key.timeout is 0"),
    ("key: {command: a, evry: 5m}", "target.key.evry is not known; did you mean every?"),
    ("key: [a, b]", "target.key is '***'; text"),
    ("key: 5", "target.key is '***'; text"),
    ("key_header: api-key", "key_header is api-key, but there is no key"),
    ("key: {command: a}, key_header: Bearer", "leave key_header out: Authorization: Bearer is the default"),
    ('key: {command: a}, key_header: "api-key: x"', "'api-key: x' is not a header's name, such as api-key"),
    ("key: {command: a}, key_header: Content-Type", "Content-Type says something else; a header for keys is expected"),
    ("key: {command: a}, key_header: te", "te says something else"),
    ("query: api-version=1", "target.query is '***'; keys and values are expected"),
    ("query: {'': a}", "target.query: '' is not the name of a parameter"),
    ("query: {'?a': b}", "target.query: '?a' is not the name of a parameter"),
    ("query: {a: true}", "target.query.a is '***'; text is expected"),
    ("query: {a: [b]}", "target.query.a is '***'; text is expected"),
    ('query: {a: "b\\nc"}', "target.query.a: has a line break or a control character"),
    ("client_certificate: gone.pem", "gone.pem cannot be read"),
    ("client_certificate: 5", "target.client_certificate is 5; keys and values"),
    ("client_certificate: {cert: chat.yaml}", "chat.yaml has no certificate; a PEM file with BEGIN CERTIFICATE"),
    ("client_certificate: {cert: chat.yaml, password: x}", "target.client_certificate.password is in the file"),
]  # fmt: skip

THRESHOLDS = [
    ("ttft p95 < 10", "'10' has no unit; ttft is a time: did you mean 10ms or 10s?"),
    ("e2e p50 < 0.5", "did you mean 0.5ms or 0.5s?"),
    ("error_rate < 150%", "can never fail"),
    ("error_rate <= 100%", "can never fail"),
    ("error_rate < 0%", "can never hold"),
    ("error_rate < 1", "did you mean 1%?"),
    ("goodput > 100%", "can never hold"),
    ("goodput >= 0%", "can never fail"),
    ("goodput > 95", "did you mean 95%?"),
    ("goodput > -5%", "can never fail"),
    ("zero_gap_share > 120%", "can never hold"),
    ("ttft p95 < 0s", "can never hold"),
    ("ttft p95 <= 0ms", "can never hold"),
    ("ttft p95 > 0s", "can never fail"),
    ("ttft p95 < 1e400s", "can never fail"),
    ("ttft p95 < 9999h", "can never fail"),
    ("requests_per_s >= 0", "can never fail"),
    ("requests_per_s < 0", "can never hold"),
    ("output_tokens_per_s > 1e30", "can never hold"),
    ("error_rate < 1s", "has the unit s"),
    ("requests_per_s > 5/min", "has the unit /min"),
    ("ttft p95 < 5%", "is not a duration"),
    ("ttft p96 < 5s", "p96 is not a statistic"),
    ("ttft < 5s", "a latency needs a statistic"),
    ("tftt p95 < 5s", "did you mean ttft?"),
    ("", "is not a threshold"),
]  # fmt: skip

DATA = [
    ("d.jsonl", "", "d.jsonl: holds no prompt"),
    ("d.jsonl", '{"prompt": "a"}\n{"prompt": ', "d.jsonl:2: not JSON"),
    ("d.jsonl", '{"prompt": "a"}\n\n5', "d.jsonl:3: 5 is not an object"),
    ("d.jsonl", '{"prompt": NaN}', "d.jsonl:1: not JSON"),
    ("d.jsonl", '{"prompt": "\\ud800"}', "d.jsonl:1: not JSON"),
    ("d.jsonl", '{"prompt": 5}', "d.jsonl:1: messages or prompt is missing"),
    ("d.jsonl", '{"messages": "Hi"}', "d.jsonl:1: messages or prompt is missing"),
    ("d.jsonl", '{"messages": ["Hi"]}', 'd.jsonl:1: "Hi" is not a message'),
    ("d.jsonl", '{"messages": [{"role": "user", "content": 5}]}', "its content is 5; text, or a list of parts such as"),
    ("d.jsonl", '{"messages": [{"role": "user", "content": ["Hi"]}]}', 'its content is ["Hi"]; text, or a list of parts'),
    ("d.jsonl", '{"messages": [{"role": ["user"], "content": "Hi"}]}', 'its role is ["user"]; system, developer, user,'),
    ("d.jsonl", '{"messages": [{"role": "user"}]}', "it has no content; text, or a list of parts"),
    ("d.jsonl", '{"messages": [{"content": "Hi"}]}', "it has no role; system, developer, user,"),
    ("d.jsonl", '{"messages": [{"role": "uesr", "content": "Hi"}]}', 'its role is "uesr"; system, developer, user, '),
    ("d.jsonl", '{"messages": [{"role": "user", "content": [{"a": ' + "[" * 300 + "]" * 300 + "}]}]}",
     "d.jsonl:1: values are nested deeper than 50 levels"),
    ("d.jsonl", '{"messages": [5, ' + '{"a": ' * 1000 + "1" + "}" * 1000 + "]}",
     "d.jsonl:1: values are nested deeper than 50 levels"),
    ("d.jsonl", '{"prompt": "a"}' + "\n" * 10 + '{"a": ' * 1000 + "1" + "}" * 1000, "d.jsonl:11: values are nested deeper than 50 levels"),
    ("d.jsonl", '{"messages": [{"role": "assistant", "content": "Hi"}]}', "d.jsonl:1: there is no message with the role user"),
    ("d.jsonl", '{"messages": []}', "d.jsonl:1: there is no message with the role user"),
    ("d.jsonl", "[" * 5000, "d.jsonl:1: not JSON"),
    ("d.json", "[1, 2", "d.json:1: not JSON"),
    ("d.json", '[{"conversations": [5]}]', "d.json: row 1: 5 is not a message"),
    ("d.json", '[{"conversations": [{"from": ["human"], "value": "Hi"}]}]', "is not a message"),
    ("d.json", '[{"conversations": [{"from": "human", "value": 5}]}]', "is not a message"),
    ("d.json", '[{"conversations": "Hi"}]', "d.json: row 1: conversations is missing"),
    ("d.json", '[{"conversations": [{"from": "human", "value": "Hi"}]}, {"id": 1}]', "d.json: row 2: conversations is missing"),
    ("d.json", '[{"conversations": [{"from": "nobody", "value": "Hi"}]}]', 'its from is "nobody"; human, gpt or system is'),
    ("d.json", '[{"conversations": []}]', "d.json: holds no prompt"),
    ("d.csv", "text\nHi\n", "d.csv:2: there is no column 'prompt'"),
    ("d.csv", "text,b\nHi,5,6\n", "or it is empty; columns are text, b"),
    ("d.csv", "prompt\n", "d.csv: holds no prompt"),
    ("d.csv", "prompt,b\n,x\n", "d.csv:2: there is no column 'prompt', or it is empty"),
]  # fmt: skip

SOUND_API = """
class A:
    name, family, path = "x", "llm", "x"
    def body(self, ask): return {}
    def read(self, reads, *, stream): return None
api = A()
"""
APIS = [
    ("raise RuntimeError('no')", "cannot be imported: RuntimeError: no"),
    ("def (", "cannot be imported: SyntaxError"),
    ("import sys; sys.exit(3)", "cannot be imported: SystemExit: 3"),
    ("import gone_module", "cannot be imported: ModuleNotFoundError"),
    ("x = 1", "mine.py has no api"),
    ("api = 1", "api is not an API; it lacks name, family, path, body, read"),
    ("class api:\n    pass", "api is a class; an object is expected"),
    ("class A:\n    name = 5\n    family = path = 'x'\n    body = read = print\napi = A()", "api.name is 5; text is expected"),
    ("class A:\n    name = family = path = 'x'\n    body = 5\n    read = print\napi = A()", "api.body is 5; a function is expected"),
    ("class A:\n    name = 'x'\n    steps = print\napi = A()", "it lacks family"),
    (SOUND_API + "api.family = 'llms'", "api.family is 'llms'; llm, openai, anthropic, media are known"),
    (SOUND_API + "api.method = 'FETCH'", "api.method is 'FETCH'; POST, PUT, PATCH, GET, DELETE are known"),
    (SOUND_API + "api.path = 'v1/{deployment}'", "api.path is 'v1/{deployment}'; {model} is the only part in braces"),
    (SOUND_API + "api.read = lambda reads: None", "api.read takes (reads); it is called with (reads, *, stream)"),
    (SOUND_API + "api.body = lambda: {}", "api.body takes (); it is called with (ask)"),
    (SOUND_API + "api.token_times = lambda: None", "api.token_times takes (); it is called with (reads)"),
    (SOUND_API + "api.reply = lambda answer: []", "api.reply takes (answer); it is called with (answer, results)"),
    ("class A:\n    name = 'x'\n    family = 'media'\n    steps = lambda self: []\napi = A()", "api.steps takes (); it is called with (ask)"),
]  # fmt: skip

OPTIONS = [
    (["load.users"], "--set: got no = in it; KEY=VALUE is expected"),
    (["=5"], "--set: got no key before =; KEY=VALUE is expected"),
    (["load.users=010"], "--set load.users: 010 has a leading zero"),
    (["load.users=.inf"], "--set load.users: .inf is not finite"),
    (["load.users=!!set {a}"], "--set load.users: the tag !!set is not known"),
    (["load.users=&a [*a]"], "--set load.users: load.users is '&a [*a]'"),
    (["load.users=true"], "--set load.users: load.users: got true"),
    (["models.7=n"], "--set models.7: there is no 7 to set models.7 in"),
    (["models.²=n"], "--set models.²: there is no ² to set"),
    (["models." + "9" * 5000 + "=n"], "to set models.999"),
    ([".".join(["a"] * 200) + "=5"], "--set: a key has more than 50 parts"),
    (["target.key=sk-0123456789"], "--set target.key: target.key is in the file"),
    (["models.0=\udcff"], "--set models.0: models.0 has bytes that are not UTF-8 text"),
    (["foo.bar=1"], "--set foo.bar: foo is not known"),
    (["load.foo.bar=1"], "--set load.foo.bar: load.foo is not known"),
    (["kind=stress"], "--set kind: kind is 'stress'"),
    (["thresholds=['ttft p95 < 10']"], "did you mean 10ms or 10s?"),
]  # fmt: skip

ADDRESSES = ["http://h:99999", "ftp://h", "h", "", "http://[::1", "http://a b", "simulator2"]

KEYS = [
    ("sk-0123\n456789", "target.key: has a line break"),
    ("sk-0123\r456789", "target.key: has a line break"),
    ("sk-0123\x00456789", "target.key: has the character U+0000"),
    ("sk-0123\x7f456789", "target.key: has the character U+007F"),
    ("sk-0123ä456789", "target.key: has letters beyond ASCII"),
    ("   ", "target.key: is empty"),
    ("\udcff0123456789", "has bytes that are not UTF-8 text"),
    ("", "target.key has ${KEY}, which is empty"),
]  # fmt: skip

PROVIDERS = [
    ("models: {m: {ttft: [2, 1]}}", 1, "models.m.ttft: 2 and 1 are given; the smaller one comes first"),
    ("models: {m: {ttft: [0, 1e9]}}", 1, "models.m.ttft.1 is 1000000000.0"),
    ("models: {m: {output_tokens: [50, 10]}}", 1, "the smaller one comes first"),
    ("models: {m: {slots: true}}", 1, "models.m.slots: got true"),
    ("models: {m: {slots: 0}}", 1, "models.m.slots is 0"),
    ("models: {m: {decode_per_token: .inf}}", 1, ".inf is not finite"),
    ('models: {m: {decode_per_token: "inf"}}', 1, "models.m.decode_per_token is 'inf'"),
    ("models: {m: {faults: [{kind: error, share: 2}]}}", 1, "models.m.faults.0.share is 2"),
    ("models: {m: {faults: [{kind: big_token, size: 1e12}]}}", 1, "models.m.faults.0.size is 1"),
    ('models: {m: {faults: [{kind: error, retry_after: "1\\r\\nX: y"}]}}', 1, "is not a valid header value"),
    ("seed: 1e30", 1, "seed is 1e+30"),
    ("batch_rate: 0", 1, "batch_rate is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "words"), [*YAML, *NUMBERS, *WORDS])
def test_a_broken_scenario_is_told_with_its_line_before_anything_is_sent(tmp_path, old, new, line, words):
    assert old in SOUND
    told = told_of(tmp_path, SOUND.replace(old, new))
    where = "chat.yaml: " if line is None else f"chat.yaml:{line}: "
    assert any(one.startswith(where) and words in one for one in told), told


@pytest.mark.parametrize(("members", "words"), CREDENTIALS)
def test_broken_credentials_are_told_with_their_line(tmp_path, members, words):
    told = told_of(tmp_path, SOUND.replace(TARGET, target(members)))
    assert any(one.startswith("chat.yaml:1: ") and words in one for one in told), told


def test_a_parameter_is_given_once(tmp_path):
    told = told_of(tmp_path, SOUND.replace(TARGET, 'target: {url: "http://a.b/?v=1", query: {v: 2}}'))
    assert told == ["chat.yaml:1: target: query has v, and so has the URL; only one of them is expected"]


@pytest.mark.parametrize(
    "command", ["sh -c 'a $(b) | c > d'", "jq -r '.token | select(. != null)'", 'curl "http://a/?b=1&c=2"', "a \\| b",
                ["a", "|", "$b"], "/opt/bin/get-key --name=my-key", "bash -c \"echo $HOME\""],
)  # fmt: skip
def test_a_command_that_means_the_same_without_a_shell_is_taken(tmp_path, command):
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace(TARGET, target(f"key: {{command: {json.dumps(command)}}}")))
    assert read_scenario(path).target.key.arguments[0] == (command if isinstance(command, list) else command.split())[0]


@pytest.mark.parametrize(("expression", "words"), THRESHOLDS)
def test_a_threshold_that_decides_nothing_is_a_mistake(tmp_path, expression, words):
    told = told_of(tmp_path, SOUND + f"slo: {{ttft: 1s}}\nthresholds:\n- {json.dumps(expression)}\n")
    assert any(one.startswith("chat.yaml:8: ") and words in one for one in told), told


@pytest.mark.parametrize(
    "expression", ["ttft p95 < 800ms", "error_rate < 1%", "error_rate <= 0", "error_rate < 0.01", "goodput >= 100%",
                   "requests_per_s > 0", "items_per_min > 5/min", "ttft p95 < 100%".replace("100%", "10s")],
)  # fmt: skip
def test_a_threshold_that_the_measurement_decides_is_taken(expression):
    assert parse_threshold(expression).expression == expression


@pytest.mark.parametrize(("name", "text", "words"), DATA)
def test_a_broken_data_file_is_told_with_its_own_line(tmp_path, name, text, words):
    (tmp_path / name).write_text(text, "utf-8")
    told = told_of(tmp_path, SOUND.replace("prompt: Hello", f"prompt: {{file: {name}}}"))
    assert told[0].startswith(name), told
    assert words in told[0]


def test_of_many_broken_lines_the_first_are_told_and_the_rest_counted(tmp_path):
    (tmp_path / "d.jsonl").write_text("x\n" * 1000)
    told = told_of(tmp_path, SOUND.replace("prompt: Hello", "prompt: {file: d.jsonl}"))
    assert len(told) == 21
    assert told[0] == "d.jsonl: 980 more lines are broken"


def test_a_line_separator_inside_a_json_line_is_a_character_as_any_other(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"prompt": "a\u2028b\u0085c"}\r\n{"prompt": "d"}\n', "utf-8")
    assert [messages[0]["content"] for messages in read_dataset(tmp_path / "d.jsonl", None, "prompt")] == [
        "a\u2028b\u0085c",
        "d",
    ]


@pytest.mark.parametrize(("code", "words"), APIS)
def test_an_api_of_ones_own_that_is_none_is_a_mistake_of_the_scenario(tmp_path, code, words):
    (tmp_path / "mine.py").write_text(code)
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace("max_tokens: 5", 'api: "mine.py:api"'))
    with pytest.raises(Mistakes) as raised:
        read_scenario(path, own_api=api_mistakes)
    assert str(raised.value).startswith(f"{path}:4: requests.0.api: ")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("code", "key", "value", "words"),
    [
        ("", "stream", "true", "mine.py:api has no function token_times"),
        ("api.token_times = None", "stream", "true", "mine.py:api has no function token_times"),
        (
            "from bench.wire.unary import Unary\napi = Unary('x', 'x', dict, print)",
            "stream",
            "true",
            "mine.py:api is a Unary, so it answers at once",
        ),
        ("", "poll", "{interval: 1s}", "mine.py:api has no steps, so nothing is polled for"),
        ("", "conversation", "{turns: 2, tokens: 9}", "mine.py:api has no function reply, so it has one turn"),
        (
            "api.steps = api.reply = lambda *_: []",
            "conversation",
            "{turns: 2, tokens: 9}",
            "mine.py:api has steps, so it has one turn",
        ),
    ],
)
def test_a_key_that_an_api_of_ones_own_has_no_use_for_is_told_with_its_line(tmp_path, code, key, value, words):
    (tmp_path / "mine.py").write_text(SOUND_API + code)
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace("max_tokens: 5", f'api: "mine.py:api", {key}: {value}'))
    with pytest.raises(Mistakes, match=f"^{path}:4: requests.0.{key}: {words}"):
        read_scenario(path, own_api=api_mistakes)


@pytest.mark.parametrize("more", ["token_times", "reply", "steps"])
def test_what_an_api_of_ones_own_has_can_be_asked_of_it(tmp_path, more):
    (tmp_path / "mine.py").write_text(f"{SOUND_API}api.{more} = lambda *_: None")
    asked = {
        "token_times": "stream: true",
        "reply": "conversation: {turns: 2, tokens: 9}",
        "steps": "poll: {timeout: 1m}",
    }
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace("max_tokens: 5", f'api: "mine.py:api", {asked[more]}'))
    read_scenario(path, own_api=api_mistakes)


@pytest.mark.parametrize(("options", "words"), OPTIONS)
def test_a_broken_option_is_told_by_its_name(tmp_path, options, words):
    told = told_of(tmp_path, SOUND, overrides=options)
    assert any(words in one for one in told), told
    assert "sk-0123456789" not in "".join(told)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_broken_target_option_is_told_by_its_name(tmp_path, address):
    told = told_of(tmp_path, SOUND, target=address)
    assert told[0].startswith("--target: target.url: ")


@pytest.mark.parametrize(("key", "words"), KEYS)
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(tmp_path, key, words):
    told = told_of(tmp_path, SOUND.replace(TARGET, KEYED), environ={"KEY": key})
    assert words in told[0]
    assert told[0].startswith("chat.yaml:1: ")
    assert "456789" not in "".join(told)


@pytest.mark.parametrize(("text", "line", "words"), PROVIDERS)
def test_a_broken_provider_of_the_simulator_is_told_with_its_line(tmp_path, text, line, words):
    path = tmp_path / "provider.yaml"
    path.write_text(text)
    with pytest.raises(Mistakes) as raised:
        validate(read_document(path, (), {}), Provider)
    assert any(one.startswith(f"{path}:{line}: ") and words in one for one in str(raised.value).splitlines())


@pytest.mark.parametrize(
    "address", ["http://[::1]:8000", "https://[2001:db8::1]/v1", "http://localhost", "http://my_host:1", "http://bücher.example",
                "https://user:p%40ss@h.example/v1?api-version=1", "http://127.0.0.1:65535/", "HTTP://A.B."],
)  # fmt: skip
def test_an_address_that_can_be_asked_is_taken(tmp_path, address):
    (tmp_path / "chat.yaml").write_text(SOUND)
    assert read_scenario(tmp_path / "chat.yaml", target=address).target.url == address


def test_yaml_that_is_sound_stays_so():
    text = "a: on\nb: 1:30\nc: 2020-01-01\nd: 1_000\ne: 0o17\nf: 0x1F\ng: 1e3\nh: !!str 5\ni: {p: Why?}\nj: &j {x: 1}\nk: {<<: *j, y: 2}\nl: ~\n"
    found = read_yaml(text)
    assert found.problems == []
    assert found.value == {
        "a": "on", "b": "1:30", "c": "2020-01-01", "d": "1_000", "e": 15, "f": 31, "g": 1000.0, "h": "5",
        "i": {"p": "Why?"}, "j": {"x": 1}, "k": {"x": 1, "y": 2}, "l": None,
    }  # fmt: skip


def test_a_dollar_and_a_brace_can_be_written_and_a_newline_at_a_variables_end_is_none_of_it(tmp_path):
    (tmp_path / "chat.yaml").write_text(SOUND.replace(TARGET, KEYED).replace("Hello", "'$${x} costs $5'"))
    scenario = read_scenario(tmp_path / "chat.yaml", environ={"KEY": "sk-0123456789\n"})
    assert scenario.requests[0].prompt.text == "${x} costs $5"
    assert scenario.target.key.get_secret_value() == "sk-0123456789"


def test_another_target_keeps_what_else_is_said_of_it(tmp_path):
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace(TARGET, 'target: {url: "http://a", key: "${KEY}", headers: {X: y}, style: novita}'))
    environ = {"KEY": "sk-0123456789"}
    moved = read_scenario(path, target="http://127.0.0.1:1", environ=environ).target
    assert (moved.url, moved.key.get_secret_value(), moved.style) == ("http://127.0.0.1:1", "sk-0123456789", "novita")
    assert moved.headers["X"].get_secret_value() == "y"
    here = read_scenario(path, target="simulator", environ={}).target  # a server on this machine needs no key
    assert (here.kind, here.key, here.style) == ("simulator", None, "novita")


AT_HOME = 'target: {url: "https://api.a.example/v1", key: "${KEY}", headers: {X: y, Team: "${TEAM}"}}'


@pytest.mark.parametrize(
    ("overrides", "target"),
    [
        ([], "https://api.a.example/v2"),
        ([], "http://127.0.0.1:8000"),
        ([], "http://localhost:8000"),
        ([], "http://[::1]:8000"),
        (["target.url=https://api.a.example"], None),
        (["target.key=${KEY}", "target.headers.Team=${TEAM}"], "https://b.example"),
        (["target.key=${KEY}", "target.headers={}"], "https://b.example"),
        (["target={url: https://b.example, key: '${KEY}'}"], None),
    ],
)
def test_credentials_go_to_the_files_host_to_this_machine_or_where_the_command_line_sends_them(
    tmp_path, overrides, target
):
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace(TARGET, AT_HOME))
    environ = {"KEY": "sk-0123456789", "TEAM": "team-0123456789"}
    asked = read_scenario(path, overrides=overrides, target=target, environ=environ).target
    assert asked.key.get_secret_value() == "sk-0123456789"


@pytest.mark.parametrize(
    ("overrides", "target", "why"),
    [
        ([], "https://b.example", "b.example, which is not api.a.example"),
        ([], "https://api.a.example.b.example", "api.a.example.b.example, which is not api.a.example"),
        ([], "https://127.0.0.1.b.example", "127.0.0.1.b.example, which is not api.a.example"),
        ([], "https://api.a.example@b.example", "b.example, which is not api.a.example"),
        ([], "http://api.a.example/v1", "api.a.example, which is not encrypted"),
        (["target.url=https://b.example"], None, "b.example, which is not api.a.example"),
    ],
)
def test_credentials_of_one_host_are_not_sent_to_another_unasked(tmp_path, overrides, target, why):
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace(TARGET, AT_HOME))
    environ = {"KEY": "sk-0123456789", "TEAM": "team-0123456789"}
    with pytest.raises(Mistakes) as raised:
        read_scenario(path, overrides=overrides, target=target, environ=environ)
    told = str(raised.value)
    assert f"target.key would be sent to {why}; to do that, add --set 'target.key=${{KEY}}'" in told
    assert f"target.headers.Team would be sent to {why}" in told
    assert "0123456789" not in told
    assert "headers.X " not in told


SECRET_URL = "https://me:hunter2-hunter2@h.example/v1?key=query-secret-1&api-version=2024-10-21"


def test_signatures_of_images_addresses_reach_no_file(tmp_path):
    signed = "https://store.example/a.png?X-Amz-Signature=0123456789abcdef&w=512"
    path = tmp_path / "chat.yaml"
    prompt = f"{{prompt: {{text: Look, images: [{{url: '{signed}'}}]}}, max_tokens: 5}}"
    path.write_text(SOUND.replace(REQUEST, prompt))
    scenario = read_scenario(path)
    assert "0123456789abcdef" in secrets(scenario)
    written = json.dumps(redacted(scenario))
    assert "https://store.example/a.png?X-Amz-Signature=***&w=***" in written
    assert scenario.requests[0].prompt.images[0].url == signed


def test_credentials_reach_no_file(tmp_path):
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace("max_tokens: 5", "extra_body: {storage: {token: literal-token-1}, effort: low}"))
    scenario = read_scenario(path, target=SECRET_URL)
    known = secrets(scenario)
    for secret in ("hunter2-hunter2", "me:hunter2-hunter2", "query-secret-1", "literal-token-1"):
        assert secret in known
    assert "2024-10-21" not in known
    command = shown_command(
        ["run", "x.yaml", "--target", SECRET_URL, f"--target={SECRET_URL}", "--set", "target.headers.X-Key=own-secret",
         "--set=target.key=abc", "--set", "target={url: 'http://h', key: abc}", "--set", "load.users=5"], known
    )  # fmt: skip
    for text in (json.dumps(redacted(scenario)), shown_url(scenario, scenario.target.url), " ".join(command)):
        for secret in ("hunter2", "query-secret", "literal-token", "own-secret", "abc"):
            assert secret not in text
    assert command[-1] == "load.users=5"
    assert redacted(scenario)["requests"][0]["extra_body"] == {"storage": {"token": "***"}, "effort": "low"}


@pytest.mark.parametrize(
    "address", ["ftp://u:hunter22@h", "http://u:hunter22@h:99999", "http://u:hun/hunter22@h", "http://u:a#hunter22@h",
                "http://u:hunter22@a b", "http://h:x?key=hunter22", "u:hunter22@h", "//u:hunter22@h"],
)  # fmt: skip
def test_a_message_about_an_address_holds_no_credentials(tmp_path, address):
    for told in (
        told_of(tmp_path, SOUND, target=address),
        told_of(tmp_path, SOUND, overrides=[f"target.url={address}"]),
        told_of(tmp_path, SOUND.replace(TARGET, 'target: {url: "${U}"}'), environ={"U": address}),
    ):
        assert "hunter22" not in "".join(told)


@pytest.mark.parametrize("length", [20, 60, 164, 900])
@pytest.mark.parametrize(
    "place",
    [
        (TARGET, "target: '${S}'"),
        (TARGET, "target: {url: 'ftp://h/${S}'}"),
        (TARGET, "target: {simulator: true, verify: '${S}'}"),
        (MODELS, "models: '${S}'"),
        ("prompt: Hello", "prompt: {file: '${S}'}"),
        ("users: 1", "users: 'x ${S}'"),
        (LOAD, LOAD + "\nkind: '${S}.py:KIND'"),
        (LOAD, LOAD + "\nname: 'a/${S}'"),
    ],
)
def test_a_message_that_is_cut_shows_no_part_of_a_value_of_the_environment(tmp_path, place, length):
    secret = "".join(f"{by:03x}" for by in range(length))[-length:]
    told = "".join(told_of(tmp_path, SOUND.replace(*place), environ={"S": secret}))
    assert not [part for part in (secret[at : at + 12] for at in range(length - 11)) if part in told]


@pytest.mark.parametrize("place", ["users: '${S}'", "users: ['${S}']", "users: {'a': '${S}'}", "arrivals: '${S}'"])
def test_a_message_shows_what_came_from_the_environment_as_it_was_written(tmp_path, place):
    told = told_of(tmp_path, SOUND.replace("users: 1", place), environ={"S": "sk-0123456789" * 9})
    assert "sk-0123" not in "".join(told)
    assert "${S}" in "".join(told)


TWO_ARMS = "kind: compare\npairs: {most: 100}\n"
IN_PATH = "https://h.example/${S}/v1"
"""A URL with a secret in its path, as some gateways have them."""


@pytest.mark.parametrize(
    ("target", "load"),
    [
        (f"target: {IN_PATH}", LOAD),
        (f"target: {{url: '{IN_PATH}'}}", LOAD),
        ("target: https://h.example", f"{TWO_ARMS}arms: {{a: '{IN_PATH}', b: {{target: '{IN_PATH}'}}}}"),
        (f"target: {IN_PATH}", f"{TWO_ARMS}arms: {{a: {{}}, b: {{target: {{style: openai}}}}}}"),
    ],
)
def test_a_secret_in_an_address_reaches_no_file_however_the_target_is_written(tmp_path, target, load):
    path = tmp_path / "chat.yaml"
    path.write_text(SOUND.replace(TARGET, target).replace(LOAD, load))
    scenario = read_scenario(path, environ={"S": "sk-0123456789"})
    whole = redacted(scenario)
    assert "sk-0123456789" in secrets(scenario)
    assert "sk-0123456789" not in json.dumps(whole)
    for one in (whole, *whole.get("arms", {}).values()):
        assert one["target"]["url"] == IN_PATH


@pytest.mark.parametrize("arms", ["arms: {a: '${S}', b: {}}", "arms: {a: {}, b: {target: '${S}'}}",
                                  "arms: {a: {}, b: {model: '${S}'}}", "models: ['${S}', m]"])  # fmt: skip
def test_a_message_about_an_arm_shows_no_value_of_the_environment(tmp_path, arms):
    text = SOUND.replace(LOAD, TWO_ARMS + arms)
    told = told_of(
        tmp_path, text.replace(f"{MODELS}\n", "") if "models" in arms else text, environ={"S": "sk-012345" * 99}
    )
    assert "sk-012345" not in "".join(told)


def test_a_mistyped_kind_is_the_only_mistake_of_a_file_that_is_right_otherwise(tmp_path):
    pairs = SOUND.replace(LOAD, "kind: comapre\narms: {a: {}, b: {}}\npairs: {most: 100}\ngate: {ttft p50: 5%}")
    for text, words in (
        (pairs, "did you mean compare?"),
        (pairs.replace("comapre", "sideways"), "kind is 'sideways'; load or "),
        (pairs.replace("comapre", "gone.py:KIND"), "kind: there is no file "),
    ):
        [told] = told_of(tmp_path, text)
        assert words in told
    both = told_of(tmp_path, pairs.replace("most: 100", "most: soon").replace("models:", "modles:"))
    assert [one for one in both if "pairs.most" in one], "what was probably meant is checked, too"
    assert [one for one in both if "modles" in one]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "load.users=010"], "--set load.users: 010 has a leading zero"),
        (["--target", "http://u:hunter22@h:0"], "--target: target.url: the port is '0'"),
        (["--set", "kind=stress"], "--set kind: kind is 'stress'; load or "),
    ],
)
def test_the_command_exits_2_and_leaves_no_folder(tmp_path, arguments, words):
    (tmp_path / "chat.yaml").write_text(SOUND)
    done = bench(
        "plan" if "kind=stress" in arguments else "run", "chat.yaml", *arguments, cwd=tmp_path, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "hunter22" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["chat.yaml"]
