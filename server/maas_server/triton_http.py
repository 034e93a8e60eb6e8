"""Triton's JSON endpoints, as far as starting, watching and explaining a server needs them.

Source of the protocol: Triton's ``docs/protocol`` (KServe v2, extensions model repository and statistics). Plain
``http.client``: no proxy, no event loop, and safe to use from any thread, since every call has its own connection.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

TOKEN_HEADER = "maas-token"  # noqa: S105  # the header's name, not a secret
_PROBE_S = 2.0
_QUICK_S = 10.0
_LOAD_TIMEOUT_S = 120.0


class TritonRefused(Exception):
    """Triton answered with an error; its words are the message."""


class TritonUnreachable(Exception):
    """No answer: the server is not there, or it ended in the middle of the call."""


@dataclass(frozen=True)
class ModelState:
    """One version of one model, as the repository index tells it.

    Attributes:
        version: ``None`` for a model of which no version was ever loaded.
        state: READY, LOADING, UNLOADING, UNAVAILABLE, or "" where it was never loaded.
        reason: why it is not ready, in Triton's words.
    """

    model: str
    version: int | None
    state: str
    reason: str


class TritonHttp:
    """Calls to one server.

    Args:
        address: host and port, e.g. ``127.0.0.1:8000``.
        token: what opens the restricted APIs, where the server restricts any.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address = address
        self._headers = {TOKEN_HEADER: token} if token is not None else {}

    def is_ready(self) -> bool:
        """Whether the server answers and has done its loading."""
        try:
            self._call("GET", "/v2/health/ready", _PROBE_S)
        except (TritonRefused, TritonUnreachable):
            return False
        return True

    def index(self, timeout_s: float = _QUICK_S) -> list[ModelState]:
        """The state of every model in the repository."""
        entries = json.loads(self._call("POST", "/v2/repository/index", timeout_s))
        return [
            ModelState(
                model=entry["name"],
                version=int(entry["version"]) if entry.get("version") else None,
                state=entry.get("state", ""),
                reason=entry.get("reason", ""),
            )
            for entry in entries
        ]

    def load(self, model: str, timeout_s: float = _LOAD_TIMEOUT_S) -> None:
        """Loads what is new of a model.

        Raises:
            TritonRefused: where it did not load; the versions loaded before go on serving.
        """
        self._call("POST", f"/v2/repository/models/{model}/load", timeout_s)

    def unload(self, model: str, timeout_s: float = _LOAD_TIMEOUT_S) -> None:
        """Unloads every version of a model."""
        self._call("POST", f"/v2/repository/models/{model}/unload", timeout_s)

    def config(self, model: str) -> dict[str, Any]:
        """The configuration of a loaded model, completed by Triton."""
        return dict(json.loads(self._call("GET", f"/v2/models/{model}/config")))

    def statistics(self) -> list[dict[str, Any]]:
        """Counts and durations (nanoseconds) of every loaded version."""
        return list(json.loads(self._call("GET", "/v2/models/stats"))["model_stats"])

    def _call(self, method: str, path: str, timeout_s: float = _QUICK_S) -> bytes:
        connection = http.client.HTTPConnection(self.address, timeout=timeout_s)
        try:
            connection.request(method, path, headers=self._headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise TritonUnreachable(f"{self.address}{path}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise TritonRefused(_error_text(body, answer.status))
        return body


def _error_text(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status} {body[:200].decode(errors='replace')}".strip()
