"""The state of sequences under way, kept per correlation id.

Triton's core keeps implicit state only for C++ backends. To a Python-based backend it hands the state inputs at their
initial value (zero or from file, as ``initial_state`` says) with every request, and drops the state outputs. So the
initial value is taken from the request that starts a sequence, and what the graph returns is kept here until the
sequence ends.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ort_arrays import Array, zeros
from ort_config import ModelConfig
from ort_errors import Fault, RequestError

if TYPE_CHECKING:
    import triton_python_backend_utils as pb_utils

_START = 1
_END = 2
_NO_SEQUENCE = (0, "")
"""The correlation ids of an empty slot and of a warm-up."""


@dataclass(frozen=True)
class _Kept:
    """One sequence's state, by the name of the graph's input, and when it was last used (monotonic, seconds)."""

    used_s: float
    state: dict[str, Array]


class Sequences:
    """The sequences that this model instance is in the middle of.

    A caller holds :attr:`lock` from a batch's first call to its last.

    Args:
        config: the model's configuration, for its states and its idle time.
        clock_s: monotonic time in seconds.
    """

    def __init__(self, config: ModelConfig, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        self.output_names = tuple(state.output_name for state in config.states)
        # Triton counts idle time from one request's arrival to the next one's, while a step is seen here only when it
        # is run: two steps can be one idle time-out apart plus the second one's wait in the queue, which Triton bounds
        # by the same time-out.
        self.keep_s = 2 * config.max_sequence_idle_s
        self._states = config.states
        self._batch_axis = (1,) if config.batching else ()
        self._clock_s = clock_s
        self._kept: OrderedDict[int | str, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def is_empty_slot(self, request: pb_utils.InferenceRequest) -> bool:
        """Whether this is no request at all: the direct strategy fills a batch's free slots with uninitialised memory.

        A warm-up has no correlation id either, but comes without the state inputs, which an empty slot has.
        """
        if request.correlation_id() not in _NO_SEQUENCE:
            return False
        names = {tensor.name() for tensor in request.inputs()}
        return not self._states or any(state.input_name in names for state in self._states)

    def enter(self, request: pb_utils.InferenceRequest, feeds: dict[str, Array]) -> None:
        """Puts the sequence's state into ``feeds``.

        Raises:
            RequestError: the state is not here any more, or the sequence never started.
        """
        correlation_id = request.correlation_id()
        if correlation_id in _NO_SEQUENCE:
            for state in self._states:
                feeds[state.input_name] = zeros(state.datatype, self._shape(state.dims))
        elif request.flags() & _START:
            for state in self._states:
                if not state.has_initial_value:
                    # Triton hands over uninitialised memory; zeros are as good, and the same every time.
                    feeds[state.input_name] = np.zeros_like(feeds[state.input_name])
        elif self._states:
            kept = self._kept.get(correlation_id)
            if kept is None:
                raise RequestError(
                    f"the state of sequence {correlation_id!r} is gone (expired, or its first step failed, or the "
                    "model was loaded anew); start the sequence again",
                    Fault.STATE_GONE,
                )
            feeds.update(kept.state)

    def leave(self, request: pb_utils.InferenceRequest, outputs: Mapping[str, Array]) -> None:
        """Keeps the state that a step returned, or drops it if that was the sequence's last step."""
        correlation_id = request.correlation_id()
        self._kept.pop(correlation_id, None)
        if self._states and correlation_id not in _NO_SEQUENCE and not request.flags() & _END:
            # Copied, since a slice would keep the whole batch's output alive.
            state = {state.input_name: outputs[state.output_name].copy() for state in self._states}
            self._kept[correlation_id] = _Kept(self._clock_s(), state)

    def fail(self, request: pb_utils.InferenceRequest) -> None:
        """Drops what is kept if the failed step was the sequence's first or last; a step in between changes nothing.

        Triton takes the sequence as started all the same: a step that follows may not go on with the state of the one
        that had the id before. After END, failed or not, no step follows.
        """
        if request.flags() & (_START | _END):
            self._kept.pop(request.correlation_id(), None)

    def expire(self) -> None:
        """Drops what has been idle for too long; the longest idle come first."""
        if self.keep_s <= 0:
            return
        oldest_s = self._clock_s() - self.keep_s
        while self._kept:
            correlation_id, kept = next(iter(self._kept.items()))
            if kept.used_s >= oldest_s:
                return
            del self._kept[correlation_id]

    def _shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        return self._batch_axis + tuple(1 if dim == -1 else dim for dim in dims)


class Sweeper:
    """Drops expired sequences also while no request comes: cancelled or abandoned ones are not announced."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sweep, name="sequence-sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join()

    def _sweep(self) -> None:
        while not self._stopped.wait(self._sequences.keep_s / 2):
            with self._sequences.lock:
                self._sequences.expire()
