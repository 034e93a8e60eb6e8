"""The files that Envoy watches: the servers (CDS) and the routes (RDS) of a routing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from maas_core.files import write_atomic
from maas_gateway.clusters import upstream_clusters
from maas_gateway.routes import route_configuration
from maas_gateway.settings import read_proxy_settings

if TYPE_CHECKING:
    from maas_gateway.clusters import Json
    from maas_gateway.routing import Routing

_CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


def clusters_path(state_dir: Path) -> Path:
    """The file with the servers."""
    return state_dir / "xds" / "clusters.json"


def routes_path(state_dir: Path) -> Path:
    """The file with the routes."""
    return state_dir / "xds" / "routes.json"


def write(state_dir: Path, routing: Routing, revision: int) -> None:
    """Moves both files into place where they differ from what is there."""
    settings = read_proxy_settings(state_dir)
    clusters = [{"@type": _CLUSTER, **cluster} for cluster in upstream_clusters(routing, settings)]
    routes = [{"@type": _ROUTES, **route_configuration(routing, settings)}]
    files = {
        clusters_path(state_dir): _response(clusters, revision),
        routes_path(state_dir): _response(routes, revision),
    }
    # A server must be known before requests are sent to it, and may go when none are.
    order = files if routing.candidate is not None else reversed(files)
    for path in order:
        if not path.exists() or path.read_text(encoding="utf-8") != files[path]:
            write_atomic(path, files[path])


def _response(resources: list[Json], revision: int) -> str:
    return json.dumps({"version_info": str(revision), "resources": resources}, indent=1) + "\n"
