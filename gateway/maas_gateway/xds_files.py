"""The files that Envoy watches: the servers (CDS) and the routes (RDS) of a routing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from maas_core.files import write_atomic
from maas_gateway.clusters import upstream_clusters
from maas_gateway.envoy_admin import Kind
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


def write(state_dir: Path, routing: Routing, revision: int, taken_over: Callable[[Kind], None]) -> None:
    """Moves both files into place where they differ from what is there.

    A server must be known before requests are sent to it, and may go when none are: so, where servers change, the
    second file follows when the first one is in use.

    Args:
        state_dir: of the gateway.
        routing: what is to be served.
        revision: its number.
        taken_over: returns when Envoy, where it runs, uses the file of that kind.
    """
    settings = read_proxy_settings(state_dir)
    clusters = [{"@type": _CLUSTER, **cluster} for cluster in upstream_clusters(routing, settings)]
    routes = [{"@type": _ROUTES, **route_configuration(routing, settings)}]
    files: dict[Kind, tuple[Path, str]] = {
        "clusters": (clusters_path(state_dir), _response(clusters, revision)),
        "routes": (routes_path(state_dir), _response(routes, revision)),
    }
    servers_change = _resources(clusters_path(state_dir)) != clusters
    order: tuple[Kind, Kind] = ("routes", "clusters")
    if servers_change and routing.candidate is not None:
        order = ("clusters", "routes")
    first, second = order
    if _move_into_place(*files[first]) and servers_change:
        taken_over(first)
    _move_into_place(*files[second])


def _resources(path: Path) -> list[Json]:
    return list(json.loads(path.read_bytes())["resources"]) if path.exists() else []


def _move_into_place(path: Path, text: str) -> bool:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_atomic(path, text)
    return True


def _response(resources: list[Json], revision: int) -> str:
    return json.dumps({"version_info": str(revision), "resources": resources}, indent=1) + "\n"
