"""A graph in 32-bit numbers -> the same in 8-bit numbers: static QDQ, symmetric, so that TensorRT takes it too.

Source of the options: ONNX Runtime, "Quantize ONNX models" (there also why weights have seven bits: "When and why do I
need to try U8U8?"), and TensorRT's rules for explicit quantization (symmetric ranges, one pair for each consumer,
biases left alone).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from maas_core.errors import MaasError, WrongUse
from maas_core.golden import Tensors

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What is quantized: the products with weights, where size and time are."""
_RECURRENT = ("Loop", "Scan", "LSTM", "GRU", "RNN")
_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "DedicatedQDQPair": True,
    "QuantizeBias": False,
    "MatMulConstBOnly": True,
}


def check_quantizable(model: onnx.ModelProto, name: str) -> None:
    """Passes a graph in which 8-bit numbers make sense.

    Raises:
        WrongUse: where it is recurrent, or has no products with weights.
    """
    kinds = {node.op_type for node in model.graph.node}
    recurrent = sorted(kinds.intersection(_RECURRENT))
    if recurrent:
        raise WrongUse(
            f"{name} is recurrent ({', '.join(recurrent)}): errors of 8-bit numbers add up from step to step, and its "
            "layers are not quantized",
            "serve the format onnx",
        )
    if not kinds.intersection(_WEIGHTED):
        raise WrongUse(f"{name} has no {', '.join(_WEIGHTED)} to quantize", "serve the format onnx")


def quantize(source: Path, target: Path, batches: Sequence[Tensors]) -> None:
    """Writes the quantized graph; the same graph and batches always give the same bytes.

    Args:
        source: the graph in 32-bit numbers.
        target: the file to write.
        batches: inputs by name, from which the ranges of the values are taken.

    Raises:
        MaasError: where ONNX Runtime cannot quantize it.
    """
    # Its warnings recommend what is done here already.
    logging.getLogger().addFilter(_is_serious)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            prepared = Path(scratch) / "prepared.onnx"
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                target,
                _Batches(batches),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                # Processors with AVX2 and no VNNI add two products in 16 bits: with weights of 8 bits that overflows,
                # and the graph would answer otherwise there than on the machine where it was accepted.
                reduce_range=True,
                op_types_to_quantize=list(_WEIGHTED),
                extra_options=_OPTIONS,
            )
    except Exception as error:  # onnx and onnxruntime raise many types for a graph that they cannot take
        reason = " ".join(str(error).split())[:300]
        raise MaasError(f"{source} could not be quantized: {reason}", "serve the format onnx") from error
    finally:
        logging.getLogger().removeFilter(_is_serious)
    _tidy(source, target)


def _tidy(source: Path, target: Path) -> None:
    """Back to the source's IR version and to the operator sets that are in use; without the tool's own notes."""
    model = onnx.load(target)
    model.ir_version = onnx.load(source, load_external_data=False).ir_version
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def _is_serious(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime carries no types
    """Hands the batches out, one after the other."""

    def __init__(self, batches: Sequence[Tensors]) -> None:
        self._left: Iterator[Tensors] = iter(batches)

    def get_next(self) -> Tensors | None:
        """The next batch; None after the last."""
        return next(self._left, None)
