"""How long a watcher without a connection goes on trying."""

from __future__ import annotations

import time
from typing import Optional

from .connection import FIRST_WAIT, LONGEST_WAIT
from .errors import DeadlineExceeded, DropstreamError, Unavailable
from .replicas import Leaving

#: Seconds of one watching stream. A longer watch opens another one where it stopped, so that every call has a deadline.
_SLICE = 300.0


class Patience:
    """`timeout`: seconds of the whole watch, or None for no end; `seconds`: without a connection."""

    def __init__(self, timeout: Optional[float], seconds: float, leaving: Leaving) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        self._seconds = seconds
        self._leaving = leaving
        self._lost_at: Optional[float] = None
        self._failures = 0

    def deadline(self) -> float:
        """Seconds for the next stream."""
        return _SLICE if self._end is None else min(_SLICE, max(0.001, self._end - time.monotonic()))

    def connected(self) -> None:
        self._lost_at, self._failures = None, 0

    def bear(self, error: DropstreamError) -> None:
        """Waits before the next stream. Raises the error if the watch is over, or no stream can help."""
        now = time.monotonic()
        if self._end is not None and now >= self._end:
            raise error
        if isinstance(error, DeadlineExceeded):
            return
        if not isinstance(error, Unavailable):
            raise error
        self._lost_at = now if self._lost_at is None else self._lost_at
        if now - self._lost_at > self._seconds:
            raise error
        wait = min(LONGEST_WAIT, max(FIRST_WAIT * 2 ** min(self._failures, 10), error.retry_after or 0.0))
        self._failures += 1
        self._leaving.wait(wait if self._end is None else min(wait, max(0.0, self._end - now)))

    def pause(self) -> None:
        """Waits a little after a stream that ended too early."""
        self._leaving.wait(FIRST_WAIT)
