"""How well the client measured, in sentences."""

from __future__ import annotations

from bench.analysis.certificate import sentence as calibrated
from bench.analysis.numerals import count, milliseconds
from bench.analysis.summary import Summary


def credibility(summary: Summary) -> list[str]:
    """How well the client measured, in sentences."""
    validity, truth = summary.validity, summary.truth
    told = []
    if truth is not None and truth.added_s is not None:
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
    if truth is not None and truth.ttft_error_s.n:
        error = truth.ttft_error_s
        tail = error.p99 if error.p99 is not None else error.max
        word = "p99" if error.p99 is not None else "at most"
        typical, middle = (error.p50, "p50") if error.p50 is not None else (error.mean, "mean")
        told.append(
            f"Against the server's own clock, TTFT was wrong by {milliseconds(typical)} ms ({middle}), "
            f"{word} {milliseconds(tail)} ms, over {count(error.n)} streams."
        )
    if (engine := summary.engine) is not None:
        means = {name: milliseconds(getattr(engine, f"{name}_s").mean) for name in ("ttft", "before", "prompt", "rest")}
        told.append(
            f"By the engine's own timings a TTFT of {means['ttft']} ms (mean) is {means['before']} ms before the "
            f"prompt (parsing, tokenizing, waiting for a slot), {means['prompt']} ms for it and {means['rest']} ms "
            f"after it; our time of decoding is {milliseconds(engine.decoding_difference_s.mean)} ms off its own."
        )
    if not summary.counts.ok:
        return ["No request succeeded, so nothing was measured."]
    stamps = "the kernel stamped arrivals" if validity.clock == "kernel" else "this process stamped arrivals"
    parts = [stamps]
    if validity.hub_lag_s:
        parts.append(f"bench's own loop was late by {milliseconds(validity.hub_lag_s.p99)} ms (p99)")
    if validity.cpu is not None:
        parts.append(f"it used {validity.cpu:.0%} of a core")
    if validity.send_lag_s:
        parts.append(f"requests left {milliseconds(validity.send_lag_s.p99)} ms (p99) after they were due")
    arrivals = summary.arrivals
    if arrivals and arrivals.sent_dispersion:
        sent = arrivals.sent_dispersion
        parts.append(f"and their index of dispersion was {sent.index:.2f} ± {sent.error:.2f}")
    sentence = ", ".join(parts)
    told.append(sentence[0].upper() + sentence[1:] + ".")
    certificate = validity.certificate
    if certificate is None:
        return [*told, "How well this machine measures is not known yet; bench calibrate finds out."]
    return [*told, f"{calibrated(certificate)} (Calibrated {certificate.date}.)"]
