"""The settings that tuning tries, and how one stands in ``config.pbtxt``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from maas_core.errors import WrongUse

_THREADS_PARAMETER = "intra_op_thread_count"
_DELAYS_US = (0, 500, 2000)


@dataclass(frozen=True)
class Setting:
    """What tuning may change of a model's serving; the fields of :class:`maas_core.spec.Serving` of the same names."""

    instances: int
    intra_op_threads: int
    queue_delay_us: int
    max_batch_size: int

    def __str__(self) -> str:
        return (
            f"{self.instances} × {self.intra_op_threads} threads, delay {self.queue_delay_us} us, "
            f"batch ≤ {self.max_batch_size}"
        )


@dataclass(frozen=True)
class Grid:
    """The values to combine; an empty field takes those that suit the machine and the model."""

    instances: Sequence[int] = ()
    intra_op_threads: Sequence[int] = ()
    queue_delays_us: Sequence[int] = ()
    max_batch_sizes: Sequence[int] = ()


def setting_of(config: Any) -> Setting:
    """What a ``ModelConfig`` says now."""
    threads = config.parameters[_THREADS_PARAMETER].string_value if _has_threads(config) else "1"
    return Setting(
        instances=sum(group.count or 1 for group in config.instance_group) or 1,
        intra_op_threads=int(threads or 1),
        queue_delay_us=int(config.dynamic_batching.max_queue_delay_microseconds),
        max_batch_size=int(config.max_batch_size),
    )


def apply_setting(config: Any, setting: Setting, name: str) -> Any:
    """A copy of ``config`` under another name and with ``setting``."""
    changed = ModelConfig()
    changed.CopyFrom(config)
    changed.name = name
    changed.max_batch_size = setting.max_batch_size
    del changed.instance_group[1:]
    if not changed.instance_group:
        changed.instance_group.add()
    changed.instance_group[0].count = setting.instances
    if setting.max_batch_size > 1 and config.HasField("dynamic_batching"):
        changed.dynamic_batching.max_queue_delay_microseconds = setting.queue_delay_us
    else:
        changed.ClearField("dynamic_batching")
    if config.backend == "onnxruntime":
        changed.parameters[_THREADS_PARAMETER].string_value = str(setting.intra_op_threads)
    return changed


def settings_to_try(config: Any, grid: Grid, cores: int) -> list[Setting]:
    """The combinations of ``grid``, the present setting first and then those that fill the cores best.

    By default only combinations are tried that use at least half of the cores and no more than all.

    Raises:
        WrongUse: where the grid asks for what the model cannot have.
    """
    present = setting_of(config)
    delays, batches = _delays(config, grid), _batches(present, grid)
    pairs = _pairs(config, grid, cores)
    combined = [
        Setting(instances, threads, delay if batch > 1 else 0, batch)
        for batch, delay, (instances, threads) in itertools.product(batches, delays, pairs)
    ]
    ranked = sorted(dict.fromkeys(combined), key=lambda setting: _distance(setting, present, cores))
    return [present, *(setting for setting in ranked if setting != present)]


def _pairs(config: Any, grid: Grid, cores: int) -> list[tuple[int, int]]:
    counts = _counts(cores)
    has_threads = config.backend == "onnxruntime"
    if grid.intra_op_threads and not has_threads:
        raise WrongUse(f"backend {config.backend} has no thread count", "leave --threads out")
    threads = (grid.intra_op_threads or counts) if has_threads else (1,)
    pairs = list(itertools.product(grid.instances or counts, threads))
    if grid.instances or grid.intra_op_threads:
        return pairs
    least = cores / 2 if has_threads else 1
    return [pair for pair in pairs if least <= pair[0] * pair[1] <= cores]


def _counts(cores: int) -> list[int]:
    """1, 2, 4, … and the number of cores itself."""
    powers = [1 << exponent for exponent in range(cores.bit_length()) if 1 << exponent <= cores]
    return sorted({*powers, cores})


def _delays(config: Any, grid: Grid) -> Sequence[int]:
    if config.HasField("dynamic_batching"):
        return grid.queue_delays_us or _DELAYS_US
    if any(grid.queue_delays_us):
        raise WrongUse(f"{config.name} has no dynamic batching, so no queue delay", "leave --queue-delays-us out")
    return (0,)


def _batches(present: Setting, grid: Grid) -> Sequence[int]:
    if present.max_batch_size == 0:
        if any(grid.max_batch_sizes):
            raise WrongUse("the model has no batch axis", "leave --max-batch-sizes out")
        return (0,)
    # Never less than now unless asked for: callers may send as many samples at once as the model takes today.
    return grid.max_batch_sizes or (present.max_batch_size, 2 * present.max_batch_size)


def _has_threads(config: Any) -> bool:
    return _THREADS_PARAMETER in config.parameters


def _distance(setting: Setting, present: Setting, cores: int) -> tuple[int, ...]:
    """Cores left idle or asked for twice; then how much differs from the present setting."""
    return (
        abs(setting.instances * setting.intra_op_threads - cores),
        int(setting.max_batch_size != present.max_batch_size),
        setting.queue_delay_us,
        setting.intra_op_threads,
    )
