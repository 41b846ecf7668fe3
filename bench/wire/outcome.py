"""The outcome of a request: one word for how it ended, and one line for why.

The server's own words come before the way the connection ended. The checks in order: an HTTP status of 300 or more;
an error object inside a success; a failure on our side (no connection, a timeout, broken HTTP, the run's end); bytes
that cannot be parsed; a missing finish reason or terminator; an empty answer. If no check applies, the outcome is ok.
"""

from __future__ import annotations

import re
from dataclasses import replace

from bench.wire.answer import Answer
from bench.wire.errors import LONGEST, ErrorObject, error_in_body
from bench.wire.exchange import Exchange
from bench.wire.fields import LONGEST_NAME

OPTIONAL = (
    "finish reason and usage are there: if this server always ends its streams this way, "
    "set target.terminator: optional"
)

# These errors mean that money or a spending cap ran out, and waiting does not help. Codes and kinds: OpenAI
# insufficient_quota, Anthropic billing_error, Novita NOT_ENOUGH_BALANCE and BILLING_*, LiteLLM budget_exceeded.
# Sentences are matched more narrowly: the message of an ordinary rate limit may also say "add a payment method", with
# "billing" in a link.
_MONEY_WORD = re.compile(r"insufficient_quota|balance|billing|budget|credit|payment|spend", re.IGNORECASE)
_MONEY_SENTENCE = re.compile(
    r"credit balance|not enough balance|insufficient (account )?(balance|credit|funds)|spend(ing)?[ _-](limit|cap)"
    r"|budget (has been )?exceeded|exceeded ?(your |the )?budget",
    re.IGNORECASE,
)


def judge(exchange: Exchange, answer: Answer, *, terminator_optional: bool = False) -> tuple[str, str | None]:
    """The outcome, a word of `bench.records.OUTCOMES`, and its reason in one line (None for ok).

    With `terminator_optional` a stream that ends cleanly with finish reason and usage is ok.
    """
    if exchange.status is not None and exchange.status >= 300:
        return judge_status(exchange, exchange.status)
    if answer.error is not None:
        return "stream_error", f"an error object inside HTTP {exchange.status}: {answer.error}"
    if exchange.failure is not None:
        return exchange.failure.kind, exchange.failure.message
    if (answer.garbled or answer.missing or answer.empty) and (encoded := encoding_of(exchange)) is not None:
        return "protocol", f"the answer is {encoded}"
    if answer.garbled is not None:
        return "protocol", f"the answer is {answer.garbled}"
    if answer.missing is not None and not (answer.unterminated and terminator_optional):
        hint = f"; {OPTIONAL}" if answer.unterminated else ""
        return "truncated", f"the answer ended without {answer.missing}{hint}"
    if answer.empty:
        return "empty", f"the answer is complete (finish reason {answer.finish_reason}) but empty"
    return "ok", None


def judge_status(exchange: Exchange, status: int) -> tuple[str, str]:
    """The outcome and its reason for an HTTP status of 300 or more."""
    if status < 400:
        if not (where := exchange.headers.get("location", "")[:LONGEST]):
            return "invalid", f"HTTP {status} without an address to go to"
        return "invalid", f"HTTP {status} points to {where}; bench follows no redirects: use that as the target's URL"
    if (encoded := encoding_of(exchange)) is not None and exchange.reads:
        found = ErrorObject("", "", f"its body is {encoded}")
    else:
        found = error_in_body(b"".join(data for _, data in exchange.reads))
    return _word(status, found), f"HTTP {status} {without_status(found, status)}".strip()


def without_status(found: ErrorObject, status: int) -> ErrorObject:
    """The error without the status, which is stated before it: servers repeat it as a code, web pages as the first
    word."""
    first, _, rest = found.message.partition(" ")
    alone = first == str(status) and not found.code and not found.kind
    return replace(
        found, code="" if found.code == str(status) else found.code, message=rest if alone else found.message
    )


def encoding_of(exchange: Exchange) -> str | None:
    """How a body is compressed, in words; None if it is not. Every request asks for no compression."""
    stated = exchange.headers.get("content-encoding", "").strip()[:LONGEST_NAME]
    if stated.lower() in ("", "identity"):
        return None
    return f"compressed (Content-Encoding: {stated}), although requests ask for identity: switch compression off"


def _word(status: int, found: ErrorObject) -> str:
    if status == 402 or (status in (400, 403, 422, 429) and _is_money(found)):
        return "quota"
    if status == 429:
        return "throttled"
    if status in (401, 403):
        return "auth"
    if status in (503, 529):
        return "overloaded"
    return "invalid" if status < 500 else "server_error"


def _is_money(found: ErrorObject) -> bool:
    return bool(_MONEY_WORD.search(f"{found.code} {found.kind}") or _MONEY_SENTENCE.search(found.message))
