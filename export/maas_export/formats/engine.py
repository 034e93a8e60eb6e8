"""The format ``tensorrt``: an engine built on the machine that is to serve it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from maas_core.engines import compute_capability, operating_system
from maas_core.errors import WrongUse
from maas_core.golden import Sample
from maas_core.layout import build_dir
from maas_core.manifest import EngineEntry
from maas_export.catalogue import CatalogueModel
from maas_export.formats.engine_builder import Progress, build_engine
from maas_export.formats.profiles import check_fits, profile_of

PLAN_FILE = "model.plan"
_CONTAINER = "nvcr.io/nvidia/tensorrt:26.06-py3"
"""NVIDIA's container with the TensorRT of the Triton of the same month."""


def tensorrt_here(model: str) -> tuple[ModuleType, str]:
    """TensorRT and the compute capability of this machine's GPU.

    Raises:
        WrongUse: where one of them is missing, with the way on.
    """
    way_on = (
        f"run `docker run --gpus all -v $PWD:/work -w /work {_CONTAINER} bash -c \"pip install -e '.[export]' && "
        f'maas export {model} --format tensorrt"` on the machine that is to serve it, or take --format onnx-tensorrt, '
        "which needs no engine in advance"
    )
    capability = compute_capability()
    if capability is None:
        raise WrongUse("a TensorRT engine is built on the GPU that runs it, and there is none here", way_on)
    try:
        return importlib.import_module("tensorrt"), capability
    except ImportError:
        raise WrongUse("TensorRT is not installed here", way_on) from None


def write_engine(
    model: CatalogueModel,
    graph: Path,
    target: Path,
    samples: list[Sample],
    *,
    find: Callable[[str], tuple[ModuleType, str]] = tensorrt_here,
    progress: Progress | None = None,
) -> EngineEntry:
    """Builds the engine of ``graph`` and says where it runs.

    Args:
        model: whose graph it is.
        graph: the verified ONNX file.
        target: the file to write.
        samples: requests that the engine must take.
        find: TensorRT and compute capability, from the model's name.
        progress: told of every phase.

    Raises:
        WrongUse: where there is no GPU or no TensorRT, or a sample lies outside the profile.
        NotHeld: where TensorRT refuses.
    """
    trt, capability = find(model.name)
    profile = profile_of(model)
    for sample in samples:
        if model.spec.sequence is None:
            check_fits(profile, sample.inputs)
    cache = build_dir() / "timing" / f"{trt.__name__}-{trt.__version__}-{capability}.cache"
    plan = build_engine(trt, graph, profile, timing_cache=cache, progress=progress)
    target.write_bytes(plan)
    return EngineEntry(
        tensorrt=trt.__version__, compute_capability=capability, os=operating_system(), profile=dict(profile)
    )
