"""Reading a stranger's ONNX file: everything that is refused is refused here, before the file is run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import version_converter

from maas_core.dtypes import NUMPY_OF, TRITON_OF_ONNX
from maas_core.errors import WrongUse
from maas_export.imported.plan import Wishes
from maas_export.lint.check_graph import KNOWN_DOMAINS, ML_DOMAIN, PLAIN_DOMAIN, leaves_folder
from maas_export.lint.onnx_header import OnnxHeader, OnnxUnreadable, read_header

_LARGEST_BYTES = 2**31 - 1
_EXPORT_AGAIN = "export the model again"
_INVALID = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError)


@dataclass(frozen=True)
class Source:
    """An ONNX file that may be run.

    Attributes:
        original: as it was read, its external data inside.
        model: the same in a format that the target reads.
        sha256: of the file's bytes.
        was_converted: whether ``model`` is another graph than ``original``.
    """

    path: Path
    original: onnx.ModelProto
    model: onnx.ModelProto
    sha256: str
    was_converted: bool

    @property
    def opset(self) -> int:
        """Of the plain operators of ``model``."""
        return next((entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def read_source(path: Path, wishes: Wishes) -> Source:
    """Reads and checks an ONNX file.

    Raises:
        WrongUse: where it is none, or is not whole, or holds what must not be run or cannot be served.
    """
    header = _checked_header(path)
    _refuse_operators(header)
    _refuse_types(header)
    _refuse_external(header, path)
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    except (*_INVALID, DecodeError, ValueError, OSError) as error:
        raise WrongUse(f"{path} is no valid ONNX model: {_one_line(error)}", _EXPORT_AGAIN) from error
    if model.ByteSize() > _LARGEST_BYTES:
        size = model.ByteSize() / 2**30
        raise WrongUse(f"{path} has {size:.1f} GiB with its weights, more than 2 GiB", "quantize it")
    converted = _fitting(model, header, path, wishes)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Source(path, model, converted, sha256, was_converted=converted is not model)


def _checked_header(path: Path) -> OnnxHeader:
    try:
        size = path.stat().st_size
        if size > _LARGEST_BYTES:
            raise WrongUse(f"{path} has {size / 2**30:.1f} GiB, more than the 2 GiB of protobuf", _EXPORT_AGAIN)
        return read_header(path)
    except OnnxUnreadable as error:
        raise WrongUse(f"{path} is no whole ONNX file: {error}", f"{_EXPORT_AGAIN}, or fetch it again") from error
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}", "name an ONNX file") from error


def _refuse_operators(header: OnnxHeader) -> None:
    foreign = sorted(
        f"{domain}.{name}" for domain, name in header.operators - header.functions if domain not in KNOWN_DOMAINS
    )
    if foreign:
        raise WrongUse(
            f"operator {foreign[0]} is neither ONNX's nor ONNX Runtime's", "export the model with plain operators"
        )


def _refuse_types(header: OnnxHeader) -> None:
    for side, tensors in (("input", header.inputs), ("output", header.outputs)):
        for tensor in tensors.values():
            datatype = TRITON_OF_ONNX.get(tensor.element_type)
            if datatype is None or datatype not in NUMPY_OF:
                what = (
                    "is no tensor (a sequence, map or optional)" if not tensor.element_type else "has such a datatype"
                )
                mend = "export it as plain tensors" + (" (scikit-learn: zipmap=False)" if side == "output" else "")
                raise WrongUse(f"{side} {tensor.name!r} {what} that cannot be served: {datatype or 'unknown'}", mend)
            if not tensor.name or "#" in tensor.name:
                raise WrongUse(f"{side} {tensor.name!r} has no name that can be used", "rename it, without '#'")
    if not header.inputs:
        raise WrongUse("the graph has no input", "export a model that takes something")


def _refuse_external(header: OnnxHeader, path: Path) -> None:
    for location in header.external:
        if leaves_folder(location, path.parent):
            raise WrongUse(
                f"{path} wants external data from outside its folder: {location!r}",
                "do not trust this file; save the model with its data beside it",
            )
        if not (path.parent / location).is_file():
            raise WrongUse(f"{path} wants external data that is missing: {location!r}", "put it beside the model")


def _fitting(model: onnx.ModelProto, header: OnnxHeader, path: Path, wishes: Wishes) -> onnx.ModelProto:
    """``model`` itself where the target reads it, else converted."""
    limits, target = wishes.target.limits, wishes.target
    reads = f"ONNX Runtime {target.onnxruntime} of Triton {target.name} reads up to"
    opset, ml_opset = header.opsets.get(PLAIN_DOMAIN, 0), header.opsets.get(ML_DOMAIN, 0)
    problems = [f"opset {opset}, {reads} {limits.opset}"] if opset > limits.opset else []
    problems += [f"IR version {model.ir_version}, {reads} {limits.ir_version}"] * (model.ir_version > limits.ir_version)
    if ml_opset > limits.ml_opset:
        raise WrongUse(f"{path} has opset {ml_opset} of ai.onnx.ml, {reads} {limits.ml_opset}", "export an older one")
    if not problems:
        return model
    if not wishes.convert_opset:
        raise WrongUse(
            f"{path} has {' and '.join(problems)}", "give --convert-opset, or --target where a newer Triton serves"
        )
    try:
        converted = version_converter.convert_version(model, limits.opset) if opset > limits.opset else _copy(model)
        converted.ir_version = min(converted.ir_version, limits.ir_version)
        onnx.checker.check_model(converted, full_check=True)
    except Exception as error:  # the converter, written in C++, raises RuntimeError and others
        raise WrongUse(
            f"{path} cannot be converted to opset {limits.opset}: {_one_line(error)}", "export it with an older opset"
        ) from error
    return converted


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
