"""The servers behind the gateway, as clusters of Envoy.

The fields are those of ``envoy.config.cluster.v3.Cluster``
(https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/cluster/v3/cluster.proto).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from maas_gateway.durations import duration

if TYPE_CHECKING:
    from maas_gateway.routing import Routing, Upstream
    from maas_gateway.settings import ProxySettings

Json = dict[str, Any]
Protocol = Literal["http", "grpc"]
Side = Literal["stable", "candidate"]

PROTOCOLS: tuple[Protocol, ...] = ("http", "grpc")
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_EJECT_AFTER = 5
_EJECTED_S = 5.0
_HTTP2_WINDOW_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 20


def cluster_name(side: Side, protocol: Protocol) -> str:
    """One server and protocol, e.g. ``candidate_grpc``."""
    return f"{side}_{protocol}"


def with_fallback(protocol: Protocol) -> str:
    """The candidate, and the stable server while the candidate does not answer."""
    return f"candidate_or_stable_{protocol}"


def upstream_clusters(routing: Routing, settings: ProxySettings) -> list[Json]:
    """The clusters of a routing: one for each server and protocol, and the candidate with the stable one behind it.

    All of them are always there, without a candidate one that holds no server: routes and clusters are taken over one
    after the other, and a request that was routed to a cluster that is not there any more, or not yet, would fail.
    """
    servers: dict[Side, Upstream | None] = {"stable": routing.stable, "candidate": routing.candidate}
    clusters = [_server(side, server, protocol, settings) for side, server in servers.items() for protocol in PROTOCOLS]
    return [*clusters, *(_candidate_or_stable(protocol, settings) for protocol in PROTOCOLS)]


def loopback_cluster(name: str, port: int, protocol: Protocol) -> Json:
    """A server of our own on this machine."""
    return {
        "name": name,
        "connect_timeout": "1s",
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [_endpoints(f"127.0.0.1:{port}", {})]},
        **_protocol_options(protocol),
    }


def _server(side: Side, upstream: Upstream | None, protocol: Protocol, settings: ProxySettings) -> Json:
    name = cluster_name(side, protocol)
    cluster: Json = {
        "name": name,
        "metadata": _metadata(side),
        "connect_timeout": duration(settings.connect_timeout_s),
        "type": "STATIC",
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "outlier_detection": _outlier_detection(),
        **_limits(settings),
        **_protocol_options(protocol),
    }
    if upstream is None:
        return cluster
    address = upstream.http if protocol == "http" else upstream.grpc
    # Readiness is asked over HTTP for both: Triton answers it there alike, in every release.
    health_port = urlsplit(f"//{upstream.http}").port
    return cluster | {
        "type": "STATIC" if _is_address(address) else "STRICT_DNS",
        # Triton listens on IPv4 unless told.
        "dns_lookup_family": "V4_PREFERRED",
        "load_assignment": {"cluster_name": name, "endpoints": [_endpoints(address, _metadata(side), health_port)]},
        "health_checks": [_health_check(settings.health_interval_s)],
    }


def _candidate_or_stable(protocol: Protocol, settings: ProxySettings) -> Json:
    members = [cluster_name("candidate", protocol), cluster_name("stable", protocol)]
    return {
        "name": with_fallback(protocol),
        "metadata": _metadata("candidate"),
        "connect_timeout": duration(settings.connect_timeout_s),
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": members,
            },
        },
        **_limits(settings),
    }


def _limits(settings: ProxySettings) -> Json:
    most = settings.most_connections
    thresholds = {"max_connections": most, "max_pending_requests": most, "max_requests": most, "max_retries": most}
    return {"circuit_breakers": {"thresholds": [thresholds]}}


def _outlier_detection() -> Json:
    return {
        "consecutive_5xx": 0,
        "enforcing_consecutive_5xx": 0,
        "consecutive_gateway_failure": _EJECT_AFTER,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": duration(_EJECTED_S),
        "max_ejection_percent": 100,
    }


def _health_check(interval_s: float) -> Json:
    return {
        "timeout": "2s",
        "interval": duration(interval_s),
        # Envoy's own pace for a server without traffic is a minute.
        "no_traffic_interval": duration(interval_s),
        "no_traffic_healthy_interval": duration(interval_s),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/v2/health/ready"},
    }


def _protocol_options(protocol: Protocol) -> Json:
    window = {"initial_stream_window_size": _HTTP2_WINDOW_BYTES, "initial_connection_window_size": _HTTP2_WINDOW_BYTES}
    options: Json = {"http2_protocol_options": window} if protocol == "grpc" else {"http_protocol_options": {}}
    return {
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": options,
            }
        }
    }


def _endpoints(address: str, metadata: Json, health_port: int | None = None) -> Json:
    parts = urlsplit(f"//{address}")
    endpoint: Json = {"address": {"socket_address": {"address": parts.hostname, "port_value": parts.port}}}
    if health_port is not None:
        endpoint["health_check_config"] = {"port_value": health_port}
    return {"lb_endpoints": [{"endpoint": endpoint, "metadata": metadata}]}


def _metadata(side: Side) -> Json:
    """On a cluster it tells where a request was sent to, on an endpoint who answered: behind the candidate is the
    stable server.
    """
    return {"filter_metadata": {"maas": {"side": side}}}


def _is_address(address: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(f"//{address}").hostname or "")
    except ValueError:
        return False
    return True
