"""Admission as Envoy configuration: what a request must pass before a route is chosen, and the line it leaves.

Who composes the listener takes these from here: :func:`http_filters` (in order, before the router),
:func:`access_loggers`, and the limits that are fields of the connection manager (:func:`connection_manager`), of the
listener (:func:`listener_limits`) and of the bootstrap (:func:`overload`). The Lua filter sets these request headers
and then has the route chosen anew; what callers send in them, but for ``x-maas-sequence``, is taken out before
(routes.py):

======================  ====================================================================================
``x-maas-model``        the model called; absent where none is
``x-maas-version``      the version asked for; absent where none is
``x-maas-tenant``       whose key it was, ``anonymous`` where keys are not required
``x-maas-key``          the id of the key (no secret); the key itself is taken out
``x-maas-kind``         ``infer`` or ``probe`` (health and metadata)
``x-maas-protocol``     ``http`` or ``grpc``
``x-maas-items``        first dim of the first input, 1 where there is none
``x-maas-sequence``     correlation id in the request, else what the caller sent
``x-maas-sequence-start``  ``1`` on the first step of a sequence, else absent
``x-maas-side``         where the sequence began, ``stable`` or ``candidate``
``x-maas-refused``      why the request was refused, in one word
======================  ====================================================================================

The ``side`` of a line is who answered (metadata ``maas: {side: stable|candidate}`` of the endpoint), ``aimed_at`` whom
the split chose (the same of the cluster): they differ where the stable server answered for a candidate that did not.
"""

from __future__ import annotations

from typing import Any

from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.durations import duration
from maas_gateway.lua_source import lua_source

FILTER_NAME = "maas.admission"
"""Also the name under which a route tells the filter something, e.g. the weight that places sequences."""
_NAMES = ("model", "version", "tenant", "key", "kind", "protocol", "items", "sequence-start", "side", "refused")
HEADERS = tuple(f"x-maas-{name}" for name in _NAMES)
"""Those of the headers above that no caller may send."""
_TYPE = "type.googleapis.com/envoy.extensions"

_MOST_WINDOW_BYTES = 2**31 - 1
_LEAST_WINDOW_BYTES = 2**20
_LARGE_AT_A_TIME = 4
"""The largest messages that one connection may send at the same time."""
_TRACKED_POWER_OF_TWO = 20
"""Streams that hold a mebibyte or more are those that are reset when memory runs out."""

_LINE = {
    "at": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "tenant": "%REQ(X-MAAS-TENANT)%",
    "key": "%REQ(X-MAAS-KEY)%",
    "model": "%REQ(X-MAAS-MODEL)%",
    "version": "%DYNAMIC_METADATA(maas:answered)%",
    "asked_version": "%REQ(X-MAAS-VERSION)%",
    "side": "%METADATA(UPSTREAM_HOST:maas:side)%",
    "aimed_at": "%METADATA(CLUSTER:maas:side)%",
    "protocol": "%REQ(X-MAAS-PROTOCOL)%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS_NUMBER%",
    "duration_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "upstream_us": "%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%",
    "items": "%REQ(X-MAAS-ITEMS)%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "kind": "%REQ(X-MAAS-KIND)%",
    "sequence": "%REQ(X-MAAS-SEQUENCE)%",
    "refused": "%REQ(X-MAAS-REFUSED)%",
    "flags": "%RESPONSE_FLAGS%",
}


_EARLY_LINE = {
    name: _LINE[name]
    for name in ("at", "status", "grpc_status", "duration_us", "bytes_in", "bytes_out", "attempts", "flags")
} | {"kind": "infer", "refused": "envoy"}


def http_filters(settings: AdmissionSettings) -> list[dict[str, Any]]:
    """The HTTP filters that belong before the router, in this order."""
    lua = {
        "@type": f"{_TYPE}.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": lua_source(settings)},
        # Cleared once, when all headers are set, and not with each of them.
        "clear_route_cache": False,
    }
    mark = {
        "@type": f"{_TYPE}.filters.http.set_metadata.v3.Config",
        "metadata": [{"metadata_namespace": "maas", "value": {"admission": True}}],
    }
    return [{"name": "maas.mark", "typed_config": mark}, {"name": FILTER_NAME, "typed_config": lua}]


def prepare(settings: AdmissionSettings) -> None:
    """Makes the folders that Envoy and the Lua filter read and write."""
    for path in (settings.keys_file, settings.requests_file):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def access_loggers(settings: AdmissionSettings) -> list[dict[str, Any]]:
    """The access loggers of the connection manager: the metering line of each request."""
    file = {
        "@type": f"{_TYPE}.access_loggers.file.v3.FileAccessLog",
        "path": str(settings.requests_file),
        "log_format": {"json_format": _LINE},
    }
    early = {**file, "log_format": {"json_format": _EARLY_LINE}}
    return [
        {"name": "maas.metering", "filter": _admission_ran(True), "typed_config": file},
        {"name": "maas.metering_early", "filter": _admission_ran(False), "typed_config": early},
        {"name": "maas.stats", "filter": _admission_ran(True), "typed_config": _stats()},
    ]


def _admission_ran(ran: bool) -> dict[str, Any]:
    """Whether the filters saw the request. What Envoy refuses before has the headers that the caller made up."""
    # The mark is never false: the second of the two filters matches only where there is none.
    mark = {"filter": "maas", "path": [{"key": "admission"}], "value": {"bool_match": ran}}
    return {"metadata_filter": {"matcher": mark, "match_if_key_not_found": not ran}}


def _stats() -> dict[str, Any]:
    """What Prometheus finds at ``/stats/prometheus`` of Envoy's administration interface.

    Latencies are Envoy's own ``envoy_http_downstream_rq_time``. Never a tag for the model: a caller may make up names
    without end, and each tag value is kept in memory.
    """
    tenant = {"name": "tenant", "value_format": "%REQ(X-MAAS-TENANT)%"}
    protocol = {"name": "protocol", "value_format": "%REQ(X-MAAS-PROTOCOL)%"}
    code = {"name": "code", "value_format": "%RESPONSE_CODE%"}
    grpc_status = {"name": "grpc_status", "value_format": "%GRPC_STATUS_NUMBER%"}
    refused = {"name": "refused", "value_format": "%REQ(X-MAAS-REFUSED)%"}
    return {
        "@type": f"{_TYPE}.access_loggers.stats.v3.Config",
        "stats_scope": {"prefix": "maas"},
        "counters": [
            {"stat": {"name": "requests", "tags": [tenant, protocol, code, grpc_status, refused]}, "value_fixed": 1},
            {"stat": {"name": "bytes_in", "tags": [tenant]}, "value_format": "%BYTES_RECEIVED%"},
            {"stat": {"name": "bytes_out", "tags": [tenant]}, "value_format": "%BYTES_SENT%"},
        ],
    }


def connection_manager(settings: AdmissionSettings) -> dict[str, Any]:
    """Fields of the HTTP connection manager that keep the limits of headers and time."""
    return {
        "request_headers_timeout": duration(settings.headers_timeout_s),
        "request_timeout": duration(settings.request_timeout_s),
        "stream_idle_timeout": duration(settings.idle_timeout_s),
        "max_request_headers_kb": settings.headers_kib,
        "common_http_protocol_options": {
            "max_headers_count": settings.headers_count,
            "idle_timeout": duration(settings.idle_timeout_s),
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 1024,
            # Over HTTP/2 a message can be held as a whole only within the window of its stream.
            "initial_stream_window_size": _window(settings.body_bytes),
            "initial_connection_window_size": _window(_LARGE_AT_A_TIME * settings.body_bytes),
        },
        "normalize_path": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "generate_request_id": False,
        "local_reply_config": {"mappers": [_too_large_for_grpc()]},
    }


def _too_large_for_grpc() -> dict[str, Any]:
    """Envoy itself answers a body over the limit, and over gRPC with UNKNOWN; RESOURCE_EXHAUSTED is meant."""
    too_large = {"comparison": {"op": "EQ", "value": {"default_value": 413, "runtime_key": "maas.too_large"}}}
    grpc = {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}
    return {
        "filter": {"and_filter": {"filters": [{"status_code_filter": too_large}, {"header_filter": grpc}]}},
        "headers_to_add": [
            {"header": {"key": "grpc-status", "value": "8"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }


def listener_limits(settings: AdmissionSettings) -> dict[str, Any]:
    """Fields of the listener: how much of one request is held in memory while it is checked."""
    return {"per_connection_buffer_limit_bytes": settings.body_bytes}


def overload(settings: AdmissionSettings) -> dict[str, Any]:
    """Fields of the bootstrap's overload manager: what happens when requests that are held fill the memory.

    The largest streams of HTTP/2 are reset first, then new requests are refused with 503; those that were taken go on.
    """
    monitor = "envoy.resource_monitors.fixed_heap"
    heap = {
        "@type": f"{_TYPE}.resource_monitors.fixed_heap.v3.FixedHeapConfig",
        "max_heap_size_bytes": settings.memory_bytes,
    }
    scaled = {"scaling_threshold": 0.8, "saturation_threshold": 0.95}
    return {
        "refresh_interval": "0.1s",
        "resource_monitors": [{"name": monitor, "typed_config": heap}],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": _TRACKED_POWER_OF_TWO},
        "actions": [
            _action("reset_high_memory_stream", {"name": monitor, "scaled": scaled}),
            _action("stop_accepting_requests", {"name": monitor, "threshold": {"value": 0.95}}),
            _action("shrink_heap", {"name": monitor, "threshold": {"value": 0.9}}),
        ],
    }


def _action(name: str, trigger: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}


def _window(size_bytes: int) -> int:
    return min(max(size_bytes, _LEAST_WINDOW_BYTES), _MOST_WINDOW_BYTES)
