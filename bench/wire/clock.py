"""The clock of all times: monotonic seconds, and a map from the kernel's receive stamps to them.

On Linux a socket with SO_TIMESTAMPNS returns, with the bytes of a read, the time when the last of them arrived
(kernel commit 98aaa913b4ed). So a busy process reads late but measures right. The stamps are wall-clock times:
the difference between the wall clock and the monotonic clock is sampled again and again, and a step is detected.
"""

from __future__ import annotations

import struct
import sys
import time
from _socket import SOL_SOCKET, socket
from collections.abc import Callable

NativeSocket = socket  # the base class of Python's and gevent's sockets: it never switches to another greenlet
monotonic: Callable[[], float] = time.monotonic

_SO_TIMESTAMPNS_NEW = 64  # asm-generic/socket.h; absent from Python's socket module
_timespec = struct.Struct("qq").unpack_from
ANCILLARY_SIZE = 64  # room for one control message with one timespec: CMSG_SPACE(16) and some more
STEP_S = 0.001  # a wall clock that moved more than this between two samples was set by somebody


class KernelClock:
    """Turns the control messages of `recvmsg` into monotonic seconds."""

    def __init__(self) -> None:
        self._keeper = NativeSocket()
        self.available = stamp_arrivals(self._keeper)
        # This socket stays open until the clock is closed: without any open socket of this kind the kernel stops
        # stamping, and the first packets of the next socket would have no stamp.
        self._offset = _wall_minus_monotonic()

    def close(self) -> None:
        self._keeper.close()

    def sync(self) -> float:
        """Sample the difference of the clocks again. Returns how far the wall clock stepped, s; 0.0 if it did not."""
        offset = _wall_minus_monotonic()
        moved, self._offset = offset - self._offset, offset
        return moved if abs(moved) > STEP_S else 0.0

    def arrival(self, ancillary: list[tuple[int, int, bytes]], now: float) -> float | None:
        """When the bytes of this read arrived, at most `now`; None if the kernel did not stamp them."""
        for _, kind, data in ancillary:
            if kind == _SO_TIMESTAMPNS_NEW:
                seconds, nanoseconds = _timespec(data)
                at: float = seconds - self._offset + nanoseconds * 1e-9
                return at if at < now else now
        return None


def stamp_arrivals(sock: NativeSocket) -> bool:
    """Ask the kernel to stamp what this socket receives. Returns False if it cannot."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS_NEW, 1)
    except OSError:
        return False
    return True


def _wall_minus_monotonic() -> float:
    """The best of five samples: the process may lose the CPU between two clock readings."""
    samples = []
    for _ in range(5):
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        samples.append((after - before, wall - (before + after) / 2))
    return min(samples)[1]
