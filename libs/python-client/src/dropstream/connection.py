"""Channels to services, and calls through them with a deadline, retries and errors of this package."""

from __future__ import annotations

import ipaddress
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional, TypeVar

import grpc

from .errors import Cancelled, DropstreamError, ResourceExhausted, Unavailable, from_rpc_error

T = TypeVar("T")

#: Attempts of a call, including the first one.
ATTEMPTS = 4
#: First wait between two attempts in seconds; it is doubled each time.
FIRST_WAIT = 0.1
#: Longest wait between two attempts in seconds; it also limits what a service asks for.
LONGEST_WAIT = 5.0


@dataclass(frozen=True)
class Tls:
    """Certificates in PEM."""

    #: Authorities that the service's certificate may come from; None: those of the system.
    authority: Optional[bytes] = None
    #: Certificate and key of this caller, for services that check it.
    certificate: Optional[bytes] = None
    key: Optional[bytes] = None
    #: Name that the service's certificate must have, instead of that in the address.
    server_name: Optional[str] = None


def open_channel(address: str, tls: Optional[Tls] = None) -> grpc.Channel:
    """Connects lazily. `address` is `host:port`, several of them joined by commas, or a gRPC target such as `dns:///host:port`."""
    options = [
        ("grpc.max_receive_message_length", 64 << 20),
        ("grpc.max_send_message_length", 16 << 20),
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
        # Retries are made by this package, which knows RetryInfo.
        ("grpc.enable_retries", 0),
        # A service that says nothing any more is noticed within 20 s, also by a watch that waits for something rare.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # Readers that share a connection share its flow-control window: one that stops reading would stop the others.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if all(_is_loopback(part) for part in address.split(",")):
        options.append(("grpc.enable_http_proxy", 0))
    if tls is None:
        return grpc.insecure_channel(_target(address), options)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.secure_channel(_target(address), grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate), options)


def check_token(service: str, address: str, tls: Optional[Tls]) -> None:
    """Raises ValueError if others could read a token on its way to the address."""
    if tls is None and not all(_stays_here(part.strip()) for part in address.split(",")):
        raise ValueError(f"the {service} address is {address!r}, must be on this machine, or used with tls=Tls(…): a token is not sent in plain text")


def _stays_here(address: str) -> bool:
    """Whether the address is this machine's by its form alone; a name that only begins like one is not."""
    if address.startswith("unix:"):
        return True
    host = re.sub(r"^(dns:(//[^/]*/)?|ipv[46]:)", "", address).rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(service: str, address: str) -> str:
    """Returns the address. Raises ValueError if it cannot be one, and says what to write."""
    for part in address.split(","):
        scheme, rest = part.split("//", 1) if "//" in part else ("", part)
        if scheme in ("http:", "https:"):
            raise ValueError(f"the {service} address is {part!r}: write {rest.rstrip('/')!r}, and tls=Tls() for https")
        if not rest.rpartition(":")[2].isdigit() and not part.startswith("unix:"):
            raise ValueError(f"the {service} address is {part!r}, must be host:port, for example 127.0.0.1:7011")
    return address


def _target(address: str) -> str:
    parts = [part.strip() for part in address.split(",")]
    if len(parts) == 1:
        return parts[0]
    return "ipv4:" + ",".join(part.replace("localhost:", "127.0.0.1:") for part in parts)


def _is_loopback(address: str) -> bool:
    return address.strip().startswith(("127.", "localhost:", "[::1]:", "unix:"))


class Connection:
    """The channel to one service, opened at the first call."""

    def __init__(self, service: str, address: str, stub: Callable[[grpc.Channel], T], tls: Optional[Tls], metadata: Mapping[str, str]) -> None:
        self.service = service
        self.address = check_address(service, address)
        self._make = stub
        self.tls = tls
        self.metadata = metadata
        self._lock = threading.Lock()
        self._channel: Optional[grpc.Channel] = None
        self._stub: Any = None
        self._closed = False

    @property
    def stub(self) -> Any:
        """The generated stub; `call` and `stream` take its methods by name."""
        with self._lock:
            if self._closed:
                raise Cancelled(f"the client of the {self.service} service is closed")
            if self._stub is None:
                self._channel = open_channel(self.address, self.tls)
                self._stub = self._make(self._channel)
            return self._stub

    def call(self, method: str, request: Any, timeout: float, *, repeatable: bool = True) -> Any:
        """One unary call within `timeout` seconds. If it is repeatable, it is repeated while the service is unavailable or asks to wait."""
        end = time.monotonic() + timeout
        attempt = 1
        while True:
            try:
                return getattr(self.stub, method)(request, timeout=max(0.001, end - time.monotonic()), metadata=tuple(self.metadata.items()))
            except grpc.RpcError as error:
                failure = from_rpc_error(error, method)
                wait = retry_wait(failure, attempt) if repeatable and attempt < ATTEMPTS else None
                if wait is None or time.monotonic() + wait >= end:
                    raise failure from None
            time.sleep(wait)
            attempt += 1

    def stream(self, method: str, request: Any, timeout: float) -> "Stream":
        """One server stream within `timeout` seconds."""
        return Stream(getattr(self.stub, method)(request, timeout=timeout, metadata=tuple(self.metadata.items())), method)

    def close(self) -> None:
        """Closes the channel; calls in flight end as Cancelled."""
        with self._lock:
            self._closed = True
            channel, self._channel, self._stub = self._channel, None, None
        if channel is not None:
            channel.close()


class Stream:
    """The messages of one server stream, with errors of this package."""

    def __init__(self, call: Any, what: str) -> None:
        self._call = call
        self._what = what

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._call
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._what) from None
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Ends the stream; does nothing if it has ended."""
        self._call.cancel()


def retry_wait(error: DropstreamError, attempt: int) -> Optional[float]:
    """Seconds to wait before attempt `attempt` + 1; None if repeating does not help."""
    if not isinstance(error, Unavailable) and not (isinstance(error, ResourceExhausted) and error.retry_after is not None):
        return None
    return min(LONGEST_WAIT, max(FIRST_WAIT * 2 ** (attempt - 1), error.retry_after or 0.0))
