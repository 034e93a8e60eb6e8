"""Bad requests over gRPC, each a method, the bytes of its message, and the codes of which one is promised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from tests.gateway.poison_corpus import MIB, SERVICE

INVALID, DENIED, EXHAUSTED, UNIMPLEMENTED, NOT_FOUND = 3, 7, 8, 12, 5


@dataclass(frozen=True)
class BadGrpc:
    """One request over gRPC.

    Attributes:
        codes: of which one must come.
        compressed: whether the message is sent with gzip.
    """

    name: str
    method: str
    message: bytes
    codes: tuple[int, ...]
    compressed: bool = False


def request(**changes: Any) -> pb.ModelInferRequest:
    """A good gRPC request but for ``changes``."""
    fields: dict[str, Any] = {
        "model_name": "echo",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2]}],
        "raw_input_contents": [bytes(8)],
    }
    return pb.ModelInferRequest(**{**fields, **changes})


def grpc_cases() -> Iterator[BadGrpc]:
    """All bad requests over gRPC."""
    for name, message, codes in (*_grpc_tensors(), *_grpc_names(), *_grpc_parameters()):
        yield BadGrpc(name, f"{SERVICE}/ModelInfer", message.SerializeToString(), codes)
    good = request().SerializeToString()
    raw = {
        "truncated": good[:-3],
        "no protobuf": b"\xff" * 64,
        "a group": b"\x0b\x0c" + good,
        "an endless varint": b"\x0a" + b"\x80" * 20,
        "field 0": b"\x00\x00" + good,
        "a length past the end": b"\x3a\xff\xff\xff\xff\x0f" + good,
        "100,000 empty fields": good + b"\x1a\x00" * 100_000,
        "100,000 fields in an input": b"\x2a\xe0\xa7\x12" + b"\x0a\x01a" * 100_000 + good,
        "empty": b"",
        "a name of the wrong type": b"\x08\x01" + good,
    }
    for name, message in raw.items():
        yield BadGrpc(f"protobuf: {name}", f"{SERVICE}/ModelInfer", message, (INVALID,))
    yield BadGrpc(
        "compressed",
        f"{SERVICE}/ModelInfer",
        request(raw_input_contents=[bytes(4 * MIB)]).SerializeToString(),
        (UNIMPLEMENTED,),
        True,
    )
    large = request(
        inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 17 * MIB]}], raw_input_contents=[bytes(68 * MIB)]
    )
    yield BadGrpc("message over the limit", f"{SERVICE}/ModelInfer", large.SerializeToString(), (EXHAUSTED,))
    yield BadGrpc("stream", f"{SERVICE}/ModelStreamInfer", good, (UNIMPLEMENTED,))
    for method in (
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "SystemSharedMemoryStatus",
        "SystemSharedMemoryRegister",
        "SystemSharedMemoryUnregister",
        "CudaSharedMemoryRegister",
        "TraceSetting",
        "LogSettings",
        "ModelStatistics",
    ):
        yield BadGrpc(f"closed: {method}", f"{SERVICE}/{method}", b"", (DENIED,))
    yield BadGrpc("method unknown", f"{SERVICE}/Nothing", b"", (DENIED, UNIMPLEMENTED))
    yield BadGrpc("service unknown", "/grpc.reflection.v1alpha.ServerReflection/Info", b"", (UNIMPLEMENTED,))
    metadata = pb.ModelMetadataRequest(name="../x").SerializeToString()
    yield BadGrpc("metadata of a path", f"{SERVICE}/ModelMetadata", metadata, (INVALID,))
    yield BadGrpc("liveness of a megabyte", f"{SERVICE}/ServerLive", b"\x0a\x01a" * 350_000, (EXHAUSTED,))
    yield BadGrpc("readiness of no model", f"{SERVICE}/ModelReady", b"", (INVALID,))


Case = tuple[str, pb.ModelInferRequest, tuple[int, ...]]


def _grpc_tensors() -> Iterator[Case]:
    shapes = {
        "overflow": [16, 2**60 + 2],
        "overflow to 0": [2**32, 2**32],
        "huge": [1, 2**40],
        "a gigabyte": [1, 2**28],
        "negative": [1, -1],
        "very negative": [-(2**63), 2],
        "zero": [1, 0],
        "no batch": [0, 2],
        "1000 dims": [1] * 1000,
        "other than the bytes": [1, 3],
    }
    for name, shape in shapes.items():
        yield f"gRPC shape {name}", request(inputs=[{"name": "x", "datatype": "FP32", "shape": shape}]), (INVALID,)
    typed = {"name": "x", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1, 2]}}
    yield "gRPC raw and typed contents", request(inputs=[typed]), (INVALID,)
    yield "gRPC no contents", request(raw_input_contents=[]), (INVALID,)
    yield "gRPC one raw content too many", request(raw_input_contents=[bytes(8)] * 2), (INVALID,)
    yield "gRPC 10,000 raw contents", request(raw_input_contents=[b""] * 10_000), (INVALID,)
    few = {**typed, "shape": [1, 1000]}
    yield "gRPC fewer typed contents", request(inputs=[few], raw_input_contents=[]), (INVALID,)
    wrong = {**typed, "contents": {"int_contents": [1, 2]}}
    yield "gRPC contents of another type", request(inputs=[wrong], raw_input_contents=[]), (INVALID,)
    yield "gRPC datatype unknown", request(inputs=[{"name": "x", "datatype": "FP31", "shape": [1, 2]}]), (INVALID,)
    yield "gRPC no inputs", request(inputs=[], raw_input_contents=[]), (INVALID,)
    yield "gRPC input twice", request(inputs=[typed, typed], raw_input_contents=[]), (INVALID,)
    yield "gRPC output twice", request(outputs=[{"name": "y"}] * 2), (INVALID,)
    yield "gRPC 100,000 outputs", request(outputs=[{"name": f"o{number}"} for number in range(100_000)]), (INVALID,)


def _grpc_names() -> Iterator[Case]:
    for name in ("", "../x", "a;id", "a" * 300, "modèle", "a\r\nb", "-rf"):
        yield f"gRPC model {name[:8]!r}", request(model_name=name), (INVALID,)
    for version in ("abc", "-1", "0", "9" * 20):
        yield f"gRPC version {version}", request(model_version=version), (INVALID,)
    yield "gRPC model unknown", request(model_name="unknown"), (NOT_FOUND, 14)
    nameless = {"name": "", "datatype": "FP32", "shape": [1, 2]}
    yield "gRPC input without name", request(inputs=[nameless]), (INVALID,)
    yield "gRPC input of 300 characters", request(inputs=[{**nameless, "name": "x" * 300}]), (INVALID,)


def _grpc_parameters() -> Iterator[Case]:
    region = {
        "shared_memory_region": pb.InferParameter(string_param="triton_onnxruntime_backend_shm_region_1"),
        "shared_memory_byte_size": pb.InferParameter(int64_param=8),
    }
    shared = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": region}
    yield "gRPC shared memory for input", request(inputs=[shared], raw_input_contents=[]), (DENIED,)
    yield "gRPC shared memory for output", request(outputs=[{"name": "y", "parameters": region}]), (DENIED,)
    values = {
        "triton_secret": pb.InferParameter(int64_param=1),
        "sequence_start": pb.InferParameter(string_param="yes"),
        "sequence_id": pb.InferParameter(string_param="s" * 129),
        "priority": pb.InferParameter(int64_param=-1),
        "timeout": pb.InferParameter(string_param="soon"),
        "x": pb.InferParameter(),
    }
    for name, value in values.items():
        yield f"gRPC parameter {name}", request(parameters={name: value}), (INVALID,)
