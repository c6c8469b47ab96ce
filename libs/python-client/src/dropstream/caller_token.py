"""The token that a client shows to services."""

from __future__ import annotations

import os
import re
import threading
import time
from typing import Callable, Iterator, Mapping, Optional

#: Seconds between two readings of a file with a token.
LOOK = 1.0


def caller_token(given: Optional[str]) -> Optional[Callable[[], str]]:
    """The given token, or that of the environment. Raises ValueError, which never shows it, if it is none."""
    if given:
        return _constant(given, "the token")
    if os.environ.get("DROPSTREAM_TOKEN"):
        return _constant(os.environ["DROPSTREAM_TOKEN"], "DROPSTREAM_TOKEN")
    path = os.environ.get("DROPSTREAM_TOKEN_FILE")
    return TokenFile(path) if path else None


class TokenFile:
    """The token in a file, which is read again so that it can be replaced. One that cannot be read any more leaves the last one in use."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._token = _read(path)
        self._read_at = time.monotonic()

    def __call__(self) -> str:
        with self._lock:
            if time.monotonic() - self._read_at >= LOOK:
                self._read_at = time.monotonic()
                try:
                    self._token = _read(self._path)
                except (OSError, ValueError):
                    pass  # The service says so if the last one does not count any more.
            return self._token


class WithToken(Mapping[str, str]):
    """Metadata of calls; each call gets the token of that time."""

    def __init__(self, metadata: Mapping[str, str], token: Callable[[], str]) -> None:
        self._metadata = {**metadata, "authorization": ""}
        self._token = token

    def __getitem__(self, key: str) -> str:
        return f"Bearer {self._token()}" if key == "authorization" else self._metadata[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metadata)

    def __len__(self) -> int:
        return len(self._metadata)


def _constant(text: str, source: str) -> Callable[[], str]:
    token = _checked(text, source)
    return lambda: token


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return _checked(file.read(16 << 10), f"the content of {path}")


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]{16,4096}=*", token):
        raise ValueError(f"{source} must be one bearer token, such as `dropstream token create` prints")
    return token
