"""Exchange, then think: work that may wait is done one piece a turn of gevent's hub, so that reads never wait for it.

Greenlets that wake together would run one after the other before the hub looks at a socket again (gevent checks
its clock only after fifty callbacks); meanwhile tokens would pile up in the kernel and merge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gevent import get_hub


class Turns:
    """A queue of callbacks, one of which runs in each turn of the hub, after the turn's reads."""

    def __init__(self) -> None:
        self._queue: deque[Callable[[], object]] = deque()
        self._timer = get_hub().loop.timer(0.0)

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, work: Callable[[], object]) -> None:
        """Run this in a turn of its own, after all that was added before."""
        self._queue.append(work)
        if len(self._queue) == 1:
            self._timer.start(self._turn, update=False)

    def finish(self) -> None:
        """Run all that is left, now."""
        while self._queue:
            self._queue.popleft()()

    def _turn(self) -> None:
        if not self._queue:
            return
        work = self._queue.popleft()
        if self._queue:
            self._timer.start(self._turn, update=False)
        work()
