"""The listener that callers reach: HTTP/1.1 and HTTP/2 (gRPC) on one port.

The fields are those of ``envoy.config.listener.v3.Listener`` and of the HTTP connection manager
(https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto).
"""

from __future__ import annotations

from pathlib import Path

from maas_gateway.admission import access_loggers, connection_manager, http_filters, listener_limits
from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.clusters import Json
from maas_gateway.routes import ROUTES_NAME
from maas_gateway.tls import TlsFiles, transport_socket
from maas_gateway.xds_files import routes_path

LISTENER_NAME = "gateway"
_NOT_THERE = ("UF", "UC", "UH", "UO", "URX", "LR", "OM")
"""Response flags of Envoy: no connection, or none left
(https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage#response-flags).
"""
_NOT_ANSWERED = ("UT", "UR", "NC", "NR", "UPE", "DT", "SI")
"""Likewise: too late, no route, no protocol."""
_TYPE = "type.googleapis.com/envoy.extensions"


def listener(address: str, port: int, state_dir: Path, admission: AdmissionSettings, tls: TlsFiles | None) -> Json:
    """The one listener.

    Args:
        address: what it listens on.
        port: likewise; never 0: it must be the same after Envoy was started again.
        state_dir: where the routes lie.
        admission: what a request must pass.
        tls: the certificates; none for plain text.
    """
    manager = {"name": "http", "typed_config": _connection_manager(state_dir, admission)}
    chain: Json = {"filters": [manager]}
    if tls is not None:
        chain["transport_socket"] = transport_socket(tls, state_dir)
    return {
        "name": LISTENER_NAME,
        "address": {"socket_address": {"address": address, "port_value": port}},
        # Otherwise a second gateway could listen on the same port, and get half of the connections.
        "enable_reuse_port": False,
        "filter_chains": [chain],
        **listener_limits(admission),
    }


def _connection_manager(state_dir: Path, admission: AdmissionSettings) -> Json:
    limits = connection_manager(admission)
    replies = [
        *limits["local_reply_config"]["mappers"],
        _errors_as_json(_NOT_THERE, retry_after_s=1),
        _errors_as_json(_NOT_ANSWERED),
    ]
    return {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": LISTENER_NAME,
        "codec_type": "AUTO",
        "server_name": "triton-maas",
        "rds": {
            "route_config_name": ROUTES_NAME,
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {"path": str(routes_path(state_dir))},
            },
        },
        # Nobody counts as one of us: who does may set x-envoy-* headers, and so have steps of sequences retried.
        # Without any address all private ones would count; this one is nobody's (RFC 5737).
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "192.0.2.0", "prefix_len": 32}]},
        "http_filters": [*http_filters(admission), _router()],
        "access_log": access_loggers(admission),
        **limits,
        "local_reply_config": {"mappers": replies},
    }


def _errors_as_json(flags: tuple[str, ...], retry_after_s: int | None = None) -> Json:
    """What Envoy itself answers over HTTP where a server does not: an error in the form that Triton gives it."""
    is_http = {
        "name": "content-type",
        "string_match": {"prefix": "application/grpc"},
        "invert_match": True,
        "treat_missing_header_as_empty": True,
    }
    filters = [{"response_flag_filter": {"flags": list(flags)}}, {"header_filter": {"header": is_http}}]
    mapper: Json = {
        "filter": {"and_filter": {"filters": filters}},
        "body_format_override": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}},
    }
    if retry_after_s is not None:
        mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": str(retry_after_s)}}]
    return mapper


def _router() -> Json:
    router = {
        "@type": f"{_TYPE}.filters.http.router.v3.Router",
        "suppress_envoy_headers": True,
        # Counters of a server's answers by their codes, which cost a request more than all others of Envoy's: the
        # counters of `maas.stats` tell the codes.
        "dynamic_stats": False,
    }
    return {"name": "envoy.filters.http.router", "typed_config": router}
