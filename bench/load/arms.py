"""Chooses the transport of each arm of a scenario: an arm may have its own proxy, certificates or HTTP version."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from bench.wire.bounds import Timeouts, TokenTimes
from bench.wire.exchange import Exchange, Failure
from bench.wire.transport import Transport


class ArmTransports:
    """The transports of one user, one per arm."""

    def __init__(self, plain: Transport, arms: Mapping[str, Transport]) -> None:
        """`plain` sends the requests that belong to no arm."""
        self._plain, self._arms = plain, arms

    def of(self, arm: str | None) -> Transport:
        """The transport of this arm; of requests without an arm if `arm` is None."""
        return self._plain if arm is None else self._arms[arm]

    def exchange(
        self, request: httpx.Request, *, timeouts: Timeouts, token_times: TokenTimes | None = None
    ) -> Exchange:
        """Send a request that belongs to no arm."""
        return self._plain.exchange(request, timeouts=timeouts, token_times=token_times)

    def abort(self, failure: Failure) -> None:
        """End every exchange of every arm."""
        for transport in (self._plain, *self._arms.values()):
            transport.abort(failure)

    def close(self) -> None:
        """Close every connection of every arm."""
        for transport in (self._plain, *self._arms.values()):
            transport.close()


def transport_of(transport: Transport, arm: str | None) -> Transport:
    """The transport that sends the requests of an arm."""
    return transport.of(arm) if isinstance(transport, ArmTransports) else transport
