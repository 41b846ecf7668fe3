"""One word for how a request ended, and one line for why.

In order: what our side saw (no connection, a timeout, broken HTTP, the run's end), then the HTTP status, then what
a 200 really held. An answer is ok only with a finish reason, its terminator, a token, and no error object.
"""

from __future__ import annotations

import re

from bench.wire.answer import Answer
from bench.wire.errors import ErrorObject, error_in_body
from bench.wire.exchange import Exchange

# What providers say when money or a cap is the limit, which no waiting cures: OpenAI insufficient_quota, Anthropic
# spend limits and billing_error, Novita NOT_ENOUGH_BALANCE and BILLING_*, DeepSeek "Insufficient Balance".
_MONEY = re.compile(r"insufficient[_ ](quota|balance|funds|credit)|balance|billing|spend|credit|payment", re.IGNORECASE)


def judge(exchange: Exchange, answer: Answer) -> tuple[str, str | None]:
    """The outcome, a word of `bench.records.OUTCOMES`, and its reason in one line (None for ok)."""
    if exchange.failure is not None:
        return exchange.failure.kind, exchange.failure.message
    assert exchange.status is not None
    if exchange.status >= 300:
        return _judge_status(exchange)
    if answer.error is not None:
        return "stream_error", f"an error object inside HTTP {exchange.status}: {answer.error}"
    if answer.garbled is not None:
        return "protocol", answer.garbled
    if answer.finish_reason is None:
        return "truncated", "the answer ended without a finish reason"
    if not answer.terminated:
        return "truncated", "the stream ended without its terminator"
    if not answer.output_chars and not answer.usage.completion:
        return "empty", f"a complete answer (finish reason {answer.finish_reason}) without a single token"
    return "ok", None


def _judge_status(exchange: Exchange) -> tuple[str, str]:
    status = exchange.status or 0
    found = error_in_body(b"".join(data for _, data in exchange.reads))
    if status < 400:
        where = exchange.headers.get("location", "nowhere")
        return "invalid", f"HTTP {status} points to {where}; redirects are not followed: give that URL as the target"
    return _word(status, found), f"HTTP {status} {found}".strip()


def _word(status: int, found: ErrorObject) -> str:
    if status == 402 or (status in (400, 403, 429) and _is_money(found)):
        return "quota"
    if status == 429:
        return "throttled"
    if status in (401, 403):
        return "auth"
    if status in (503, 529):
        return "overloaded"
    return "invalid" if status < 500 else "server_error"


def _is_money(found: ErrorObject) -> bool:
    """Judged by the code and kind where the server gives them, by the message only where it gives neither."""
    label = f"{found.code} {found.kind}" if re.search(r"[A-Za-z]", found.code + found.kind) else found.message
    return _MONEY.search(label) is not None or "spend" in found.message.lower()
