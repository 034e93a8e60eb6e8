"""What Envoy starts with: administration, listener, and where it finds servers and routes.

The fields are those of ``envoy.config.bootstrap.v3.Bootstrap``
(https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/bootstrap/v3/bootstrap.proto).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from maas_core.files import write_atomic
from maas_core.ports import LOOPBACK
from maas_gateway.admission import overload
from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.clusters import Json, Protocol, loopback_cluster
from maas_gateway.routes import mirror_cluster
from maas_gateway.xds_files import clusters_path

_ADMIN_PATHS = (
    "/ready",
    "/stats",
    "/clusters",
    "/listeners",
    "/server_info",
    "/config_dump",
    "/healthcheck/fail",
    "/drain_listeners",
)


def write_bootstrap(
    state_dir: Path, listener: Json, admin_port: int, sink_ports: Mapping[Protocol, int], admission: AdmissionSettings
) -> Path:
    """Writes the file that Envoy is started with, and returns its path.

    Args:
        state_dir: where servers and routes lie.
        listener: what callers reach.
        admin_port: Envoy's administration interface, on loopback.
        sink_ports: where mirrored requests go.
        admission: limits of connections and memory.
    """
    file = state_dir / "envoy.json"
    document = {
        "node": {"id": "gateway", "cluster": "triton-maas"},
        "admin": {
            "address": {"socket_address": {"address": LOOPBACK, "port_value": admin_port}},
            # Not: ending Envoy, changing its runtime settings, or profiling it.
            "allow_paths": [{"prefix": path} for path in _ADMIN_PATHS],
        },
        "dynamic_resources": {
            "cds_config": {
                "resource_api_version": "V3",
                "path_config_source": {"path": str(clusters_path(state_dir))},
            }
        },
        "static_resources": {
            "listeners": [listener],
            "clusters": [
                loopback_cluster(mirror_cluster(protocol), port, protocol) for protocol, port in sink_ports.items()
            ],
        },
        "overload_manager": _overload_manager(admission),
    }
    write_atomic(file, json.dumps(document, indent=1) + "\n")
    return file


def _overload_manager(admission: AdmissionSettings) -> Json:
    manager = overload(admission)
    return manager | {"resource_monitors": [*manager["resource_monitors"], _most_connections(admission.connections)]}


def _most_connections(number: int) -> Json:
    return {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3."
            "DownstreamConnectionsConfig",
            "max_active_downstream_connections": number,
        },
    }
