"""Compares our figures with the server's own, if it states them.

The simulator says with each answer when it really happened. Both clocks are the machine's monotonic one. Where nothing
stands between it and us, the difference of two durations is our error and nothing else; where a gateway or a proxy
does, it is what that added on the way, our error included. llama.cpp says how long it read the prompt and how long it
generated; what TTFT has beyond the prompt can then be told apart.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec
import pandas as pd

from bench.analysis.facts import Facts
from bench.analysis.figures import Statistics, percentiles, statistics


class Errors(Statistics, frozen=True):
    """Sizes of errors, s, with the sample's own p99 even where it is too small to speak for more."""

    sample_p99: float | None = None


class Added(msgspec.Struct, frozen=True):
    """The time that a gateway or proxy added to each answer, s: statistics of our time − the server's."""

    ttft: Statistics
    decoding: Statistics  # from first to last token
    e2e: Statistics  # of answers that do not stream


class Truth(msgspec.Struct, frozen=True):
    """Our figures beside those that the server knows to be true, s."""

    direct: bool  # whether no gateway or proxy was between us and the server
    true_ttft_s: Statistics
    ttft_error_s: Errors  # this and the next two are without values if something was between
    decoding_error_s: Errors
    e2e_error_s: Errors  # of answers that do not stream
    added_s: Added | None  # None if nothing was between


class Engine(msgspec.Struct, frozen=True):
    """What TTFT is made of, s: TTFT = before + prompt + rest, by the timings of llama.cpp."""

    ttft_s: Statistics
    before_s: Statistics  # sent to the response's head: parsing, templating, tokenizing, waiting for a slot
    prompt_s: Statistics  # the engine's own time for the prompt (timings.prompt_ms)
    rest_s: Statistics  # what is left: sampling the first token, writing and reading it
    decoding_difference_s: Statistics  # our first to last token − timings.predicted_ms, its size


def truth(rows: pd.DataFrame, *, direct: bool) -> Truth | None:
    """Errors of TTFT and of decoding, and for answers that do not stream of their end; None for other servers.
    Where the answers did not come directly there are no errors to tell, and `added_s` has the differences instead."""
    if "server.first_token" not in rows:
        return None
    known = rows[(rows["outcome"] == "ok") & rows["server.first_token"].notna()]
    streams, whole = known[known["first_token_at"].notna()], known[known["first_token_at"].isna()]
    if not len(known):
        return None
    true_ttft = streams["server.first_token"] - streams["server.arrived"]
    true_decoding = streams["server.last_token"] - streams["server.first_token"]
    decoding = streams["last_token_at"] - streams["first_token_at"]
    sent = whole["server.sent"] if "server.sent" in whole else whole["done"] * float("nan")
    ttft, decoding = streams["ttft_s"] - true_ttft, decoding - true_decoding
    e2e = whole["e2e_s"] - (sent - whole["server.arrived"])
    unknown = pd.Series(dtype=float)
    return Truth(
        direct=direct,
        true_ttft_s=statistics(true_ttft),
        ttft_error_s=errors(ttft if direct else unknown),
        decoding_error_s=errors(decoding if direct else unknown),
        e2e_error_s=errors(e2e if direct else unknown),
        added_s=None if direct else Added(statistics(ttft), statistics(decoding), statistics(e2e)),
    )


def direct(rows: pd.DataFrame, facts: Facts) -> bool:
    """Whether the simulator's answers came from itself: it states the port at which it was asked, and that is the one
    on this machine that we asked. Before it stated one, only a run's own simulator was known to be asked directly."""
    target = facts.target
    if facts.scenario.target.proxy:
        return False
    if "server.port" not in rows or not (ports := set(rows["server.port"].dropna())):
        return target.kind == "simulator"
    try:
        url = urlsplit(target.url)
        return on_this_machine(url.hostname or "") and ports == {url.port}
    except ValueError:  # a URL that was changed after the run
        return False


def on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def errors(differences: pd.Series[float]) -> Errors:
    """Statistics of the sizes."""
    sizes = differences.abs().dropna()
    tail = percentiles(sizes.to_numpy(), ["p99"])[0] if len(sizes) else None
    return Errors(**msgspec.structs.asdict(statistics(sizes)), sample_p99=tail)


def engine(rows: pd.DataFrame) -> Engine | None:
    """What TTFT is made of, of streams of plain text; None for other servers than llama.cpp. Tool calls and structured
    answers are left out: the server parses them and holds their beginning back."""
    if "server.prompt_ms" not in rows:
        return None
    plain = rows["tool_calls"].isna() & rows["json_valid"].isna()
    streams = rows[(rows["outcome"] == "ok") & plain & rows["ttft_s"].notna() & rows["server.prompt_ms"].notna()]
    if not len(streams):
        return None
    before, prompt = streams["headers_at"] - streams["sent"], streams["server.prompt_ms"] / 1e3
    decoding = streams["last_token_at"] - streams["first_token_at"]
    return Engine(
        ttft_s=statistics(streams["ttft_s"]),
        before_s=statistics(before),
        prompt_s=statistics(prompt),
        rest_s=statistics(streams["ttft_s"] - before - prompt),
        decoding_difference_s=statistics((decoding - streams["server.predicted_ms"] / 1e3).abs()),
    )
