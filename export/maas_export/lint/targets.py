"""What the releases of Triton differ in, as far as the linter must know.

Sources: the version of ONNX Runtime in each release is that of ``build.py`` of ``triton-inference-server/server``
(branches r24.01 to r26.08). What each ONNX Runtime takes was tried with its wheels from PyPI (1.16.3, 1.17.3, 1.18.1,
1.19.2, 1.20.1, 1.21.0, 1.22.0, 1.23.2, 1.24.4, 1.27.0, 1.28.0): the highest opset and IR of a one-node model that
opens. When a field came is from ``protobuf/model_config.proto`` of ``triton-inference-server/common``, by release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from maas_core.errors import WrongUse

DEFAULT_TARGET = "24.10"


@dataclass(frozen=True)
class OnnxLimits:
    """The newest formats that one ONNX Runtime reads.

    Attributes:
        opset: of the plain ONNX operators.
        ml_opset: of ``ai.onnx.ml``.
    """

    opset: int
    ml_opset: int
    ir_version: int


@dataclass(frozen=True)
class Release:
    """One release of Triton.

    Attributes:
        name: year and month, as in the container's tag.
        onnxruntime: the version inside it.
    """

    name: str
    onnxruntime: str

    @property
    def limits(self) -> OnnxLimits:
        """What its ONNX Runtime reads."""
        return _LIMITS[self.onnxruntime.rpartition(".")[0]]

    def is_older_than(self, name: str) -> bool:
        """Whether this release came before the one called ``name``."""
        return _order(self.name) < _order(name)


_LIMITS = {
    "1.16": OnnxLimits(opset=19, ml_opset=3, ir_version=9),
    "1.17": OnnxLimits(opset=20, ml_opset=4, ir_version=9),
    "1.18": OnnxLimits(opset=21, ml_opset=5, ir_version=10),
    "1.19": OnnxLimits(opset=21, ml_opset=5, ir_version=10),
    "1.20": OnnxLimits(opset=21, ml_opset=5, ir_version=10),
    "1.21": OnnxLimits(opset=22, ml_opset=5, ir_version=10),
    "1.22": OnnxLimits(opset=22, ml_opset=5, ir_version=10),
    "1.23": OnnxLimits(opset=23, ml_opset=5, ir_version=11),
    "1.24": OnnxLimits(opset=25, ml_opset=5, ir_version=13),
    "1.27": OnnxLimits(opset=26, ml_opset=5, ir_version=13),
    "1.28": OnnxLimits(opset=26, ml_opset=5, ir_version=13),
}
_ONNXRUNTIME_FROM = {
    "24.01": "1.16.3",
    "24.03": "1.17.2",
    "24.04": "1.17.3",
    "24.05": "1.18.0",
    "24.07": "1.18.1",
    "24.08": "1.19.0",
    "24.09": "1.19.2",
    "24.12": "1.20.1",
    "25.03": "1.21.0",
    "25.05": "1.22.0",
    "25.08": "1.23.0",
    "25.10": "1.23.1",
    "25.11": "1.23.2",
    "26.02": "1.24.1",
    "26.03": "1.24.2",
    "26.04": "1.24.4",
    "26.07": "1.27.0",
    "26.08": "1.28.0",
}
"""The first release with each ONNX Runtime; the releases between have the one before."""
_NEWEST = "26.08"

FIELDS_SINCE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("input", "is_non_linear_format_io"), "24.08"),
    (("output", "is_non_linear_format_io"), "24.08"),
    (("model_metrics",), "24.11"),
    (("ensemble_scheduling", "max_inflight_requests"), "25.11"),
)
"""Fields of ``config.pbtxt`` that are younger than the oldest target, with the release that brought each."""

CONTAINER_BACKENDS = frozenset(
    {"dali", "fil", "onnxruntime", "openvino", "python", "pytorch", "tensorflow", "tensorrt", "tensorrtllm", "vllm"}
)
"""The backends of NVIDIA's containers; which container has which differs."""


def release_named(name: str) -> Release:
    """The release called e.g. ``24.10``.

    Raises:
        WrongUse: where the table does not know it.
    """
    if name not in known_releases():
        oldest = next(iter(_ONNXRUNTIME_FROM))
        raise WrongUse(
            f"{name[:20]!r} is no release of Triton that the linter knows", f"give --target {oldest} to {_NEWEST}"
        )
    first = max((known for known in _ONNXRUNTIME_FROM if _order(known) <= _order(name)), key=_order)
    return Release(name, _ONNXRUNTIME_FROM[first])


def known_releases() -> tuple[str, ...]:
    """The names of all known releases, oldest first."""
    first, last = _order(next(iter(_ONNXRUNTIME_FROM))), _order(_NEWEST)
    months = (f"{year:02}.{month:02}" for year in range(first[0], last[0] + 1) for month in range(1, 13))
    return tuple(name for name in months if first <= _order(name) <= last)


def uses_field(config: Any, path: tuple[str, ...]) -> bool:
    """Whether ``config`` sets the field at ``path`` in any of its entries."""
    name, *rest = path
    field = config.DESCRIPTOR.fields_by_name[name]
    value = getattr(config, name)
    if not rest:
        return bool(config.HasField(name)) if field.has_presence else bool(value)
    if field.is_repeated:
        return any(uses_field(entry, tuple(rest)) for entry in value)
    return bool(config.HasField(name)) and uses_field(value, tuple(rest))


def _order(name: str) -> tuple[int, int]:
    year, month = name.split(".")
    return int(year), int(month)
