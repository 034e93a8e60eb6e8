"""The stub server's gRPC side: as much of the KServe v2 protocol as a load test asks for, on grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2 as pb

from tests.loadtest.stub_http import SERVER
from tests.loadtest.stub_model import INPUT, MAX_BATCH_SIZE, MODEL, OUTPUT, WIDTH, StubModel

_SERVICE = "inference.GRPCInferenceService"
_ROW_BYTES = 4 * WIDTH


class GrpcStub:
    """Handlers of one model."""

    def __init__(self, model: StubModel) -> None:
        self._model = model

    def handlers(self) -> grpc.GenericRpcHandler:
        """For ``grpc.aio.Server.add_generic_rpc_handlers``."""
        describe: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
            "ServerLive": lambda: (pb.ServerLiveResponse, {"live": True}),
            "ServerReady": lambda: (pb.ServerReadyResponse, {"ready": True}),
            "ServerMetadata": lambda: (pb.ServerMetadataResponse, SERVER),
            "RepositoryIndex": lambda: (pb.RepositoryIndexResponse, {"models": self._index()}),
            "ModelStatistics": lambda: (pb.ModelStatisticsResponse, self._model.statistics()),
        }
        of_model: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
            "ModelReady": lambda: (pb.ModelReadyResponse, {"ready": True}),
            "ModelMetadata": lambda: (pb.ModelMetadataResponse, self._model.metadata()),
            "ModelConfig": lambda: (pb.ModelConfigResponse, {"config": self._model.config()}),
        }
        methods = {name: self._handler(_told(answer)) for name, answer in describe.items()}
        methods |= {name: self._handler(self._checked(answer)) for name, answer in of_model.items()}
        methods["ModelInfer"] = self._handler(self._infer)
        return grpc.method_handlers_generic_handler(_SERVICE, methods)

    @staticmethod
    def _handler(answer: Callable[[bytes, Any], Awaitable[bytes]]) -> grpc.RpcMethodHandler:
        # Without (de)serializers the bytes come as they are: only inferences are worth parsing here.
        return grpc.unary_unary_rpc_method_handler(answer)

    def _checked(self, answer: Callable[[], tuple[Any, dict[str, Any]]]) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def told(request: bytes, context: Any) -> bytes:
            # Name and version are fields 1 and 2 of all three requests.
            asked = pb.ModelMetadataRequest.FromString(request)
            await self._check(asked.name, asked.version, context)
            return _message(*answer())

        return told

    async def _check(self, name: str, version: str, context: Any) -> None:
        if name != MODEL or (version and version not in self._model.versions):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: {name!r} version {version!r}")

    def _index(self) -> list[dict[str, str]]:
        return [{"name": MODEL, "version": version, "state": "READY"} for version in self._model.versions]

    async def _infer(self, request: bytes, context: Any) -> bytes:
        asked = pb.ModelInferRequest.FromString(request)
        await self._check(asked.model_name, asked.model_version, context)
        if self._model.fails():
            await context.abort(grpc.StatusCode.INTERNAL, "the stub was told to fail")
        tensor, raw = asked.inputs[0], asked.raw_input_contents[0]
        rows = tensor.shape[0]
        if tensor.name != INPUT or len(raw) != rows * _ROW_BYTES or not 1 <= rows <= MAX_BATCH_SIZE:
            wanted = f"wanted {INPUT} FP32 [1 to {MAX_BATCH_SIZE}, {WIDTH}]"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{wanted}, got {tensor.name} {list(tensor.shape)}")
        delay_s = self._model.begin(rows)
        answer = pb.ModelInferResponse(
            model_name=MODEL,
            model_version=asked.model_version or self._model.versions[-1],
            id=asked.id,
            outputs=[{"name": OUTPUT, "datatype": "FP32", "shape": [rows, WIDTH]}],
            raw_output_contents=[self._model.answer(raw)],
        )
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        return bytes(answer.SerializeToString())


def _told(answer: Callable[[], tuple[Any, dict[str, Any]]]) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def told(_request: bytes, _context: Any) -> bytes:
        return _message(*answer())

    return told


def _message(kind: Any, fields: dict[str, Any]) -> bytes:
    return bytes(json_format.ParseDict(fields, kind(), ignore_unknown_fields=True).SerializeToString())
