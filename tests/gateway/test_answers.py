"""What counts as the same answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import serialize_byte_tensor

from maas_gateway.answers import Answer, compare, read_grpc, read_http

NAN, INFINITE = float("nan"), float("inf")


def answer(*values: float, status: int = 200, name: str = "y") -> Answer:
    return Answer(status, {name: np.array(values, np.float32)})


def text(value: bytes) -> Answer:
    return Answer(200, {"y": np.array([value], np.object_)})


@pytest.mark.parametrize(
    ("stable", "candidate", "equal", "worst", "where"),
    [
        (answer(1, 2), answer(1, 2), True, 0.0, ""),
        (answer(1, 2), answer(1, 2.0001), True, pytest.approx(1e-4, rel=0.05), ""),
        (answer(1, 2), answer(1, 3), False, 1.0, "y"),
        (answer(1, NAN), answer(1, NAN), True, 0.0, ""),
        (answer(1, INFINITE), answer(1, INFINITE), True, 0.0, ""),
        (answer(1, 2), answer(1, NAN), False, None, "y"),
        (answer(1, 2), answer(1, -INFINITE), False, None, "y"),
        (answer(1, 2), answer(1, 2, 3), False, None, "y"),
        (answer(1), answer(1, name="z"), False, None, "outputs"),
        (answer(1), Answer(500), False, None, "status"),
        (Answer(400), Answer(400), True, None, ""),
        (
            Answer(200, {"y": np.array([b"a"], np.object_)}),
            Answer(200, {"y": np.array([b"a"], np.object_)}),
            True,
            None,
            "",
        ),
        (
            Answer(200, {"y": np.array([b"a"], np.object_)}),
            Answer(200, {"y": np.array([b"b"], np.object_)}),
            False,
            None,
            "y",
        ),
    ],
)
def test_numbers_may_differ_a_little_and_all_else_not(
    stable: Answer, candidate: Answer, equal: bool, worst: float | None, where: str
) -> None:
    found = compare(stable, candidate, rtol=1e-3, atol=1e-4)
    assert (found.equal, found.worst, found.where) == (equal, worst, where)


def test_json_and_binary_tensors_and_protobuf_are_read_alike() -> None:
    numbers, texts = np.array([[1.5, 2.5]], np.float32), np.array([["ä".encode(), b""]], np.object_)
    raw_texts = serialize_byte_tensor(texts).item()
    outputs = [
        {"name": "n", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]},
        {"name": "t", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": len(raw_texts)}},
    ]
    head = json.dumps({"id": "7", "outputs": outputs}).encode()
    by_http = read_http(200, str(len(head)), head + raw_texts)
    message = pb.ModelInferResponse(
        id="7",
        outputs=[
            {"name": "n", "datatype": "FP32", "shape": [1, 2]},
            {"name": "t", "datatype": "BYTES", "shape": [1, 2]},
        ],
        raw_output_contents=[numbers.tobytes(), raw_texts],
    )
    by_grpc = read_grpc(message.SerializeToString())
    for read in (by_http, by_grpc):
        assert read.request_id == "7"
        np.testing.assert_array_equal(read.outputs["n"], numbers)
        np.testing.assert_array_equal(read.outputs["t"], texts)
