"""The server's own view of the load: differences of Triton's statistics.

Source: Triton's "statistics extension". All its counters only grow; times are nanoseconds, added up over the requests.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import grpc
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2 as pb

from maas_client._grpc_codec import SERVICE
from maas_client._grpc_common import CHANNEL_OPTIONS, prepare
from maas_client._http_codec import model_path
from maas_client._url import Endpoint
from maas_loadtest.report_model import BatchSize, ServerFigures, ServerWindow

Headers = Sequence[tuple[str, str]]
Entry = Mapping[str, Any]
Snapshot = Mapping[tuple[str, str], Entry]
"""By model and version."""
_TIMEOUT_S = 5.0
_PHASES = ("queue", "compute_input", "compute_infer", "compute_output")


class StatisticsFailed(Exception):
    """The server, or what stands before it, does not tell its statistics; the message says why."""


class Statistics(Protocol):
    """Asks for the statistics of a model."""

    def of(self, model: str) -> list[Entry]:
        """One entry a version.

        Raises:
            StatisticsFailed: see there.
        """


class HttpStatistics:
    """Over HTTP."""

    def __init__(self, endpoint: Endpoint, headers: Headers) -> None:
        self._endpoint = endpoint
        self._headers = dict(headers)

    def of(self, model: str) -> list[Entry]:
        """See :class:`Statistics`."""
        endpoint = self._endpoint
        connection = (
            http.client.HTTPSConnection(
                endpoint.host, endpoint.port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
            )
            if endpoint.is_secure
            else http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=_TIMEOUT_S)
        )
        try:
            connection.request("GET", f"{endpoint.path}{model_path(model, '')}/stats", headers=self._headers)
            response = connection.getresponse()
            body = response.read()
            if response.status != http.client.OK:
                raise StatisticsFailed(f"statistics of {model}: the server answered {response.status}")
            entries: list[Entry] = json.loads(body)["model_stats"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise StatisticsFailed(f"statistics of {model}: {error}") from error
        finally:
            connection.close()
        return entries


class GrpcStatistics:
    """Over gRPC."""

    def __init__(self, endpoint: Endpoint, headers: Headers) -> None:
        target = prepare(endpoint)
        channel = (
            grpc.secure_channel(target, grpc.ssl_channel_credentials(), CHANNEL_OPTIONS)
            if endpoint.is_secure
            else grpc.insecure_channel(target, CHANNEL_OPTIONS)
        )
        self._metadata = [(name.lower(), value) for name, value in headers] or None
        self._call: Any = channel.unary_unary(
            SERVICE + "ModelStatistics",
            pb.ModelStatisticsRequest.SerializeToString,
            pb.ModelStatisticsResponse.FromString,
        )

    def of(self, model: str) -> list[Entry]:
        """See :class:`Statistics`."""
        try:
            response = self._call(pb.ModelStatisticsRequest(name=model), timeout=_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            status: Any = error
            raise StatisticsFailed(f"statistics of {model}: {status.code().name}: {status.details()}") from error
        # JSON has 64-bit integers as texts; `_number` reads both forms.
        document = MessageToDict(response, preserving_proto_field_name=True)
        entries: list[Entry] = document.get("model_stats", [])
        return entries


def statistics_of(endpoint: Endpoint, headers: Headers) -> Statistics:
    """By the protocol of the address."""
    return GrpcStatistics(endpoint, headers) if endpoint.is_grpc else HttpStatistics(endpoint, headers)


def snapshot(statistics: Statistics, models: Sequence[str]) -> Snapshot:
    """All counters as they are now.

    Raises:
        StatisticsFailed: see there.
    """
    return {
        (str(entry["name"]), str(entry.get("version", ""))): entry for model in models for entry in statistics.of(model)
    }


def figures(before: Snapshot, after: Snapshot) -> list[ServerFigures]:
    """What happened between two snapshots, for every version that was asked."""
    found = [_figures(*key, before.get(key, {}), after[key]) for key in sorted(after)]
    return [one for one in found if one.requests or one.failed]


def windows(snapshots: Sequence[tuple[float, Snapshot]]) -> list[ServerWindow]:
    """The time line: what happened between each two snapshots that follow each other, taken at these seconds."""
    result = []
    for (start_s, before), (end_s, after) in pairwise(snapshots):
        for one in figures(before, after):
            result.append(
                ServerWindow(
                    at_s=start_s,
                    length_s=end_s - start_s,
                    model=one.model,
                    version=one.version,
                    requests=one.requests,
                    queue_us=one.queue_us,
                    compute_input_us=one.compute_input_us,
                    compute_infer_us=one.compute_infer_us,
                    compute_output_us=one.compute_output_us,
                    mean_batch=one.inferences / one.executions if one.executions else 0.0,
                    batch_sizes={size.size: size.executions for size in one.batch_sizes},
                )
            )
    return result


def _figures(model: str, version: str, before: Entry, after: Entry) -> ServerFigures:
    def phase_us(name: str) -> float:
        count = _difference(before, after, "inference_stats", name, "count")
        return _difference(before, after, "inference_stats", name, "ns") / count / 1000 if count else 0.0

    return ServerFigures(
        model=model,
        version=version,
        requests=_difference(before, after, "inference_stats", "success", "count"),
        failed=_difference(before, after, "inference_stats", "fail", "count"),
        inferences=_difference(before, after, "inference_count"),
        executions=_difference(before, after, "execution_count"),
        **{f"{name}_us": phase_us(name) for name in _PHASES},
        request_us=phase_us("success"),
        cache_hits=_difference(before, after, "inference_stats", "cache_hit", "count"),
        batch_sizes=_batch_sizes(before, after),
    )


def _batch_sizes(before: Entry, after: Entry) -> tuple[BatchSize, ...]:
    old = {_number(entry.get("batch_size", 0)): entry for entry in before.get("batch_stats", ())}
    sizes = []
    for entry in after.get("batch_stats", ()):
        size = _number(entry.get("batch_size", 0))
        executions = _difference(old.get(size, {}), entry, "compute_infer", "count")
        if executions:
            compute_ns = _difference(old.get(size, {}), entry, "compute_infer", "ns")
            sizes.append(BatchSize(size=size, executions=executions, compute_us=compute_ns / executions / 1000))
    return tuple(sorted(sizes, key=lambda one: one.size))


def _difference(before: Entry, after: Entry, *path: str) -> int:
    """A reloaded model counts from zero again."""
    now, then = _at(after, path), _at(before, path)
    return now - then if now >= then else now


def _at(entry: Entry, path: Sequence[str]) -> int:
    value: Any = entry
    for name in path:
        value = value.get(name, {}) if isinstance(value, Mapping) else {}
    return _number(value or 0)


def _number(value: Any) -> int:
    return int(value)
