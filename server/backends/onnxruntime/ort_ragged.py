"""Ragged batching: requests of different sizes in one run (Triton's user guide, "Ragged Batching").

The inputs are laid end to end as one flat tensor; ``batch_input`` tells the graph where each request lies, and
``batch_output`` cuts a flat output back into the requests' shapes. Element counts of a batch input, per request ``i``
with ``n_i`` elements of its source input:
``BATCH_ELEMENT_COUNT`` is ``n_i``, ``…ACCUMULATED…`` the running sum, ``…_WITH_ZERO`` the same behind a 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ort_arrays import NUMPY_OF, Array
from ort_config import BatchInputConfig, ModelConfig

Feeds = Mapping[str, Array]


class Ragged:
    """Gathers and scatters the ragged tensors of one model."""

    def __init__(self, config: ModelConfig) -> None:
        self._flat = frozenset(tensor.name for tensor in config.inputs if tensor.ragged)
        self._batch_inputs = config.batch_inputs
        self._sources = config.scattered_outputs

    def gather(self, requests: Sequence[Feeds]) -> dict[str, Array]:
        """One feed for all: ragged inputs flat and end to end, others along the batch axis, and the batch inputs."""
        feeds = {}
        for name in requests[0]:
            parts = [feed[name] for feed in requests]
            feeds[name] = np.concatenate([part.reshape(-1) for part in parts] if name in self._flat else parts)
        for batch_input in self._batch_inputs:
            made = _make(batch_input, [feed[batch_input.source_input] for feed in requests])
            feeds.update(dict.fromkeys(batch_input.target_names, made))
        return feeds

    def scatter(self, output: str, array: Array, requests: Sequence[Feeds]) -> list[Array]:
        """Cuts a flat output into pieces with the shapes of its source input (``BATCH_SCATTER_WITH_INPUT_SHAPE``)."""
        sources = [feed[self._sources[output]] for feed in requests]
        ends = np.cumsum([source.size for source in sources])
        flat = array.reshape(-1)
        return [flat[end - source.size : end].reshape(source.shape) for source, end in zip(sources, ends, strict=True)]


def _element_count(sources: Sequence[Array]) -> Array:
    return np.array([source.size for source in sources])


def _accumulated(sources: Sequence[Array]) -> Array:
    return np.cumsum(_element_count(sources))


def _accumulated_with_zero(sources: Sequence[Array]) -> Array:
    return np.concatenate([[0], _accumulated(sources)])


def _largest_as_shape(sources: Sequence[Array]) -> Array:
    return np.zeros(max(source.size for source in sources))


def _item_shapes(sources: Sequence[Array]) -> Array:
    return np.concatenate([np.tile(source.shape[1:], (source.shape[0], 1)) for source in sources])


def _item_shapes_flat(sources: Sequence[Array]) -> Array:
    return _item_shapes(sources).reshape(-1)


_MAKERS: dict[str, Callable[[Sequence[Array]], Array]] = {
    "BATCH_ELEMENT_COUNT": _element_count,
    "BATCH_ACCUMULATED_ELEMENT_COUNT": _accumulated,
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": _accumulated_with_zero,
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": _largest_as_shape,
    "BATCH_ITEM_SHAPE": _item_shapes,
    "BATCH_ITEM_SHAPE_FLATTEN": _item_shapes_flat,
}


def _make(batch_input: BatchInputConfig, sources: Sequence[Array]) -> Array:
    return _MAKERS[batch_input.kind](sources).astype(NUMPY_OF[batch_input.datatype])
