"""Batches of a plan in order: several calls are in flight at a time, within a byte budget, and the position can be saved and continued."""

from __future__ import annotations

import json
import os
import queue
import threading
import uuid
import weakref
from collections import deque
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Deque, List, Optional, Tuple, Union

from .batch import FORMATS, Batch, fetch_batch
from .errors import Cancelled, DropstreamError
from .replicas import Leaving, ReplicaSet
from .v1 import data_pb2


@dataclass(frozen=True)
class BatchesState:
    """The position of a stream of batches, and which plan it belongs to. A stream that starts here goes on with the same bytes."""

    #: Epoch and index of the next batch.
    epoch: int
    index: int
    #: SHA-256 of the plan in canonical form; empty before the first batch. A service that computes another one for the plan refuses it.
    plan_digest: str = ""

    def to_json(self) -> str:
        """The same text as the TypeScript client's state, so that either can continue the other's stream."""
        return json.dumps({"epoch": self.epoch, "index": self.index, "planDigest": self.plan_digest}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "BatchesState":
        """Raises ValueError if the text is no state."""
        try:
            found = json.loads(text)
            state = BatchesState(found["epoch"], found["index"], found["planDigest"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{text[:100]!r} is not the state of a stream of batches") from error
        state._check()
        return state

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Writes the state to a file, in one step: a reader sees the old state or the new one."""
        new = Path(f"{os.fspath(path)}.{os.getpid()}.new")
        new.write_text(self.to_json())
        new.replace(path)

    @staticmethod
    def load(path: Union[str, "os.PathLike[str]"]) -> "BatchesState":
        return BatchesState.from_json(Path(path).read_text())

    def _check(self) -> None:
        for name in ("epoch", "index"):
            value = asdict(self)[name]
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
                raise ValueError(f"{name} is {value!r}, must be a whole number from 0 to {2**32 - 1}")
        if not isinstance(self.plan_digest, str):
            raise ValueError(f"plan_digest is {self.plan_digest!r}, must be text")


Start = Union[BatchesState, Tuple[int, int]]


@dataclass(frozen=True)
class StreamOptions:
    """See Client.batches."""

    format: str
    start: Start
    epochs: Optional[int]
    in_flight: int
    in_flight_bytes: int
    attempt_timeout: float
    total_timeout: float
    on_failure: Callable[[str, DropstreamError], None]


class Batches:
    """An iterator of batches. Leaving a `with` block, `close`, the end and an error all stop its calls and threads."""

    def __init__(self, replicas: ReplicaSet, parent: str, plan: data_pb2.Plan, options: StreamOptions) -> None:
        if options.format not in FORMATS:
            raise ValueError(f"format is {options.format!r}, must be one of {', '.join(FORMATS)}")
        for name in ("in_flight", "in_flight_bytes", "attempt_timeout", "total_timeout"):
            if not getattr(options, name) > 0:
                raise ValueError(f"{name} is {getattr(options, name)!r}, must be above 0")
        if options.epochs is not None and options.epochs < 0:
            raise ValueError(f"epochs is {options.epochs}, must be at least 0, or None for no end")
        start = options.start if isinstance(options.start, BatchesState) else BatchesState(*options.start)
        start._check()
        self._options = options
        self._digest = start.plan_digest
        #: Position of the batch that `__next__` returns next, and of the one that is requested next.
        self._next = (start.epoch, start.index)
        self._ask = self._next
        self._per_epoch: Optional[int] = None
        self._window = 1
        self._pending: Deque["Future[Batch]"] = deque()
        self._lock = threading.Lock()
        self._workers = _Workers(replicas, parent, plan, options)
        # Also ends the threads if the stream is forgotten, and before the interpreter ends.
        self._finalizer = weakref.finalize(self, _Workers.close, self._workers)

    @property
    def batches_per_epoch(self) -> Optional[int]:
        """Number of batches of this rank in an epoch; None until the first batch has arrived."""
        return self._per_epoch

    def state(self) -> BatchesState:
        """The position after the batch that was handed out last."""
        epoch, index = self._next
        return BatchesState(epoch, index, self._digest)

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        with self._lock:
            try:
                self._request()
                if not self._pending:
                    self._workers.close()
                    raise StopIteration
                # It stays the first one until it is here: Ctrl-C while it is awaited must not lose it.
                batch = self._pending[0].result()
                self._pending.popleft()
            except DropstreamError:
                self._workers.close()
                raise
            if self._per_epoch is None:
                self._learn(batch)
            self._next = self._following(self._next)
            # Refill before the caller computes, so that it does not wait for the network afterwards.
            self._request()
            return batch

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancels the calls in flight and waits for the end of the threads. A `next` that waits in another thread raises Cancelled."""
        self._workers.close()

    def _learn(self, first: Batch) -> None:
        """Takes from the first batch what only the service knows: the length of an epoch, the plan's digest and the size of a batch."""
        options = self._options
        self._per_epoch = first.header.batches_per_epoch
        self._digest = first.header.plan_digest
        self._window = max(1, min(options.in_flight, options.in_flight_bytes // max(1, first.header.payload_bytes)))
        self._ask = self._following(self._ask)

    def _request(self) -> None:
        """Requests batches until the window is full."""
        while len(self._pending) < self._window:
            epochs = self._options.epochs
            if epochs is not None and self._ask[0] >= epochs:
                return
            self._pending.append(self._workers.request(*self._ask, self._digest, self._window))
            if self._per_epoch is None:
                return
            self._ask = self._following(self._ask)

    def _following(self, position: Tuple[int, int]) -> Tuple[int, int]:
        epoch, index = position
        assert self._per_epoch is not None
        return (epoch, index + 1) if index + 1 < self._per_epoch else (epoch + 1, 0)


class _Workers:
    """The threads that fetch, one for each call in flight. Holds no reference to the stream, so that a forgotten stream can be collected."""

    def __init__(self, replicas: ReplicaSet, parent: str, plan: data_pb2.Plan, options: StreamOptions) -> None:
        self._replicas = replicas
        self._parent = parent
        self._plan = plan
        self._options = options
        #: The service divides the caller's share by this name.
        self._name = str(uuid.uuid4())
        self._leaving = Leaving()
        self._queue: "queue.SimpleQueue[Optional[Tuple[int, int, str, Future[Batch]]]]" = queue.SimpleQueue()
        self._threads: List[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    def request(self, epoch: int, index: int, digest: str, threads: int) -> "Future[Batch]":
        future: "Future[Batch]" = Future()
        with self._lock:
            if self._closed:
                future.set_exception(Cancelled("the stream of batches is closed"))
                return future
            while len(self._threads) < threads:
                # Daemons: the interpreter would wait for others before it runs the finalizer that stops them.
                thread = threading.Thread(target=self._work, name=f"dropstream-batches-{len(self._threads)}", daemon=True)
                thread.start()
                self._threads.append(thread)
        self._queue.put((epoch, index, digest, future))
        return future

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._leaving.leave()
                for _ in self._threads:
                    self._queue.put(None)
            threads = list(self._threads)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def _work(self) -> None:
        while True:
            asked = self._queue.get()
            if asked is None:
                return
            epoch, index, digest, future = asked
            try:
                future.set_result(self._fetch(epoch, index, digest))
            except BaseException as error:  # Whatever it is, the caller of `next` must see it instead of waiting.
                future.set_exception(error)
            del asked, future

    def _fetch(self, epoch: int, index: int, digest: str) -> Batch:
        options = self._options
        request = data_pb2.GetBatchRequest(
            parent=self._parent,
            plan=self._plan,
            epoch=epoch,
            index=index,
            format=FORMATS[options.format][0],
            plan_digest=digest,
            client=self._name,
        )
        return self._replicas.try_all(
            f"batch {index} of epoch {epoch}",
            lambda connection, timeout: fetch_batch(connection, request, options.format, timeout, self._leaving),
            self._leaving,
            attempt_timeout=options.attempt_timeout,
            total_timeout=options.total_timeout,
            on_failure=options.on_failure,
        )
