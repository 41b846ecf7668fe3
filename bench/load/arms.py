"""The arms of a scenario: each has an envelope, and perhaps a way to its target, of its own."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from bench.wire.bounds import Timeouts, TokenTimes
from bench.wire.exchange import Exchange, Failure
from bench.wire.transport import Transport


class ArmTransports:
    """What a user sends with if the arms of its scenario do not all go the same way."""

    def __init__(self, plain: Transport, arms: Mapping[str, Transport]) -> None:
        """`plain` is for what is sent for no arm."""
        self._plain, self._arms = plain, arms

    def of(self, arm: str | None) -> Transport:
        """The one for this arm."""
        return self._plain if arm is None else self._arms[arm]

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        """Send a request that is for no arm."""
        return self._plain.exchange(request, timeouts=timeouts, token_times=token_times)

    def abort(self, failure: Failure) -> None:
        """End every exchange of every arm."""
        for one in (self._plain, *self._arms.values()):
            one.abort(failure)

    def close(self) -> None:
        """Close every connection of every arm."""
        for one in (self._plain, *self._arms.values()):
            one.close()


def transport_of(transport: Transport, arm: str | None) -> Transport:
    """What sends the requests of an arm."""
    return transport.of(arm) if isinstance(transport, ArmTransports) else transport
