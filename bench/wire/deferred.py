"""Work that may wait runs one piece per pass of gevent's hub, so that reads never wait for it.

Greenlets that wake together would run one after the other before the hub looks at a socket again (gevent checks
its clock only after fifty callbacks); meanwhile tokens would pile up in the kernel, and one read would return several.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gevent import get_hub


class WorkQueue:
    """A queue of callbacks. One of them runs in each pass of the hub, after the reads of that pass."""

    def __init__(self) -> None:
        self._queue: deque[Callable[[], object]] = deque()
        self._timer = get_hub().loop.timer(0.0)

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, work: Callable[[], object]) -> None:
        """Run this in a pass of its own, after all earlier work."""
        self._queue.append(work)
        if len(self._queue) == 1:
            self._timer.start(self._run_next, update=False)

    def finish(self) -> None:
        """Run all waiting work now."""
        while self._queue:
            self._queue.popleft()()

    def _run_next(self) -> None:
        if not self._queue:
            return
        work = self._queue.popleft()
        if self._queue:
            self._timer.start(self._run_next, update=False)
        work()
