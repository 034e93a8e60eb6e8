"""Turns a batch of requests into one run of the graph, and that run's outputs into responses.

Inputs are laid end to end along axis 0, outputs are cut there again: slices, not copies. Whatever goes wrong in a batch
is tried again request by request, so that only the request which is at fault gets the error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import triton_python_backend_utils as pb_utils
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from ort_arrays import Array
from ort_config import ModelConfig
from ort_errors import Fault, RequestError
from ort_graph import Graph
from ort_ragged import Ragged
from ort_runner import Run
from ort_state import Sequences
from ort_tensors import reader_of, writer_of

_CODE_OF = {
    Fault.CALLER: pb_utils.TritonError.INVALID_ARG,
    Fault.MODEL: pb_utils.TritonError.INTERNAL,
    Fault.STATE_GONE: pb_utils.TritonError.UNAVAILABLE,
}
_FAULT_OF: dict[type[Exception], Fault] = {InvalidArgument: Fault.CALLER}
"""ONNX Runtime blames the values of the inputs with this one, e.g. an index out of range."""


class Job:
    """One request on its way through a batch.

    Attributes:
        feeds: the graph's inputs by name, batch axis included.
        rows: this request's share of the batch axis.
        response: set as soon as it is known: an error early, the outputs at the end.
    """

    __slots__ = ("feeds", "request", "response", "rows")

    def __init__(self, request: pb_utils.InferenceRequest) -> None:
        self.request = request
        self.feeds: dict[str, Array] = {}
        self.rows = 1
        self.response: pb_utils.InferenceResponse | None = None


class Batcher:
    """Answers the requests that Triton hands over together.

    Args:
        run: runs the graph (:func:`ort_runner.runner_of`).
        sequences: the state of the sequences under way, where the model keeps any.
    """

    def __init__(self, config: ModelConfig, graph: Graph, run: Run, sequences: Sequences | None) -> None:
        self._config = config
        self._run = run
        self._sequences = sequences
        self._ragged = Ragged(config) if config.batch_inputs or config.scattered_outputs or _ragged(config) else None
        shapes = {**graph.inputs, **graph.initializers}
        self._readers = {name: reader_of(tensor.datatype, scalar=not tensor.shape) for name, tensor in shapes.items()}
        self._outputs = [tensor.name for tensor in config.outputs]
        self._writers = {tensor.name: writer_of(tensor.datatype) for tensor in config.outputs}
        self._scalars = {tensor.name: tensor.dims for tensor in config.outputs if not graph.outputs[tensor.name].shape}
        self._carried = sequences.output_names if sequences is not None else ()

    def respond(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response per request, in order; never raises on account of a request."""
        if self._sequences is None:
            return self._respond(requests)
        with self._sequences.lock:
            self._sequences.expire()
            return self._respond(requests)

    def _respond(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        jobs = [self._read(request) for request in requests]
        waiting = [job for job in jobs if job.response is None]
        if self._config.batching and len(waiting) > 1:
            self._run_together(waiting)
        for job in waiting:
            if job.response is None:
                self._run_alone(job)
        return [job.response or pb_utils.InferenceResponse([]) for job in jobs]

    def _read(self, request: pb_utils.InferenceRequest) -> Job:
        job = Job(request)
        try:
            if self._sequences is not None and self._sequences.is_empty_slot(request):
                job.response = pb_utils.InferenceResponse([])
                return job
            job.feeds = {(name := tensor.name()): self._readers[name](tensor) for tensor in request.inputs()}
            shape = next(iter(job.feeds.values())).shape
            job.rows = shape[0] if self._config.batching and shape else 1
            if self._sequences is not None:
                self._sequences.enter(request, job.feeds)
        except Exception as error:  # noqa: BLE001 - an exception out of `execute` would leak shared memory
            self._fail(job, error)
        return job

    def _run_together(self, jobs: Sequence[Job]) -> None:
        """Runs the jobs as one batch; where that fails, those without a response have to be run one by one."""
        # Whatever goes wrong here, running the jobs one by one finds out whose fault it is.
        with suppress(Exception):
            self._finish(jobs, self._gather(jobs))

    def _run_alone(self, job: Job) -> None:
        try:
            self._finish([job], job.feeds if self._ragged is None else self._gather([job]))
        except Exception as error:  # noqa: BLE001 - an exception out of `execute` would leak shared memory
            self._fail(job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        if self._sequences is not None:
            self._sequences.fail(job.request)
        job.response = _error_response(error)

    def _gather(self, jobs: Sequence[Job]) -> Mapping[str, Array]:
        if self._ragged is not None:
            return self._ragged.gather([job.feeds for job in jobs])
        return {name: np.concatenate([job.feeds[name] for job in jobs]) for name in jobs[0].feeds}

    def _finish(self, jobs: Sequence[Job], feeds: Mapping[str, Array]) -> None:
        wanted_by = self._wanted(jobs)
        wanted = list(dict.fromkeys([*self._carried, *(name for names in wanted_by for name in names)]))
        outputs = dict(zip(wanted, self._run(wanted, feeds), strict=True))
        parts = {name: self._cut(name, array, jobs) for name, array in outputs.items()}
        for index, job in enumerate(jobs):
            response = pb_utils.InferenceResponse(
                [self._writers[name](name, parts[name][index]) for name in wanted_by[index]]
            )
            # A job with a response is not run again, so that no sequence takes the same step twice.
            if self._sequences is not None:
                self._sequences.leave(job.request, {name: cut[index] for name, cut in parts.items()})
            job.response = response

    def _wanted(self, jobs: Sequence[Job]) -> list[list[str]]:
        if len(self._outputs) == 1:
            return [self._outputs] * len(jobs)
        return [
            [name for name in self._outputs if name in asked]
            for asked in (job.request.requested_output_names() for job in jobs)
        ]

    def _cut(self, name: str, array: Array, jobs: Sequence[Job]) -> Sequence[Array]:
        if name in self._scalars and not array.shape:
            array = array.reshape(self._scalars[name])
        if not self._config.batching:
            return [array]
        if self._ragged is not None and name in self._config.scattered_outputs:
            return self._ragged.scatter(name, array, [job.feeds for job in jobs])
        rows = [job.rows for job in jobs]
        if not array.shape or array.shape[0] != sum(rows):
            raise RequestError(
                f"output '{name}' has shape {list(array.shape)} for a batch of {sum(rows)}; its first axis must be the "
                "batch",
                Fault.MODEL,
            )
        if len(jobs) == 1:
            return [array]
        ends = np.cumsum(rows).tolist()
        return [array[end - count : end] for count, end in zip(rows, ends, strict=True)]


def _ragged(config: ModelConfig) -> bool:
    return any(tensor.ragged for tensor in config.inputs)


def _error_response(error: Exception) -> pb_utils.InferenceResponse:
    if isinstance(error, RequestError):
        text, fault = str(error), error.fault
    else:
        text, fault = f"onnx runtime error: {error}", _FAULT_OF.get(type(error), Fault.MODEL)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, _CODE_OF[fault]))
