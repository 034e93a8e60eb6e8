"""What torch.onnx.export does wrong by itself: recurrent layers exported twice, names that are taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from maas_core.golden import Tensors
from maas_core.spec import ModelSpec, Objective, Serving, TensorSpec, Tolerance
from maas_export.catalogue import TorchModel
from maas_export.data.split import Split
from maas_export.onnx_export import export_onnx


class Layers(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layers = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](3, 4, batch_first=True)

    def forward(self, steps: Tensor) -> Tensor:
        states: Tensor = self.layers(steps)[0]
        return states


class Recurrent(TorchModel):
    spec = ModelSpec(
        name="recurrent",
        task="test",
        summary="runs along",
        backend="onnxruntime",
        inputs=(TensorSpec("steps", "FP32", ("length", 3), "numbers"),),
        outputs=(TensorSpec("states", "FP32", ("length", 4), "states"),),
        serving=Serving(max_batch_size=8),
        tolerances={"FP32": Tolerance(1e-5, 1e-5)},
        objective=Objective(p99_ms=10.0),
    )

    def build(self) -> nn.Module:
        return Layers("gru")

    def load_data(self, path: Path | None, seed: int) -> Split:
        raise AssertionError("nothing is trained here")

    def loss(self, module: nn.Module, batch: object) -> Tensor:
        raise AssertionError("nothing is trained here")

    def evaluate(self, module: nn.Module, split: Split) -> object:  # type: ignore[override]  # never called
        raise AssertionError("nothing is trained here")

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        return {"steps": rng.normal(size=(size, 7, 3)).astype(np.float32)}


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_the_second_export_has_a_free_length_too(kind: str, tmp_path: Path) -> None:
    for number in range(2):
        module = Layers(kind).eval()
        path = tmp_path / f"{number}.onnx"
        export_onnx(Recurrent(), module, path)
        session = onnxruntime.InferenceSession(path)
        for batch, length in ((1, 1), (2, 7), (3, 12)):
            steps = np.random.default_rng(length).normal(size=(batch, length, 3)).astype(np.float32)
            with torch.inference_mode():
                wanted = module(torch.from_numpy(steps)).numpy()
            assert np.allclose(session.run(None, {"steps": steps})[0], wanted, atol=1e-6)


class Looked(nn.Module):
    """An ``nn.Embedding``'s values are named ``embedding`` by torch, as the output is by the spec."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)

    def forward(self, numbers: Tensor) -> Tensor:
        values: Tensor = self.table(numbers).cumsum(dim=1) * 2
        return values


class Named(Recurrent):
    spec = replace(
        Recurrent.spec,
        name="named",
        inputs=(TensorSpec("numbers", "INT64", ("length",), "rows of the table"),),
        outputs=(TensorSpec("embedding", "FP32", ("length", 4), "values"),),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        return {"numbers": rng.integers(0, 5, (size, 7))}


def test_an_output_may_be_named_like_a_value_inside(tmp_path: Path) -> None:
    module = Looked().eval()
    export_onnx(Named(), module, tmp_path / "named.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "named.onnx")
    numbers = np.array([[1, 2, 4], [0, 3, 3]])
    with torch.inference_mode():
        wanted = module(torch.from_numpy(numbers)).numpy()
    assert np.allclose(session.run(["embedding"], {"numbers": numbers})[0], wanted)
