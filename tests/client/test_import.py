"""Importing the library is light, and its types are there for those who use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "gevent", "locust", "grpc", "tritonclient", "google.protobuf", "asyncio", "click", "PIL", "maas_core")

USER = """
import numpy as np
from maas_client import Client, MaasClientError

def top(url: str) -> int:
    with Client(url, timeout_s=5) as client:
        try:
            answer = client.infer("digits_cnn", image=np.zeros((1, 1, 28, 28), np.float32), outputs=["logits"])
        except MaasClientError as error:
            print(error.message)
            return -1
        version: int = answer.model_version
        return int(answer["logits"].argmax()) + version

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
