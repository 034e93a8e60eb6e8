"""Envoy's administration interface: what it serves, and how to let it drain.

The paths are Envoy's own (https://www.envoyproxy.io/docs/envoy/v1.40.0/operations/admin).
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from maas_core.errors import NotHeld, NotReachable

_POLL_S = 0.01
_CALL_TIMEOUT_S = 5.0
_RDS, _CDS = "http.gateway.rds.routes", "cluster_manager.cds"
Kind = Literal["clusters", "routes"]
"""Of the files that Envoy watches."""
KINDS: tuple[Kind, ...] = ("clusters", "routes")


class EnvoyAdmin:
    """Calls the administration interface of one Envoy.

    Args:
        url: ``http://127.0.0.1:PORT``.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    def is_ready(self) -> bool:
        """Whether it listens and has its configuration."""
        try:
            return self._call("GET", "/ready")[0] == http.HTTPStatus.OK
        except NotReachable:
            return False

    def stats(self, names: str) -> dict[str, Any]:
        """Counters, gauges and texts whose names match the regular expression ``names``.

        Raises:
            NotReachable: where it does not answer.
        """
        body = self._call("GET", f"/stats?format=json&filter={names}")[1]
        return {entry["name"]: entry["value"] for entry in json.loads(body)["stats"] if "name" in entry}

    def listener_ports(self) -> dict[str, int]:
        """The port of each listener, by its name."""
        found = json.loads(self._call("GET", "/listeners?format=json")[1])["listener_statuses"]
        return {entry["name"]: entry["local_address"]["socket_address"]["port_value"] for entry in found}

    def refuse_connections(self) -> None:
        """Takes no new connections; says on the open ones that they end with their next answer."""
        self._call("POST", "/healthcheck/fail")
        self._call("POST", "/drain_listeners?graceful")

    def requests_in_flight(self) -> int:
        """How many requests of callers are not answered yet."""
        found = self.stats("^http.gateway.downstream_rq_active$")
        return int(next(iter(found.values()), 0))

    def wait_revision(self, revision: int, timeout_s: float, kinds: Sequence[Kind] = KINDS) -> None:
        """Returns when routes and servers (or those of ``kinds``) of that revision, or of a later one, are in use.

        Raises:
            NotReachable: not within ``timeout_s``.
            NotHeld: it refused them.
        """
        deadline = time.monotonic() + timeout_s
        before = self._updates()
        while not (now := self._updates()).serve(revision, kinds):
            if now.refused > before.refused:
                raise NotHeld(f"Envoy refuses revision {revision} of the routing", "its log says why")
            if time.monotonic() > deadline:
                raise NotReachable(
                    f"the gateway does not serve revision {revision} of the routing after {timeout_s:g} s, "
                    f"but routes {now.texts['routes'] or 'of none'} and servers {now.texts['clusters'] or 'of none'}",
                    "its log may say why",
                )
            time.sleep(_POLL_S)

    def _updates(self) -> _Updates:
        return _Updates(self.stats(rf"^({_RDS}|{_CDS})\.(version_text|update_rejected)$|warming_clusters$"))

    def _call(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=_CALL_TIMEOUT_S)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise NotReachable(
                f"Envoy does not answer on {self._address} ({error})", "is `maas gateway` up?"
            ) from error
        finally:
            connection.close()


class _Updates:
    """What Envoy took over of the files that it watches."""

    def __init__(self, stats: dict[str, Any]) -> None:
        prefixes: dict[Kind, str] = {"clusters": _CDS, "routes": _RDS}
        self.texts = {kind: str(stats.get(f"{prefix}.version_text", "")) for kind, prefix in prefixes.items()}
        self.refused = sum(int(stats.get(f"{prefix}.update_rejected", 0)) for prefix in prefixes.values())
        self._warming = int(stats.get("cluster_manager.warming_clusters", 0))

    def serve(self, revision: int, kinds: Sequence[Kind]) -> bool:
        """Whether that revision, or a later one, is in use."""
        if "clusters" in kinds and self._warming:
            return False
        texts = [self.texts[kind] for kind in kinds]
        return all(text.isdigit() and int(text) >= revision for text in texts)
