"""Good requests, spoilt at random: Triton lives, and no answer is an error of the gateway itself."""

from __future__ import annotations

import http.client
import random
from collections import Counter

import grpc
import psutil
import pytest

from tests.gateway.poison_corpus import SERVICE, binary_tensor, document, tensor
from tests.gateway.poison_corpus_grpc import request
from tests.gateway.throwaway import Behind, channel_to
from tests.waiting import wait_until

SEED = 8
FEW, MANY = 400, 20_000
PIECES = (
    *b'[ ] { } : , - + . 0 1 1e9 1e999 1e-9 -Infinity NaN null true \\ \\u0073 "x" "'.split(),
    b" ",
    b"\0",
    b"9" * 20,
    b"9" * 400,
    "ä".encode(),
)
GOOD_JSON = [
    document(),
    document(
        tensor(shape=[2, 1], data=[[1], [2]]), id="7", outputs=[{"name": "y", "parameters": {"binary_data": True}}]
    ),
    document(tensor(), parameters={"priority": 1, "timeout": 10**6, "custom": "ä"}),
]
GOOD_GRPC = [
    request().SerializeToString(),
    request(id="7", outputs=[{"name": "y"}], model_version="1").SerializeToString(),
    request(
        inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1, 2]}}],
        raw_input_contents=[],
    ).SerializeToString(),
]


def spoil(rng: random.Random, text: bytes) -> bytes:
    """``text`` with one to three things done to it."""
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randrange(len(text) + 1), rng.randint(1, 8)
        before, part, rest = text[:at], text[at : at + length], text[at + length :]
        piece = rng.choice(PIECES)
        text = rng.choice(
            [
                before,
                before + rest,
                before + piece + part + rest,
                before + piece + rest,
                before + part * rng.choice((2, 50)) + rest,
                before + bytes([rng.randrange(256)]) + text[at + 1 :],
            ]
        )
    return text


def statuses_over_http(behind: Behind, count: int) -> Counter[int]:
    rng = random.Random(SEED)
    found: Counter[int] = Counter()
    connection = http.client.HTTPConnection(*behind.address, timeout=30)
    good = [text.encode() for text in GOOD_JSON]
    header = document(binary_tensor()).encode()
    for number in range(count):
        if number % 4:
            body, headers = spoil(rng, rng.choice(good)), {}
        else:
            spoilt = spoil(rng, header)
            body, headers = spoilt + bytes(8), {"Inference-Header-Content-Length": str(len(spoilt))}
        status, text = ask(connection, body, headers)
        if is_being_replaced(text):
            wait_until(lambda: ask(connection, good[0], {})[0] == 200, "the model answers again")
            status, _ = ask(connection, body, headers)
        found[status] += 1
        assert psutil.pid_exists(behind.serving.ready["triton_pid"]), body
        assert status in (200, 400, 403, 413), (status, body, headers)
    connection.close()
    return found


def ask(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    connection.request("POST", "/v2/models/echo/infer", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


def is_being_replaced(text: str) -> bool:
    """Whether an error says that the model's process is gone, as it is where the machine stood still (stub_guard.py).

    What ends a process does so again when it is asked again.
    """
    return "is not healthy" in text or "has no available versions" in text


def codes_over_grpc(behind: Behind, count: int) -> Counter[grpc.StatusCode]:
    rng = random.Random(SEED)
    found: Counter[grpc.StatusCode] = Counter()
    fine = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND}
    # Triton 2.51 answers so for a model or version that there is not.
    fine.add(grpc.StatusCode.UNAVAILABLE)
    with channel_to(behind.address) as channel:
        infer = channel.unary_unary(f"{SERVICE}/ModelInfer")
        for _ in range(count):
            message = spoil(rng, rng.choice(GOOD_GRPC))
            code, text = call(infer, message)
            if is_being_replaced(text):
                wait_until(lambda: call(infer, GOOD_GRPC[0])[0] == grpc.StatusCode.OK, "the model answers again")
                code, _ = call(infer, message)
            found[code] += 1
            assert code in {grpc.StatusCode.OK, *fine}, (code, message)
            assert psutil.pid_exists(behind.serving.ready["triton_pid"]), message
    return found


def call(infer: grpc.UnaryUnaryMultiCallable, message: bytes) -> tuple[grpc.StatusCode, str]:
    try:
        infer(message, timeout=30)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_spoilt_requests_over_http(behind: Behind, count: int) -> None:
    found = statuses_over_http(behind, count)
    # Some are spoilt without harm; were none, or all, the test would look past the checks.
    assert 0 < found[200] < found[400]
    assert "admission failed" not in (behind.gateway.state / "envoy.log").read_text()


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_spoilt_requests_over_grpc(behind: Behind, count: int) -> None:
    found = codes_over_grpc(behind, count)
    assert 0 < found[grpc.StatusCode.OK] < found[grpc.StatusCode.INVALID_ARGUMENT]
    assert "admission failed" not in (behind.gateway.state / "envoy.log").read_text()
