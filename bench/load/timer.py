"""Wakes a greenlet on time: libev sleeps in whole milliseconds, a Linux timerfd in microseconds.

An open load that sends every request half a millisecond late would measure its own lateness.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
import time

import gevent
from gevent import get_hub

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_ABSTIME = 1
_READABLE = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Lets a greenlet sleep until a time of `time.monotonic()`. Only one greenlet may use it at a time."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK) if self._libc else -1

    def sleep_until(self, moment: float) -> None:
        """Return at `moment`, or at once if it has passed, after one switch to the other greenlets."""
        if (wait := moment - time.monotonic()) <= 0:
            gevent.sleep(0)
        elif self._fd < 0 or self._libc is None:
            gevent.sleep(wait)
        else:
            at = _Timer(value=_Timespec(int(moment), int(moment % 1 * 1e9)))
            self._libc.timerfd_settime(self._fd, _TFD_ABSTIME, ctypes.byref(at), None)
            hub = get_hub()
            watcher = hub.loop.io(self._fd, _READABLE)
            try:
                hub.wait(watcher)
            finally:
                watcher.close()
            os.read(self._fd, 8)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
