"""How well the client measured, in sentences."""

from __future__ import annotations

from bench.analysis.certificate import sentence as calibrated
from bench.analysis.numerals import count, counted, milliseconds, percent
from bench.analysis.summary import Summary
from bench.analysis.truth import Engine, Truth


def credibility(summary: Summary) -> list[str]:
    """How well the client measured, in sentences."""
    if not summary.counts.ok:
        return ["No request succeeded, so nothing was measured."]
    certificate = summary.validity.certificate
    return [
        *([] if summary.truth is None else beside_server(summary.truth)),
        *([] if summary.engine is None else [beside_engine(summary.engine)]),
        client(summary),
        "How well this machine measures is not known yet; bench calibrate finds out."
        if certificate is None
        else f"{calibrated(certificate)} (Calibrated {certificate.date}.)",
    ]


def beside_server(truth: Truth) -> list[str]:
    """Our times beside the clock of a server that states its own."""
    told = []
    if truth.added_s is not None:
        told += [
            f"By the server's own clock, {milliseconds(added.mean if added.p50 is None else added.p50)} ms "
            f"({'mean' if added.p50 is None else 'p50'}) of {metric} were added on the way, at most "
            f"{milliseconds(added.max)} ms, over {count(added.n)} {answers}: something between bench and the server "
            "added them, so they are not an error of this measurement."
            for metric, added, answers in (
                ("TTFT", truth.added_s.ttft, "streams"),
                ("E2E", truth.added_s.e2e, "whole answers"),
            )
            if added.n
        ]
    error = truth.ttft_error_s
    if error.n:
        typical, middle = (error.p50, "p50") if error.p50 is not None else (error.mean, "mean")
        tail, word = (error.p99, "p99") if error.p99 is not None else (error.max, "at most")
        told.append(
            f"Against the server's own clock, TTFT was wrong by {milliseconds(typical)} ms ({middle}), "
            f"{word} {milliseconds(tail)} ms, over {counted(error.n, 'streams')}."
        )
    return told


def beside_engine(engine: Engine) -> str:
    """What TTFT is made of, by the engine's own timings."""
    means = {name: milliseconds(getattr(engine, f"{name}_s").mean) for name in ("ttft", "before", "prompt", "rest")}
    return (
        f"By the engine's own timings a TTFT of {means['ttft']} ms (mean) is {means['before']} ms before the "
        f"prompt (parsing, tokenizing, waiting for a slot), {means['prompt']} ms for it and {means['rest']} ms "
        f"after it; our time of decoding is {milliseconds(engine.decoding_difference_s.mean)} ms off its own."
    )


def client(summary: Summary) -> str:
    """What the client observed of itself."""
    validity, arrivals = summary.validity, summary.arrivals
    parts = ["the kernel stamped arrivals" if validity.clock == "kernel" else "this process stamped arrivals"]
    if validity.hub_lag_s:
        parts.append(f"bench's own loop was late by {milliseconds(validity.hub_lag_s.p99)} ms (p99)")
    if validity.cpu is not None:
        parts.append(f"bench used {percent(validity.cpu)} of a core")
    if validity.send_lag_s:
        parts.append(f"requests left {milliseconds(validity.send_lag_s.p99)} ms (p99) after they were due")
    if arrivals and arrivals.sent_dispersion:
        sent = arrivals.sent_dispersion
        parts[-1] += f", and their index of dispersion was {sent.index:.2f} ± {sent.error:.2f}"
    sentence = "; ".join(parts)
    return sentence[0].upper() + sentence[1:] + "."
