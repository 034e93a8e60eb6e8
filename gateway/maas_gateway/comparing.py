"""Asking two servers the same question, and the line that tells whether their answers agree."""

from __future__ import annotations

import http.client
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from maas_gateway.answers import NO_ANSWER, Answer, Comparison, compare, read_grpc, read_http
from maas_gateway.clusters import Protocol
from maas_gateway.differences import append_difference, differences_path
from maas_gateway.routing import Upstream, read_routing

_TIMEOUT_S = 30.0
_PASSED_ON = ("content-type", "content-encoding", "inference-header-content-length")
GRPC_INFER = "/inference.GRPCInferenceService/ModelInfer"
_UNREADABLE = (ValueError, KeyError, TypeError, struct.error, DecodeError)
"""What reading raises where a server's answer is none."""
RTOL, ATOL = 1e-3, 1e-4
"""Two correct builds of one network differ by less."""


@dataclass(frozen=True)
class Mirrored:
    """One mirrored request, as it reached the sink.

    Attributes:
        path: of the URL, or the gRPC method.
        headers: names in lower case.
    """

    protocol: Protocol
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def asks_for_inference(self) -> bool:
        """Whether there is an answer worth comparing."""
        return self.path == GRPC_INFER or self.path.endswith("/infer")


class Comparer:
    """Compares from several threads at a time.

    Args:
        state_dir: where the routing lies, and where the lines are written.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._path = differences_path(state_dir)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._not_compared = 0

    def compare(self, request: Mirrored) -> None:
        """Asks both servers and writes the line; nothing where there is no candidate any more."""
        routing = read_routing(self._state_dir)
        if routing.candidate is None or not request.asks_for_inference:
            return
        stable, candidate = self._ask(routing.stable, request), self._ask(routing.candidate, request)
        self._write(request, stable, candidate, compare(stable, candidate, rtol=RTOL, atol=ATOL))

    def not_compared(self) -> None:
        """Notes that a request had to be passed over."""
        with self._lock:
            self._not_compared += 1

    def close(self) -> None:
        """Ends the connections."""
        with self._lock:
            for channel in self._channels.values():
                channel.close()

    def _ask(self, server: Upstream, request: Mirrored) -> Answer:
        return self._ask_grpc(server.grpc, request) if request.protocol == "grpc" else _ask_http(server.http, request)

    def _ask_grpc(self, address: str, request: Mirrored) -> Answer:
        with self._lock:
            channel = self._channels.get(address)
            if channel is None:
                channel = self._channels[address] = grpc.insecure_channel(
                    address, options=[("grpc.max_receive_message_length", -1)]
                )
        call = channel.unary_unary(request.path)
        try:
            return read_grpc(call(request.body, timeout=_TIMEOUT_S))
        except grpc.RpcError as error:
            return Answer(int(error.code().value[0]))
        except _UNREADABLE:
            return Answer(NO_ANSWER)

    def _write(self, request: Mirrored, stable: Answer, candidate: Answer, result: Comparison) -> None:
        line: dict[str, Any] = {
            "at": request.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "model": request.headers.get("x-maas-model", ""),
            "request_id": stable.request_id or candidate.request_id,
            "protocol": request.protocol,
            "equal": result.equal,
            "worst": result.worst,
            "where": result.where,
            "stable_status": stable.status,
            "candidate_status": candidate.status,
        }
        with self._lock:
            line["not_compared"] = self._not_compared
            try:
                append_difference(self._path, line)
            except OSError:
                # E.g. on a full disk. Before anybody else writes: the next line that can be written tells.
                self._not_compared += 1
            else:
                self._not_compared = 0


def _ask_http(address: str, request: Mirrored) -> Answer:
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
    headers = {name: value for name, value in request.headers.items() if name in _PASSED_ON}
    try:
        connection.request("POST", request.path, request.body, headers)
        answer = connection.getresponse()
        return read_http(answer.status, answer.getheader("inference-header-content-length"), answer.read())
    except (OSError, http.client.HTTPException, *_UNREADABLE):
        return Answer(NO_ANSWER)
    finally:
        connection.close()
