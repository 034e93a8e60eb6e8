"""A model to tune."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maas_core.spec import ModelSpec, Objective, Serving, TensorSpec, Tolerance


def spec(**serving: Any) -> ModelSpec:
    tensor = TensorSpec("x", "FP32", (4,), "numbers")
    return ModelSpec(
        name="doubled",
        task="arithmetic",
        summary="twice its input",
        backend="onnxruntime",
        inputs=(tensor,),
        outputs=(replace(tensor, name="y"),),
        serving=Serving(**({"max_batch_size": 8} | serving)),
        tolerances={"FP32": Tolerance(0.0, 0.0)},
        objective=Objective(p99_ms=1000.0),
    )
