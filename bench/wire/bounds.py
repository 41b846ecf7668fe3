"""What one exchange may take: how long each wait, and how many bytes of the server's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gevent import get_hub

from bench.wire.clock import monotonic
from bench.wire.exchange import Exchange, Failure, Read

READ_COST = 128  # bytes of memory that a read takes beside its data: a tuple, a float, an object of bytes

TokenTimes = Callable[[list[Read]], tuple[float | None, float | None]]
"""Arrivals of the first and the last token in the reads so far; asked only when a timeout may have run out."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect: float = 5.0  # for a connection, TLS included
    first_token: float = 60.0  # from sent to the first token of a stream
    gap: float = 30.0  # between two tokens of a stream; pings and empty deltas do not count
    total: float = 300.0  # from sent to the last byte


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a server may send, in bytes."""

    head: int = (
        65_536  # of heads, trailers and framing without a byte of a body between them; servers' own limit is 8 kB
    )
    answer: int = 67_108_864  # of one answer as it comes, and READ_COST for each read: 150,000 tokens in events of 300

    @property
    def head_exceeded(self) -> Failure:
        return Failure(
            "protocol", f"the server sent more than bounds.head of {self.head:,} bytes of headers and no answer in them"
        )

    @property
    def answer_exceeded(self) -> Failure:
        return Failure("protocol", f"the answer takes more than bounds.answer of {self.answer:,} bytes")


class Deadline:
    """Gives an exchange up when it has waited too long. `give_up` is called on gevent's hub, once at most."""

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
        except Exception as error:  # an API of the user's own may raise anything; nobody would hear it on the hub
            self._give_up(Failure("protocol", f"the tokens of the answer cannot be told: {error!r}"))
            return
        deadline, failure = next_deadline(exchange.sent, times, self._timeouts)
        if (now := monotonic()) >= deadline:
            self._give_up(failure)
        else:  # a token may come at once, and then nothing: the gap after it is the soonest of what is next
            self._arm(min(deadline - now, self._timeouts.gap) if times else deadline - now)


def next_deadline(
    sent: float, tokens: tuple[float | None, float | None] | None, timeouts: Timeouts
) -> tuple[float, Failure]:
    """The next moment at which an exchange is given up, and what to call it then.

    `tokens` holds the arrivals of the first and the last token so far; None for an answer that does not stream.
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
