"""Which model has which formats, and what each changes in ``config.pbtxt``."""

from __future__ import annotations

from typing import Any

from maas_core.config import config_of
from maas_core.errors import WrongUse
from maas_export.catalogue import CatalogueModel, TorchModel
from maas_export.formats.kinds import FORMATS, ONNX, ONNX_TENSORRT, TENSORRT
from maas_export.formats.profiles import profile_of

ENGINE_CACHE = "/tmp/tensorrt-engines"  # noqa: S108  # a cache inside the container; whoever wants it kept mounts it
"""Where stock Triton's ONNX Runtime keeps the engines that it builds, a folder for each model."""
_SESSION_PARAMETERS = ("intra_op_thread_count", "inter_op_thread_count")
"""Those of ONNX Runtime, which TensorRT does not have."""


def format_of(model: CatalogueModel, wanted: str | None) -> str:
    """The format that ``model`` is exported in: the one wanted, or its own.

    Raises:
        WrongUse: where a model that is no network is wanted in a network's format.
    """
    if wanted in (None, model.bundle_format):
        return model.bundle_format
    if not isinstance(model, TorchModel):
        raise WrongUse(
            f"{model.name} is no network: its format is {model.bundle_format}, and it has no {wanted}",
            "leave out --format, or name the network",
        )
    return str(wanted)


def is_derived(bundle_format: str) -> bool:
    """Whether a bundle of that format is made from the model's verified ``onnx`` bundle."""
    return bundle_format in FORMATS and bundle_format != ONNX


def config_in(model: CatalogueModel, bundle_format: str) -> Any:
    """``config.pbtxt`` of ``model`` as a message; it differs from the plain one in nothing but what it must."""
    config = config_of(model.spec)
    if bundle_format == TENSORRT:
        config.backend = "tensorrt"
        for name in _SESSION_PARAMETERS:
            config.parameters.pop(name, None)
    if bundle_format == ONNX_TENSORRT:
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
        accelerator.parameters.update(_provider_parameters(model))
    return config


def _provider_parameters(model: CatalogueModel) -> dict[str, str]:
    """Caches, and the shapes to build for: without them every new shape would mean another build."""
    profile = profile_of(model)
    shapes = {
        bound: ",".join(f"{name}:{'x'.join(map(str, getattr(shapes, bound)))}" for name, shapes in profile.items())
        for bound in ("min", "opt", "max")
    }
    return {
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": f"{ENGINE_CACHE}/{model.name}",
        "trt_timing_cache_enable": "true",
        "trt_timing_cache_path": f"{ENGINE_CACHE}/{model.name}",
        **{f"trt_profile_{bound}_shapes": text for bound, text in shapes.items()},
    }
