"""The clock of every figure: monotonic seconds, with the kernel's receive stamps mapped onto it.

On Linux a socket with SO_TIMESTAMPNS hands out, beside the bytes of a read, when the last of them arrived
(kernel commit 98aaa913b4ed). A busy process then reads late but measures right. The stamps are wall-clock time,
so the distance between the wall clock and the monotonic one is sampled, again and again, and a step is noticed.
"""

from __future__ import annotations

import struct
import sys
import time
from _socket import SOL_SOCKET, socket
from collections.abc import Callable

NativeSocket = socket  # below Python's own class and gevent's: it never waits for anybody
monotonic: Callable[[], float] = time.monotonic

_SO_TIMESTAMPNS_NEW = 64  # asm-generic/socket.h; absent from Python's socket module
_timespec = struct.Struct("qq").unpack_from
ANCILLARY_SIZE = 64  # room for one control message with one timespec: CMSG_SPACE(16) and to spare
STEP_S = 0.001  # a wall clock that moved more than this between two samples was set, not slewed


class KernelClock:
    """Turns the control messages of `recvmsg` into monotonic seconds."""

    def __init__(self) -> None:
        self._keeper = NativeSocket()
        self.available = stamp_arrivals(self._keeper)
        # The keeper lives until the clock is closed: with no such socket open the kernel stops stamping, and
        # the first packets of the next one go without.
        self._offset = _wall_minus_monotonic()

    def close(self) -> None:
        self._keeper.close()

    def sync(self) -> float:
        """Sample the clocks' distance anew; returns how far the wall clock stepped, 0.0 if it did not."""
        offset = _wall_minus_monotonic()
        moved, self._offset = offset - self._offset, offset
        return moved if abs(moved) > STEP_S else 0.0

    def arrival(self, ancillary: list[tuple[int, int, bytes]], now: float) -> float | None:
        """When the bytes of this read arrived, never after `now`; None if the kernel did not stamp them."""
        for _, kind, data in ancillary:
            if kind == _SO_TIMESTAMPNS_NEW:
                seconds, nanoseconds = _timespec(data)
                at: float = seconds - self._offset + nanoseconds * 1e-9
                return at if at < now else now
        return None


def stamp_arrivals(sock: NativeSocket) -> bool:
    """Ask the kernel to stamp what this socket receives; False where it cannot."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS_NEW, 1)
    except OSError:
        return False
    return True


def _wall_minus_monotonic() -> float:
    """The tightest of a few samples, so that being descheduled between two clock readings does no harm."""
    samples = []
    for _ in range(5):
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        samples.append((after - before, wall - (before + after) / 2))
    return min(samples)[1]
