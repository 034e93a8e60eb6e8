"""The state of sequences under way, kept per correlation id.

Triton's core keeps implicit state only for C++ backends. To a Python-based backend it hands the state inputs at their initial value (zero or
from file, as ``initial_state`` says) with every request, and drops the state outputs. So the initial value is taken from the request that
starts a sequence, and what the graph returns is kept here until the sequence ends.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

import triton_python_backend_utils as pb_utils
from ort_config import ModelConfig
from ort_errors import Fault, RequestError
from ort_tensors import Array

CorrelationId = int | str

_START = 1
_END = 2
_NO_SEQUENCE = (0, "")
"""The correlation ids of an empty slot."""


class Sequences:
    """The sequences that this model instance is in the middle of.

    Args:
        clock_s: monotonic time in seconds.
    """

    def __init__(self, config: ModelConfig, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._states = config.states
        self.output_names = tuple(state.output_name for state in config.states)
        self._clock_s = clock_s
        # Triton counts idle time from one request's arrival to the next one's, while a step is seen here only when it is run: two steps can be
        # one idle time-out apart plus the second one's wait in the queue, which Triton bounds by the same time-out.
        self._keep_s = 2 * config.max_sequence_idle_s
        self._kept: OrderedDict[CorrelationId, tuple[float, dict[str, Array]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def enter(self, request: pb_utils.InferenceRequest, feeds: dict[str, Array]) -> bool:
        """Puts the sequence's state into ``feeds``; False for an empty slot, which must not be run.

        Raises:
            RequestError: the sequence's state is not here any more (or the sequence never started).
        """
        correlation_id = request.correlation_id()
        if correlation_id in _NO_SEQUENCE:
            return False
        self._expire()
        if request.flags() & _START or not self._states:
            return True
        kept = self._kept.get(correlation_id)
        if kept is None:
            raise RequestError(
                f"the state of sequence {correlation_id!r} is gone (expired, or the model was loaded anew); start the sequence again",
                Fault.STATE_GONE,
            )
        feeds.update(kept[1])
        return True

    def leave(self, request: pb_utils.InferenceRequest, outputs: Mapping[str, Array]) -> None:
        """Keeps the state that a step returned, or drops it if that was the sequence's last step."""
        correlation_id = request.correlation_id()
        self._kept.pop(correlation_id, None)
        if self._states and not request.flags() & _END:
            # Copied, since a slice would keep the whole batch's output alive.
            state = {state.input_name: outputs[state.output_name].copy() for state in self._states}
            self._kept[correlation_id] = (self._clock_s(), state)

    def _expire(self) -> None:
        """Drops what has been idle for too long; the oldest come first."""
        if self._keep_s <= 0:
            return
        deadline_s = self._clock_s() - self._keep_s
        while self._kept:
            correlation_id, (used_s, _) = next(iter(self._kept.items()))
            if used_s >= deadline_s:
                return
            del self._kept[correlation_id]
