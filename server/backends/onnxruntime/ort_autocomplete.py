"""Fills in the inputs and outputs that a ``config.pbtxt`` leaves out, from the graph, as NVIDIA's backend does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ort_config import config_name_of
from ort_errors import LoadError
from ort_graph import Graph, GraphTensor

DEFAULT_MAX_BATCH_SIZE = 4
"""Triton's own default of ``--backend-config=default-max-batch-size``; a Python-based backend is not told another."""


def needs_completion(config: dict[str, Any]) -> bool:
    """Whether inputs or outputs are missing; a config that names both is taken as it is."""
    return not ((config.get("input") or config.get("batch_input")) and config.get("output"))


def complete_config(config: dict[str, Any], graph: Graph) -> None:
    """Adds to ``config`` (JSON form, changed in place) the missing inputs and outputs, batch size and dynamic batching.

    Raises:
        LoadError: ``max_batch_size`` is set although the graph's tensors have no dynamic first axis.
    """
    tensors = [*graph.inputs.values(), *graph.outputs.values()]
    if all(tensor.shape and tensor.shape[0] == -1 for tensor in tensors):
        _complete_batching(config)
    elif config.get("max_batch_size", 0):
        raise LoadError(
            f"autofill failed for model '{config['name']}': model does not support batching while non-zero "
            "max_batch_size is specified"
        )
    batching = bool(config.get("max_batch_size", 0))
    if not (config.get("input") or config.get("batch_input")):
        config["input"] = _entries(graph.inputs.values(), batching=batching)
    if not config.get("output"):
        config["output"] = _entries(graph.outputs.values(), batching=batching)


def _complete_batching(config: dict[str, Any]) -> None:
    config["max_batch_size"] = config.get("max_batch_size", 0) or DEFAULT_MAX_BATCH_SIZE
    if config["max_batch_size"] > 1 and "sequence_batching" not in config:
        config.setdefault("dynamic_batching", {})


def _entries(tensors: Iterable[GraphTensor], *, batching: bool) -> list[dict[str, Any]]:
    entries = []
    for tensor in sorted(tensors, key=lambda tensor: tensor.name):
        dims = list(tensor.shape[1:] if batching else tensor.shape)
        entry: dict[str, Any] = {"name": tensor.name, "data_type": config_name_of(tensor.datatype), "dims": dims or [1]}
        if not dims and batching:
            # A config may not say "no dims": one element per batch row is written as [1], reshaped to [].
            entry["reshape"] = {"shape": []}
        entries.append(entry)
    return entries
