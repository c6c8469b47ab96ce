"""The replicas of the data service that a client knows: which one to ask next, and which ones to leave alone for a while."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

from .connection import Connection, Tls, check_address
from .errors import (
    Cancelled,
    DamagedBatch,
    DataLoss,
    DeadlineExceeded,
    DropstreamError,
    FailedPrecondition,
    NeverFits,
    PermissionDenied,
    RemoteError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from .v1 import data_pb2_grpc

T = TypeVar("T")

#: Seconds for which a replica is left alone after its first failure; doubled with each failure in a row.
FIRST_EXCLUSION = 0.2
LONGEST_EXCLUSION = 10.0
#: Seconds between two look-ups of `dns:///` names.
LOOK_INTERVAL = 5.0

_DNS = "dns:///"


class Replica:
    """One replica with its connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.in_flight = 0
        self.failures = 0
        self.excluded_until = 0.0

    @property
    def address(self) -> str:
        return self.connection.address


class Leaving:
    """Says that a caller does not want its results any more: ends waits and the calls that are registered."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._calls: List[Any] = []

    @property
    def left(self) -> bool:
        return self._event.is_set()

    def leave(self) -> None:
        with self._lock:
            self._event.set()
            calls, self._calls = self._calls, []
        for call in calls:
            call.cancel()

    def wait(self, seconds: float) -> None:
        """Waits. Raises Cancelled if the caller leaves."""
        if self._event.wait(seconds):
            raise Cancelled("the stream or the client was closed")

    def add(self, call: Any) -> None:
        """`call.cancel()` is called when the caller leaves, at once if it has left."""
        with self._lock:
            if not self.left:
                self._calls.append(call)
                return
        call.cancel()

    def remove(self, call: Any) -> None:
        with self._lock:
            if call in self._calls:
                self._calls.remove(call)


class ReplicaSet:
    """Safe for use by several threads."""

    def __init__(self, addresses: Sequence[str], tls: Optional[Tls], metadata: Mapping[str, str]) -> None:
        if not addresses:
            raise ValueError("a data client needs the address of at least one replica")
        self._given = [check_address("data", address) for address in addresses]
        self._tls = tls
        self._metadata = metadata
        self._lock = threading.Lock()
        self._all: List[Replica] = []
        self._leaving: List[Replica] = []
        self._turn = 0
        self._looked_at: Optional[float] = None
        self._looking = threading.Lock()
        self._closed = False

    @property
    def addresses(self) -> List[str]:
        with self._lock:
            return [replica.address for replica in self._all] or self._given

    def try_all(
        self,
        what: str,
        attempt: Callable[[Connection, float], T],
        leaving: Leaving,
        *,
        attempt_timeout: float,
        total_timeout: float,
        on_failure: Callable[[str, DropstreamError], None] = lambda address, error: None,
    ) -> T:
        """Tries replicas until one succeeds, all have refused, or `total_timeout` seconds are over."""
        end = time.monotonic() + total_timeout
        refused: Dict[str, DropstreamError] = {}
        last: Optional[DropstreamError] = None
        while True:
            if leaving.left:
                raise Cancelled(f"{what} was cancelled")
            self._look()
            chosen = self._choose(refused)
            if chosen is None:
                raise last or Unavailable(f"{what}: no replica is known at {', '.join(self._given)}")
            replica, wait = chosen
            left = end - time.monotonic()
            if left <= wait:
                if wait == 0:
                    self._ended(replica, None, True)
                raise Unavailable(f"{what} was not served by {', '.join(self.addresses)} in {total_timeout:g} s; last: {last}") from last
            if wait > 0:
                leaving.wait(wait)
                continue
            error: Optional[DropstreamError] = None
            try:
                return attempt(replica.connection, min(left, attempt_timeout))
            except DropstreamError as caught:
                error = last = caught
                if leaving.left:
                    raise
            finally:
                self._ended(replica, error, leaving.left)
            if _is_final(error):
                raise error
            if _is_refusal(error):
                refused[replica.address] = error
            else:
                self._looked_at = None  # The replica may be gone for good, and another one may have replaced it.
            on_failure(replica.address, error)

    def close(self) -> None:
        """Closes all connections; calls in flight end as Cancelled."""
        with self._lock:
            self._closed = True
            replicas = self._all + self._leaving
            self._all, self._leaving = [], []
        for replica in replicas:
            replica.connection.close()

    def _choose(self, refused: Collection[str]) -> Optional[Tuple[Replica, float]]:
        """The replica with the fewest calls in flight that is not excluded, or the one whose exclusion ends first and the seconds until then."""
        now = time.monotonic()
        with self._lock:
            if self._closed:
                raise Cancelled("the client is closed")
            candidates = [replica for replica in self._all if replica.address not in refused]
            if not candidates:
                return None
            healthy = [replica for replica in candidates if replica.excluded_until <= now]
            if not healthy:
                first = min(candidates, key=lambda replica: replica.excluded_until)
                return first, first.excluded_until - now
            least = min(replica.in_flight for replica in healthy)
            equal = [replica for replica in healthy if replica.in_flight == least]
            chosen = equal[self._turn % len(equal)]
            self._turn += 1
            chosen.in_flight += 1
            return chosen, 0.0

    def _ended(self, replica: Replica, error: Optional[DropstreamError], left: bool) -> None:
        with self._lock:
            replica.in_flight -= 1
            gone = replica in self._leaving and replica.in_flight == 0
            if gone:
                self._leaving.remove(replica)
            if error is None:
                if not left:
                    replica.failures, replica.excluded_until = 0, 0.0
            elif not left and not _is_final(error) and not _is_refusal(error):
                now = time.monotonic()
                own = FIRST_EXCLUSION * 2 ** min(replica.failures, 10)
                if replica.excluded_until <= now:  # Calls that fail at the same time count as one failure.
                    replica.failures += 1
                replica.excluded_until = max(replica.excluded_until, now + min(LONGEST_EXCLUSION, max(own, error.retry_after or 0.0)))
        if gone:
            replica.connection.close()

    def _look(self) -> None:
        """Brings the replicas up to date with the addresses; names behind `dns:///` are looked up every few seconds."""
        fixed = not any(address.startswith(_DNS) for address in self._given)
        looked_at = self._looked_at
        if self._all and (fixed or (looked_at is not None and time.monotonic() - looked_at < LOOK_INTERVAL)):
            return
        with self._looking:
            if self._all and (fixed or self._looked_at != looked_at):
                return  # Another thread has looked meanwhile.
            found = self._given if fixed else _resolve(self._given)
            self._looked_at = time.monotonic()
            self._update(found)

    def _update(self, addresses: Sequence[str]) -> None:
        with self._lock:
            if self._closed or not addresses:
                return
            known = {replica.address: replica for replica in self._all}
            gone = [replica for address, replica in known.items() if address not in addresses]
            self._all = [known.get(address) or self._connected(address) for address in addresses]
            self._leaving += [replica for replica in gone if replica.in_flight > 0]
        for replica in gone:
            if replica.in_flight == 0:
                replica.connection.close()

    def _connected(self, address: str) -> Replica:
        return Replica(Connection("data", address, data_pb2_grpc.DataServiceStub, self._tls, self._metadata))


def _is_refusal(error: DropstreamError) -> bool:
    """This replica cannot serve the call (it lacks the manifest, has other semantics, a damaged disk or too little memory), but another one may."""
    return isinstance(error, (FailedPrecondition, PermissionDenied, DataLoss, NeverFits))


def _is_final(error: DropstreamError) -> bool:
    """No replica can serve the call."""
    passing = (Cancelled, DamagedBatch, DeadlineExceeded, RemoteError, ResourceExhausted, Unauthenticated, Unavailable)
    return not _is_refusal(error) and not isinstance(error, passing)


def _resolve(addresses: Sequence[str]) -> List[str]:
    """One address for each record behind a `dns:///` name; a name that does not resolve counts as absent."""
    found: List[str] = []
    for address in addresses:
        if not address.startswith(_DNS):
            found.append(address)
            continue
        host, _, port = address[len(_DNS) :].rpartition(":")
        try:
            records = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except OSError:
            continue
        found += sorted(f"[{name[0]}]:{port}" if family == socket.AF_INET6 else f"{name[0]}:{port}" for family, _, _, _, name in records)
    return list(dict.fromkeys(found))
