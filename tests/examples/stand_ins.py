"""Catalogue models whose servers are the stand-ins of ``tests.client.catalogue``: one for each kind of call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maas_core.golden import Tensors
from maas_core.spec import ModelSpec, Objective, SequenceBatching, Serving, TensorSpec
from maas_export.catalogue import CatalogueModel


class StandIn(CatalogueModel):
    """A spec and an example, and nothing to train."""

    bundle_format = "python"

    def __init__(self, spec: ModelSpec, example: dict[str, Any]) -> None:
        self.spec = spec
        self.example = example

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        raise AssertionError("an example needs no samples")


def _tensor(name: str, datatype: str = "BYTES", *dims: int | str) -> TensorSpec:
    return TensorSpec(name, datatype, dims or (1,), "")


def _model(
    name: str,
    summary: str,
    tensors: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
    example: dict[str, Any],
    *,
    max_batch_size: int = 8,
    **further: Any,
) -> StandIn:
    inputs, outputs = tensors
    serving = Serving(max_batch_size=max_batch_size)
    return StandIn(
        ModelSpec(name, "a task", summary, "python", inputs, outputs, serving, {}, Objective(100.0), **further), example
    )


_LABELS = (_tensor("label", "BYTES", 2), _tensor("score", "FP32", 2), _tensor("error"))


def stand_ins(folder: Path) -> dict[str, StandIn]:
    """By name; the files of their examples are written to ``folder``."""
    picture = folder / "scene.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\x00 '\"$(x)%d\xff")
    series = folder / "shares.csv"
    series.write_text("year,share\n2020,10 %\n2021,\n2022,0.3\n")
    models = (
        _model(
            "scene",
            "finds things",
            ((_tensor("picture"),), (*_LABELS, _tensor("count", "INT32"))),
            {"picture": picture},
        ),
        _model("mood", "tells a mood", ((_tensor("text"),), _LABELS), {"text": 'it\'s "good", 100 % \\o/ $HOME `é`'}),
        _model(
            "share",
            "forecasts a share",
            (
                (_tensor("observation"),),
                (_tensor("forecast", "FP32", 5, 3), _tensor("seen", "INT32"), _tensor("error")),
            ),
            {"observation": series},
            sequence=SequenceBatching(states=()),
        ),
        _model(
            "chat",
            "goes on with a prompt",
            (
                (_tensor("prompt"), _tensor("max_tokens", "INT32"), _tensor("stop", "BYTES", "stops")),
                (_tensor("text"),),
            ),
            {"prompt": 'it\'s "one" \\two é\nthree %d four stop five', "max_tokens": 9, "stop": ["stop", "it's %"]},
            max_batch_size=0,
            decoupled=True,
        ),
    )
    return {model.name: model for model in models}
