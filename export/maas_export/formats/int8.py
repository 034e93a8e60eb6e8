"""The format ``onnx-int8``: calibrated on training data, accepted by the task's own measure on held-out data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from maas_core.errors import NotHeld, WrongUse
from maas_core.golden import Sample, Tensors
from maas_core.machine import int8_instructions, machine_in_words
from maas_core.manifest import QuantizationEntry
from maas_export.catalogue import TorchModel
from maas_export.data.split import Split, samples_in
from maas_export.evaluation import Evaluation
from maas_export.formats.quantize import check_quantizable, quantize
from maas_export.formats.session_module import SessionModule, open_session
from maas_export.formats.speed import side_by_side
from maas_export.weights import TrainingRecord

_CALIBRATION_SAMPLES = 320
_CALIBRATION_BATCH = 32


def write_int8(
    model: TorchModel, fp32: Path, target: Path, split: Split, samples: list[Sample], seed: int
) -> QuantizationEntry:
    """Quantizes the graph ``fp32`` into ``target`` and measures what that costs.

    Args:
        model: whose graph it is.
        fp32: the verified graph in 32-bit numbers.
        target: the file to write.
        split: the data that the weights were trained on.
        samples: requests for measuring the speed.
        seed: of the choice of training samples.

    Raises:
        WrongUse: where 8-bit numbers make no sense for this model.
        NotHeld: where the file does not shrink, or the task's measure drops by more than is allowed.
    """
    check_takes_int8(model, fp32)
    batches = calibration_batches(model, split, seed)
    quantize(fp32, target, batches)
    sizes = fp32.stat().st_size, target.stat().st_size
    if sizes[1] >= sizes[0]:
        raise NotHeld(f"{model.name} does not shrink: {sizes[0]:,} bytes become {sizes[1]:,}", "serve the format onnx")
    before, after = (measured(model, graph, split) for graph in (fp32, target))
    check_drop(model, before.value, after)
    return QuantizationEntry(
        measure=before.measure,
        higher_is_better=before.higher_is_better,
        fp32=before.value,
        int8=after.value,
        allowed_drop=model.int8_allowed_drop,
        samples=after.samples,
        calibrated_on=sum(samples_in(batch) for batch in batches),
        size_bytes_fp32=sizes[0],
        size_bytes_int8=sizes[1],
        speed=side_by_side(fp32, target, samples),
        processor=machine_in_words(),
        instructions=int8_instructions(),
    )


def check_takes_int8(model: TorchModel, fp32: Path) -> None:
    """Passes a model whose quantized graph can be judged.

    Raises:
        WrongUse: where it keeps a state, is recurrent, has nothing to quantize, or no measure is taken of its outputs.
    """
    if model.spec.sequence is not None:
        raise WrongUse(
            f"{model.name} keeps a state: errors of 8-bit numbers add up from step to step", "serve the format onnx"
        )
    check_quantizable(onnx.load(fp32, load_external_data=False), model.name)


def calibration_batches(model: TorchModel, split: Split, seed: int) -> list[Tensors]:
    """Some training samples as the network gets them, in batches.

    Raises:
        WrongUse: where the model has no training data, or it does not hold the network's inputs.
    """
    if not split.train or not samples_in(split.train):
        raise WrongUse(f"{model.name} has no training data to calibrate with", "serve the format onnx")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(samples_in(split.train))[:_CALIBRATION_SAMPLES])
    columns = model.calibration_inputs({name: column[chosen] for name, column in split.train.items()}, rng)
    missing = [tensor.name for tensor in model.spec.inputs if tensor.name not in columns]
    if missing:
        raise WrongUse(
            f"the training data of {model.name} holds no {', '.join(missing)}", "let calibration_inputs() return it"
        )
    wanted = {tensor.name: np.ascontiguousarray(columns[tensor.name]) for tensor in model.spec.inputs}
    return [
        {name: value[first : first + _CALIBRATION_BATCH] for name, value in wanted.items()}
        for first in range(0, samples_in(wanted), _CALIBRATION_BATCH)
    ]


def data_of(model: TorchModel, record: TrainingRecord, data: Path | None) -> Split:
    """The data that weights were trained on, split as it was.

    Raises:
        WrongUse: where it is not at hand, or is other data.
    """
    split = model.load_data(data, record.seed)
    if not record.source.startswith(split.source):
        raise WrongUse(
            f"{model.name} was trained on {record.source}, not on {split.source}", "name that data with --data"
        )
    return split


def measured(model: TorchModel, graph: Path, split: Split) -> Evaluation:
    """The task's measure of a graph, run by ONNX Runtime, on the held-out part."""
    return model.evaluate_exported(SessionModule(graph, model.spec), split)


def check_drop(model: TorchModel, fp32: float, int8: Evaluation) -> None:
    """Passes a measure that drops by no more than the model allows.

    Raises:
        NotHeld: with both values.
    """
    dropped = drop(fp32, int8.value, higher_is_better=int8.higher_is_better)
    # NaN compares false with everything: it is refused, too.
    if not dropped <= model.int8_allowed_drop:
        unit = "points" if int8.higher_is_better else "%"
        raise NotHeld(
            f"{model.name} in 8-bit numbers has {int8.measure} {int8.value:.4f}, in 32-bit numbers {fp32:.4f}: worse "
            f"by {dropped:.2f} {unit}, allowed are {model.int8_allowed_drop:g}",
            "serve the format onnx, or raise int8_allowed_drop",
        )


def drop(fp32: float, int8: float, *, higher_is_better: bool) -> float:
    """How much worse the second value is: in points of a share, or in per cent of a measure that should be low."""
    if higher_is_better:
        return 100 * (fp32 - int8)
    return 100 * (int8 - fp32) / max(abs(fp32), 1e-12)


def answers_of(graph: Path, samples: list[Sample]) -> list[Sample]:
    """The same requests with the answers of ``graph`` in ONNX Runtime on the CPU."""
    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]
    return [
        Sample(sample.name, sample.inputs, dict(zip(names, session.run(names, sample.inputs), strict=True)))
        for sample in samples
    ]
