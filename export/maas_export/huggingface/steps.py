"""What stands before and behind a folder's network on the server, and the ensemble that joins them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maas_core.golden import Tensors
from maas_core.spec import ModelSpec, Objective, Serving, Step, TensorSpec, Tolerance
from maas_export.catalogue import PythonModel, Reference
from maas_export.huggingface.directory import TOKENIZER_FILE
from maas_export.huggingface.picture import PICTURE_FILE
from maas_export.python_models import load_module
from maas_export.steps import FP32_TOLERANCE, text_column

_STEP_MS, _ALL_MS = 20.0, 200.0
_ERROR = TensorSpec("error", "BYTES", (1,), "why the item could not be used; empty where it could")
_WORDS = ("a", "cat", "sat", "on", "the", "mat", "and", "said:", "déjà", "vu!", "12", "Tritons")


class TextStep(PythonModel):
    """Text -> numbers of tokens, with the folder's own vocabulary.

    Args:
        spec: see :func:`text_spec`.
        vocabulary: ``tokenizer.json``.
    """

    source = "sentence_tokenizer"

    def __init__(self, spec: ModelSpec, vocabulary: bytes) -> None:
        self.spec = spec
        self._vocabulary = vocabulary

    @property
    def assets(self) -> Mapping[str, str | bytes]:
        """The vocabulary."""
        return {TOKENIZER_FILE: self._vocabulary}

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Texts of a few words; of three or more, one is empty."""
        texts = [" ".join(rng.choice(_WORDS, int(rng.integers(1, 12)))) for _ in range(size)]
        if size > 2:
            texts[1] = " "
        return {"text": text_column(texts)}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder."""
        parameters = self.spec.serving.parameters
        numbers, present, errors = load_module(self.source, "wordpieces").read_sentences(
            inputs["text"].reshape(-1).tolist(),
            self._tokenizer,
            int(parameters["max_tokens"]),
            pad=int(parameters["pad"]),
            is_cleaned=parameters["clean"] == "true",
        )
        return {"input_ids": numbers, "attention_mask": present, "error": text_column(errors)}

    @cached_property
    def _tokenizer(self) -> Any:
        """Raises ValueError where the vocabulary cannot be read."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / TOKENIZER_FILE
            path.write_bytes(self._vocabulary)
            return load_module(self.source, "wordpieces").load_tokenizer(
                path, int(self.spec.serving.parameters["max_tokens"])
            )


def text_spec(name: str, serving: Serving, *, max_tokens: int, pad: int) -> ModelSpec:
    """The spec of a :class:`TextStep` before a network that is served so."""
    return ModelSpec(
        name=name,
        task="preprocessing",
        summary="cuts a text into numbered tokens",
        backend="python",
        inputs=(TensorSpec("text", "BYTES", (1,), f"UTF-8; {max_tokens} tokens are read"),),
        outputs=(
            TensorSpec("input_ids", "INT64", ("length",), "numbers of the tokens"),
            TensorSpec("attention_mask", "INT64", ("length",), "1 for a token, 0 for padding"),
            _ERROR,
        ),
        serving=Serving(
            serving.max_batch_size, parameters={"max_tokens": str(max_tokens), "pad": str(pad), "clean": "false"}
        ),
        tolerances={},
        objective=Objective(p99_ms=_STEP_MS),
    )


class PictureStep(PythonModel):
    """Picture -> what the network takes, as the folder's own processor prepares it.

    Args:
        spec: see :func:`picture_spec`.
        settings: ``picture.json``.
    """

    source = "hf_picture"

    def __init__(self, spec: ModelSpec, settings: bytes) -> None:
        self.spec = spec
        self._settings = settings

    @property
    def assets(self) -> Mapping[str, str | bytes]:
        """How pictures are prepared."""
        return {PICTURE_FILE: self._settings}

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """PNG files of several sizes; of three or more, one is no picture."""
        pictures = np.empty((size, 1), dtype=np.object_)
        for row in range(size):
            height, width = (int(side) for side in rng.integers(20, 90, 2))
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file, "PNG")
            pictures[row, 0] = b"no picture" if size > 2 and row == 1 else file.getvalue()
        return {"picture": pictures}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder."""
        module = load_module(self.source, "resizing")
        values, errors = module.read_pictures(
            inputs["picture"].reshape(-1).tolist(), module.settings_of(self._settings)
        )
        return {"pixel_values": values, "error": text_column(errors)}


def picture_spec(name: str, serving: Serving, pixels: TensorSpec) -> ModelSpec:
    """The spec of a :class:`PictureStep` before a network that takes ``pixels``."""
    return ModelSpec(
        name=name,
        task="preprocessing",
        summary="scales and normalises a picture",
        backend="python",
        inputs=(TensorSpec("picture", "BYTES", (1,), "the bytes of a PNG or JPEG file"),),
        outputs=(pixels, _ERROR),
        serving=Serving(serving.max_batch_size),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=_STEP_MS),
    )


def joined_spec(name: str, first: PythonModel, network: ModelSpec, last: ModelSpec | None) -> ModelSpec:
    """The spec of the ensemble: the first step, the network, and what makes labels of its logits, if anything does."""
    same = {tensor.name: tensor.name for tensor in network.inputs}
    steps = [
        Step(first.name, {tensor.name: tensor.name for tensor in first.spec.inputs}, {**same, "error": "error"}),
        Step(network.name, same, {tensor.name: tensor.name for tensor in network.outputs}),
    ]
    outputs = network.outputs
    if last is not None:
        outputs = last.outputs
        steps.append(
            Step(
                last.name,
                {tensor.name: tensor.name for tensor in last.inputs},
                {tensor.name: tensor.name for tensor in last.outputs},
            )
        )
    return ModelSpec(
        name=name,
        task=network.task,
        summary=network.summary,
        backend="ensemble",
        inputs=first.spec.inputs,
        outputs=(*(_without_labels(tensor) for tensor in outputs), _ERROR),
        serving=Serving(network.serving.max_batch_size),
        tolerances={datatype: _looser(tolerance) for datatype, tolerance in network.tolerances.items()},
        objective=Objective(p99_ms=_ALL_MS),
        steps=tuple(steps),
    )


def _without_labels(tensor: TensorSpec) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.datatype, tensor.dims, tensor.description)


def _looser(tolerance: Tolerance) -> Tolerance:
    """The reference of an ensemble's network is its graph without optimizations, itself within tolerance of torch."""
    return Tolerance(2 * tolerance.absolute, 2 * tolerance.relative)
