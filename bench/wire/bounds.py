"""The limits of one exchange: how long each wait may last, and how many bytes the server may send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gevent import get_hub

from bench.wire.clock import monotonic
from bench.wire.exchange import Exchange, Failure, Read

READ_COST = 128  # bytes of memory that one read needs in addition to its data: a tuple, a float, a bytes object

TokenTimes = Callable[[list[Read]], tuple[float | None, float | None] | None]
"""Arrival times of the first and the last token in the reads so far; called only when a timeout may have passed. With
None in place of the two, only the total timeout holds. May raise TokenTimesError."""


class TokenTimesError(Exception):
    """An API does not say when tokens came; the message is one line."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each wait may last, in seconds."""

    connect: float = 5.0  # to make a connection, TLS included
    first_token: float = 60.0  # from sent to the first token of a stream
    gap: float = 30.0  # between two tokens of a stream; pings and empty deltas do not count
    total: float = 300.0  # from sent to the last byte


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many bytes a server may send."""

    head: int = 65_536  # headers, trailers and framing in a row, without a byte of a body; servers allow about 8 kB
    answer: int = 67_108_864  # one answer, plus READ_COST for each read: 150,000 tokens in events of 300 bytes

    @property
    def head_exceeded(self) -> Failure:
        return Failure(
            "protocol", f"the server sent more than bounds.head of {self.head:,} bytes of headers and no answer"
        )

    @property
    def answer_exceeded(self) -> Failure:
        return Failure("protocol", f"the answer takes more than bounds.answer of {self.answer:,} bytes")


class Deadline:
    """Ends an exchange that has waited too long. Calls `give_up` on gevent's hub, at most once."""

    def __init__(
        self, exchange: Exchange, timeouts: Timeouts, token_times: TokenTimes | None, give_up: Callable[[Failure], None]
    ) -> None:
        self._exchange, self._timeouts, self._token_times, self._give_up = exchange, timeouts, token_times, give_up
        soonest = timeouts.total if token_times is None else min(timeouts.first_token, timeouts.gap, timeouts.total)
        assert exchange.sent is not None
        self._arm(exchange.sent + soonest - monotonic())

    def close(self) -> None:
        self._timer.close()

    def _arm(self, delay: float) -> None:
        self._timer = get_hub().loop.timer(max(0.0, delay))
        self._timer.start(self._look)

    def _look(self) -> None:
        self._timer.close()
        exchange = self._exchange
        assert exchange.sent is not None
        try:
            times = self._token_times(exchange.reads) if self._token_times else None
        except TokenTimesError as error:
            self._give_up(Failure("protocol", str(error)))
            return
        except Exception as error:  # a user's own API may raise anything, and the hub would hide it
            self._give_up(Failure("protocol", f"the token times of the answer cannot be read: {error!r}"))
            return
        deadline, failure = next_deadline(exchange.sent, times, self._timeouts)
        if (now := monotonic()) >= deadline:
            self._give_up(failure)
        else:  # a token may come right now and nothing after it, so the next check is one gap away at most
            self._arm(min(deadline - now, self._timeouts.gap) if times else deadline - now)


def next_deadline(
    sent: float, tokens: tuple[float | None, float | None] | None, timeouts: Timeouts
) -> tuple[float, Failure]:
    """The time at which the exchange is given up (absolute monotonic seconds), and the failure to report then.

    `tokens` holds the arrival times of the first and the last token so far; None for an answer that does not stream.
    """
    ends = [(sent + timeouts.total, f"no complete answer within timeouts.total of {timeouts.total:g} s")]
    if tokens is not None:
        first, last = tokens
        if first is None or last is None:
            message = f"no token within timeouts.first_token of {timeouts.first_token:g} s"
            ends.append((sent + timeouts.first_token, message))
        else:
            ends.append((last + timeouts.gap, f"no further token within timeouts.gap of {timeouts.gap:g} s"))
    deadline, message = min(ends)
    return deadline, Failure("timeout", message)
