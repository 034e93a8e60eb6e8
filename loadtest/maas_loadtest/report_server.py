"""The part of ``report.json`` that comes from the server: see :mod:`maas_loadtest.report_model`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An object of a report: nothing unknown in it, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BatchSize(Record):
    """How often the server executed this batch size, and how long the model computed on it (mean)."""

    size: int
    executions: int
    compute_us: float


class ServerFigures(Record):
    """Triton's own count of the same requests, by the difference of its statistics; means per successful request.

    ``requests`` and ``failed`` are requests; ``inferences`` counts batch elements, ``executions`` batches.
    """

    model: str
    version: str
    requests: int
    failed: int
    inferences: int
    executions: int
    queue_us: float
    compute_input_us: float
    compute_infer_us: float
    compute_output_us: float
    request_us: float
    cache_hits: int
    batch_sizes: tuple[BatchSize, ...]


class ServerWindow(Record):
    """The same over one interval of the time line; ``mean_batch`` is inferences by executions."""

    at_s: float
    length_s: float
    model: str
    version: str
    requests: int
    queue_us: float
    compute_input_us: float
    compute_infer_us: float
    compute_output_us: float
    mean_batch: float
    batch_sizes: dict[int, int]


class Agreement(Record):
    """Whether client and server counted the same requests.

    ``client`` are the requests of this run that were answered, wrong answers too; ``server`` those that the server
    counted as successful; ``unknown`` are those that the client gave up, and that may have been executed or not.
    They differ where somebody else calls the model, or where answers were lost.
    """

    model: str
    client: int
    server: int
    agree: bool
    unknown: int = 0
