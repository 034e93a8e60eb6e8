"""Importing the library is light, and its types are there for those who use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "gevent", "locust", "grpc", "tritonclient", "google.protobuf", "asyncio", "click", "PIL", "maas_core")

USER = """
import asyncio
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path

import numpy as np
from maas_client import (
    AsyncClient, Breaker, Client, InferResult, MaasClientError, Prediction, QuotaExceededError, Retry, TLS,
)
from maas_client.testing import FakeCall, FakeTransport

def top(url: str) -> int:
    with Client(url, timeout_s=5, retry=Retry(attempts=2), breaker=Breaker(), tls=TLS(), hedge_after_s=0.5) as client:
        try:
            answer = client.infer("digits_cnn", image=np.zeros((1, 1, 28, 28), np.float32), outputs=["logits"])
        except QuotaExceededError as error:
            return int(error.retry_after_s or 0)
        except MaasClientError as error:
            print(error.message, error.endpoint)
            return -1
        version: int = answer.model_version
        best = answer.classes("logits")[0][0]
        print(answer.digest.upper(), answer.timing.total_s, best.label, best.score + 1)
        return int(answer["logits"].argmax()) + version

def many(client: Client, samples: Iterator[list[float]]) -> list[float]:
    with closing(client.map("m", samples, errors="return")) as outcomes:
        return [outcome["y"].sum() for outcome in outcomes if isinstance(outcome, InferResult)]

def rest(client: Client) -> None:
    predictions: list[Prediction] = client.predict("digits", [Path("a.png"), b"", "text"])
    print(predictions[0].label, predictions[0].score)
    with client.sequence("adder", sequence_id=7) as sequence:
        total: InferResult = sequence.infer(x=1.0, last=True)
    print(total.text("t"), client.describe("m").inputs["x"].shape)
    client.infer("m", {"x": [[1]]}, via="system_shared_memory", class_count=2, parameters={"k": 1})

async def stream(client: AsyncClient) -> None:
    async with aclosing(client.stream("gpt", prompt="a")) as answers:
        async for answer in answers:
            print(answer.text("text"))
    results = await asyncio.gather(*(client.infer("m", x=1) for _ in range(3)))
    print(results[0]["y"])

def fake() -> Client:
    def double(call: FakeCall) -> dict[str, object]:
        return {"y": call.inputs["x"] * 2}

    transport = FakeTransport()
    transport.model("m", inputs={"x": ("FP32", [-1])}, outputs={"y": ("FP32", [-1])})
    transport.answer("m", double)
    return Client("grpc://anywhere", transport=transport)

reveal_type(Client("http://127.0.0.1:1").infer("m"))
client: Client = Client(3)
"""


def test_the_import_brings_nothing_heavy() -> None:
    code = f"import sys, maas_client; print([name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "[]"


def test_the_types_hold_for_a_user(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "user.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=200,
        check=False,
    )
    told = [line for line in run.stdout.splitlines() if "user.py" in line]
    assert len(told) == 2, run.stdout
    assert "InferResult" in told[0]
    assert "arg-type" in told[1]
