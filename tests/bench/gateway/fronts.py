"""What stands in front of a server while it is measured: nothing, Envoy alone, or the gateway."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas_core.errors import NotReachable
from maas_core.ports import LOOPBACK, choose_ports
from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.clusters import upstream_clusters
from maas_gateway.envoy_process import envoy_path
from maas_gateway.key_store import KeyStore
from maas_gateway.listener import LISTENER_NAME
from maas_gateway.routing import Routing, Upstream
from maas_gateway.settings import ProxySettings

_START_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Front:
    """Where callers call.

    Attributes:
        http: HOST:PORT.
        grpc: likewise.
        envoy_pid: None where nothing stands in front.
        headers: that each request must carry.
        admin: URL of Envoy's administration interface, empty where there is no Envoy.
    """

    http: str
    grpc: str
    envoy_pid: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    admin: str = ""

    def answered(self) -> int:
        """How many requests Envoy has answered so far; 0 where there is none."""
        if not self.admin:
            return 0
        url = f"{self.admin}/stats?filter=^http.{LISTENER_NAME}.downstream_rq_completed$"
        with urllib.request.urlopen(url) as answer:  # noqa: S310  # an address of ours, http
            return int(answer.read().split()[-1])


@contextmanager
def direct(server: Upstream) -> Iterator[Front]:
    """Nothing in front."""
    yield Front(server.http, server.grpc)


@contextmanager
def gateway(server: Upstream, limits: dict[str, Any] | None = None) -> Iterator[Front]:
    """``maas gateway`` that asks for keys; ``limits`` become its ``admission.json``."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        # perf_analyzer reads the statistics of the model that it measures.
        (state / "admission.json").write_text(json.dumps({"statistics": True, **(limits or {})}), encoding="utf-8")
        _, key = KeyStore(AdmissionSettings(state=state).keys_file).create("bench", ("*",))
        command = [sys.executable, "-m", "maas_core", "gateway", "--json", "--stop-on-eof", "--port", "0"]
        command += ["--state", name, "--stable-http", server.http, "--stable-grpc", server.grpc]
        command += ["--drain-timeout", "1"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = next((event for event in map(json.loads, process.stdout) if event["event"] == "ready"), None)
            if ready is None:
                raise NotReachable("the gateway did not start")
            address = str(ready["url"]).removeprefix("http://")
            yield Front(address, address, ready["envoy_pid"], {"x-api-key": key}, str(ready["admin"]))
        finally:
            process.stdin.close()
            process.wait()


@contextmanager
def bare_envoy(server: Upstream) -> Iterator[Front]:
    """Envoy with the gateway's clusters and no filter, log or limit of ours: what any proxy of this kind costs."""
    with tempfile.TemporaryDirectory() as name:
        port, admin_port = choose_ports({"bare": 0, "admin": 0}).values()
        file = Path(name) / "envoy.json"
        file.write_text(json.dumps(_bare(server, port, admin_port)), encoding="utf-8")
        command = [str(envoy_path()), "--config-path", str(file), "--concurrency", "1", "--disable-hot-restart"]
        process = subprocess.Popen([*command, "--log-level", "error"])
        try:
            _wait_for(port, process)
            address = f"{LOOPBACK}:{port}"
            yield Front(address, address, process.pid, admin=f"http://{LOOPBACK}:{admin_port}")
        finally:
            process.terminate()
            process.wait()


def _bare(server: Upstream, port: int, admin_port: int) -> dict[str, Any]:
    types = "type.googleapis.com/envoy.extensions.filters"
    routes = [
        {"match": {"prefix": "/v2"}, "route": {"cluster": "stable_http"}},
        {"match": {"prefix": "/", "grpc": {}}, "route": {"cluster": "stable_grpc"}},
    ]
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": LISTENER_NAME,
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "bare", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}],
    }
    listener = {
        "name": "bare",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters = upstream_clusters(Routing(stable=server), ProxySettings())
    admin = {"address": {"socket_address": {"address": LOOPBACK, "port_value": admin_port}}}
    return {"admin": admin, "static_resources": {"listeners": [listener], "clusters": clusters}}


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            socket.create_connection((LOOPBACK, port), 1).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise NotReachable("Envoy did not start") from error
            time.sleep(0.05)
        else:
            return


FRONTS = {"direct": direct, "Envoy alone": bare_envoy, "gateway": gateway}
