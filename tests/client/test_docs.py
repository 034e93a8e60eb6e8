"""The recipes of docs/client.md run as they stand, against models that look like the documented ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.client.repository import write_documented

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_every_recipe_runs(
    module_triton_server: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_documented(tmp_path / "repository")
    server = module_triton_server(tmp_path / "repository")
    monkeypatch.chdir(tmp_path)
    for name in ("three.png", "seven.jpg"):
        Image.new("L", (28, 28)).save(name)
    page = "\n".join(BLOCKS).replace("127.0.0.1:8001", server.grpc_url).replace("127.0.0.1:8000", server.http_url)
    names: dict[str, Any] = {}
    exec(compile(page, str(PAGE), "exec"), names)  # noqa: S102  # our own documentation
    names["client"].close()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("(1, 10) digits_cnn 1 ")
    comments = [line.removeprefix("# ") for block in BLOCKS for line in block.splitlines() if line.startswith("# ")]
    assert comments
    assert set(comments) <= set(said)
    assert "7 (0.90)" in said
    assert "6.0" in said
    assert "tökén 2" in said
    assert names["best"] == [0] * 100


def test_every_public_name_is_told() -> None:
    import maas_client

    page = PAGE.read_text(encoding="utf-8")
    for name in (
        "Client",
        "AsyncClient",
        "Retry",
        "Breaker",
        "TLS",
        "InputError",
        "SequenceLostError",
        "CircuitOpenError",
    ):
        assert name in maas_client.__all__
        assert name in page
