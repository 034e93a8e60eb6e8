"""ONNX -> a TensorRT engine: one path for TensorRT 10 and 11.

Networks are strongly typed: precision is that of the ONNX graph, as TensorRT 11 knows no other way. ``tensorrt_rtx``
has the same interface and builds without a GPU; Triton cannot load its engines, so it stands in for tests only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from maas_core.errors import MaasError, NotHeld
from maas_core.files import write_atomic
from maas_export.formats.profiles import Profile

Progress = Callable[[str, float], None]
"""Takes the name of a phase and the share of it that is done, 0 to 1."""


def build_engine(
    trt: ModuleType,
    graph: Path,
    profile: Profile,
    *,
    timing_cache: Path | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Builds the engine of an ONNX file.

    Args:
        trt: the module ``tensorrt``.
        graph: the ONNX file.
        profile: the shapes of every input.
        timing_cache: a file that keeps what was measured of kernels; read where it is there, and written.
        progress: told of every phase.

    Returns:
        the serialized engine.

    Raises:
        NotHeld: where TensorRT refuses the graph or the shapes, with its own first reason.
    """
    log = _log_of(trt)
    builder = trt.Builder(log)
    network = builder.create_network(_strongly_typed(trt))
    _parse(trt, network, log, graph)
    config = builder.create_builder_config()
    _add_profile(builder, config, network, profile, log)
    cache = _attach_timing_cache(config, timing_cache)
    if progress is not None:
        config.progress_monitor = _monitor_of(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise NotHeld(f"TensorRT did not build {graph.name}: {_reason(log)}", "mend the graph or the spec's axes")
    if timing_cache is not None and cache is not None:
        write_atomic(timing_cache, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _strongly_typed(trt: ModuleType) -> int:
    """TensorRT 10 wants a flag for it; 11 may know nothing else, and then has none."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(trt: ModuleType, network: Any, log: Any, graph: Path) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(os.fspath(graph)):
        return
    reasons = [" ".join(parser.get_error(position).desc().split()) for position in range(parser.num_errors)]
    raise NotHeld(f"TensorRT cannot read {graph.name}: {reasons[0] if reasons else _reason(log)}", "export it again")


def _add_profile(builder: Any, config: Any, network: Any, profile: Profile, log: Any) -> None:
    wanted = {network.get_input(position).name for position in range(network.num_inputs)}
    if wanted != set(profile):
        raise NotHeld(f"the graph takes {', '.join(sorted(wanted))}, the profile has {', '.join(sorted(profile))}")
    shapes = builder.create_optimization_profile()
    for name, shape_range in profile.items():
        try:
            shapes.set_shape(name, shape_range.min, shape_range.opt, shape_range.max)
        except (RuntimeError, ValueError, TypeError) as error:
            raise _bad_profile(name, shape_range, str(error)) from error
    if config.add_optimization_profile(shapes) < 0:
        name, shape_range = next(iter(profile.items()))
        raise _bad_profile(name, shape_range, _reason(log))


def _bad_profile(name: str, shape_range: Any, reason: str) -> MaasError:
    shapes = " / ".join(str(list(part)) for part in (shape_range.min, shape_range.opt, shape_range.max))
    return NotHeld(
        f"TensorRT refuses the profile {shapes} of {name}: {' '.join(reason.split())}", "mend the spec's axes"
    )


def _attach_timing_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is not None:
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _reason(log: Any) -> str:
    return str(log.errors[0]) if log.errors else "it does not say why"


def _log_of(trt: ModuleType) -> Any:
    """A logger that keeps what went wrong and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]  # the base is only known when it runs
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split())[:400])

    return Log()


def _monitor_of(trt: ModuleType, tell: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]  # the base is only known when it runs
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            tell(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            tell(phase_name, (step + 1) / max(self._steps.get(phase_name, 1), 1))
            return True

        def phase_finish(self, phase_name: str) -> None:
            tell(phase_name, 1.0)

    return Monitor()
