"""The stub server's HTTP side: as much of the KServe v2 protocol as a load test asks for, on bare asyncio."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass
from typing import Any

from tests.loadtest.stub_model import INPUT, MAX_BATCH_SIZE, MODEL, OUTPUT, WIDTH, BadRequest, StubModel

_END = b"\r\n\r\n"
_ROW_BYTES = 4 * WIDTH
_MOST_HEADS = 4096
SERVER = {
    "name": "stub",
    "version": "2.51.0",
    "extensions": ["statistics", "model_configuration", "binary_tensor_data"],
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the JSON part of an inference asks for, parsed once for all requests that share its bytes."""

    rows: int
    data: bytes | None
    """The input's bytes where they came as JSON; None where they follow the JSON part."""
    answer: dict[str, Any]
    binary_head: bytes
    """All of the response before the output's bytes; empty where the answer is to be JSON."""


Heads = dict[tuple[str, bytes], _Asked]


class HttpStub(asyncio.Protocol):
    """One connection.

    Args:
        heads: parsed JSON parts, shared between connections.
    """

    def __init__(self, model: StubModel, heads: Heads) -> None:
        self._model = model
        self._heads = heads
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(_END)
            if end < 0:
                return
            lines = bytes(self._buffer[:end]).split(b"\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
            length = int(headers.get(b"content-length", b"0"))
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            path = lines[0].split(b" ")[1].decode().partition("?")[0]
            self._answer(path, body, int(headers.get(b"inference-header-content-length", length)))

    def _answer(self, path: str, body: bytes, json_bytes: int) -> None:
        if not path.endswith("/infer"):
            self._send(*self._describe(path))
            return
        if self._model.fails():
            self._send(500, {"error": "the stub was told to fail"})
            return
        try:
            asked = self._asked(path, body[:json_bytes])
            raw = body[json_bytes:]
            if asked.data is None and len(raw) != asked.rows * _ROW_BYTES:
                raise BadRequest(f"input {INPUT!r} of {asked.rows} rows came with {len(raw)} bytes")
        except BadRequest as error:
            self._send(400, {"error": str(error)})
            return
        delay_s = self._model.begin(asked.rows)
        answer = self._model.answer(raw if asked.data is None else asked.data)
        response = asked.binary_head + answer if asked.binary_head else _json_response(asked.answer, answer)
        if delay_s > 0:
            self._loop.call_later(delay_s, self._transport.write, response)
        else:
            self._transport.write(response)

    def _asked(self, path: str, text: bytes) -> _Asked:
        key = path, text
        known = self._heads.get(key)
        if known is None:
            known = _parse(path, text, self._model.versions)
            if len(self._heads) < _MOST_HEADS:
                self._heads[key] = known
        return known

    def _describe(self, path: str) -> tuple[int, Any]:
        parts = [part for part in path.split("/") if part][1:]
        if parts[:1] == ["models"] and parts[1:] != ["stats"]:
            return self._describe_model(parts[1:])
        said: dict[str, Any] = {
            "": SERVER,
            "health/live": None,
            "health/ready": None,
            "models/stats": self._model.statistics(),
            "repository/index": [
                {"name": MODEL, "version": version, "state": "READY"} for version in self._model.versions
            ],
        }
        asked = "/".join(parts)
        return (200, said[asked]) if asked in said else (404, {"error": f"Request for unknown path {path}"})

    def _describe_model(self, parts: list[str]) -> tuple[int, Any]:
        version = parts[2] if parts[1:2] == ["versions"] else self._model.versions[-1]
        if parts[0] != MODEL or version not in self._model.versions:
            return 404, {"error": f"Request for unknown model: {parts[0]!r} version {version} is not found"}
        said = {"ready": None, "config": self._model.config(), "stats": self._model.statistics()}
        return 200, said.get(parts[-1], self._model.metadata())

    def _send(self, status: int, document: Any) -> None:
        self._transport.write(_response(status, b"" if document is None else json.dumps(document).encode()))


def _response(status: int, body: bytes) -> bytes:
    reason = {200: "OK", 400: "Bad Request", 404: "Not Found"}.get(status, "Internal Server Error")
    return (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def _parse(path: str, text: bytes, versions: tuple[str, ...]) -> _Asked:
    parts = path.split("/")
    version = parts[5] if "versions" in parts else versions[-1]
    if parts[3] != MODEL or version not in versions:
        raise BadRequest(f"Request for unknown model: {parts[3]} version {version}")
    try:
        document = json.loads(text)
        tensor = document["inputs"][0]
        rows, width = tensor["shape"]
        data = None if "data" not in tensor else struct.pack(f"<{rows * width}f", *tensor["data"])
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise BadRequest(f"no request that the stub understands: {error}") from error
    if tensor["name"] != INPUT or width != WIDTH or not 1 <= rows <= MAX_BATCH_SIZE or tensor["datatype"] != "FP32":
        raise BadRequest(
            f"wanted {INPUT} FP32 [1 to {MAX_BATCH_SIZE}, {WIDTH}], got {tensor['name']} {tensor['shape']}"
        )
    wanted = [entry.get("parameters", {}) for entry in document.get("outputs", [])]
    binary = document.get("parameters", {}).get("binary_data_output") or any(one.get("binary_data") for one in wanted)
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "FP32", "shape": [rows, WIDTH]}
    answer = {"model_name": MODEL, "model_version": version, "outputs": [output]}
    if "id" in document:
        answer["id"] = document["id"]
    if not binary:
        return _Asked(rows, data, answer, b"")
    output["parameters"] = {"binary_data_size": rows * _ROW_BYTES}
    head = json.dumps(answer).encode()
    lines = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(head) + rows * _ROW_BYTES}\r\n\r\n"
    )
    return _Asked(rows, data, answer, lines.encode() + head)


def _json_response(answer: dict[str, Any], rows: bytes) -> bytes:
    output = {**answer["outputs"][0], "data": list(struct.unpack(f"<{len(rows) // 4}f", rows))}
    return _response(200, json.dumps({**answer, "outputs": [output]}).encode())
