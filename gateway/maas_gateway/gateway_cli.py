"""``maas gateway``."""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_gateway.routing import Upstream
    from maas_gateway.supervisor import Supervisor
    from maas_gateway.tls import TlsFiles

_UMASK = 0o077
_FILE = click.Path(path_type=Path)
_PORT = click.IntRange(0, 65535)


@click.command(
    short_help="Envoy in front of Triton: keys, limits, traffic split.",
    epilog="Example: maas gateway --port 8080 --stable-http 127.0.0.1:8000 --stable-grpc 127.0.0.1:8001",
)
@click.option("--port", type=_PORT, default=8080, show_default=True, help="For HTTP and gRPC; 0 takes a free one.")
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--stable-http", help="HOST:PORT of the server's HTTP endpoint; else the one that --state remembers.")
@click.option("--stable-grpc", help="HOST:PORT of its gRPC endpoint.")
@click.option("--state", "state_dir", type=_FILE, help="Folder of routing, keys and usage.  [default: build/gateway]")
@click.option(
    "--admin-port", type=_PORT, default=0, show_default=True, help="Envoy's own, on 127.0.0.1; 0: a free one."
)
@click.option("--tls-cert", type=_FILE, help="PEM file of the gateway's certificate, with its chain.")
@click.option("--tls-key", type=_FILE, help="PEM file of its private key.")
@click.option("--client-ca", type=_FILE, help="PEM file of who signs callers' certificates: lets in only such callers.")
@click.option("--no-keys", is_flag=True, help="Let callers in without an API key.")
@click.option(
    "--answer-timeout",
    "answer_timeout_s",
    type=click.FloatRange(0.001, 86_400),
    default=300.0,
    show_default=True,
    help="Seconds.",
)
@click.option(
    "--drain-timeout", "drain_timeout_s", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds."
)
@click.option(
    "--retries", type=click.IntRange(0, 10), default=2, show_default=True, help="Of what is no step of a sequence."
)
@click.option("--stop-on-eof", is_flag=True, help="Stop when stdin closes: for a parent process.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
def gateway(
    port: int,
    listen: str,
    stable_http: str | None,
    stable_grpc: str | None,
    state_dir: Path | None,
    admin_port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    no_keys: bool,
    answer_timeout_s: float,
    drain_timeout_s: float,
    retries: int,
    stop_on_eof: bool,
    as_json: bool,
) -> None:
    """Run Envoy in front of one Triton server, or of two during a rollout, and keep it running.

    Runs until Ctrl-C or SIGTERM; then no new connections are taken and requests in flight are answered. A second signal
    hurries.
    """
    from maas_core.events import EventLog
    from maas_gateway.admission_settings import read_admission_settings
    from maas_gateway.settings import ProxySettings
    from maas_gateway.state import default_state_dir
    from maas_gateway.supervisor import GatewaySettings, Supervisor

    state_dir = (state_dir or default_state_dir()).absolute()
    settings = GatewaySettings(
        state_dir=state_dir,
        admission=read_admission_settings(state_dir, keys_required=not no_keys),
        stable=_stable(stable_http, stable_grpc),
        port=port,
        admin_port=admin_port,
        listen=_address(listen),
        tls=_tls(tls_cert, tls_key, client_ca),
        proxy=ProxySettings(answer_timeout_s=answer_timeout_s, retries=retries),
        drain_timeout_s=drain_timeout_s,
    )
    os.umask(_UMASK)
    events = EventLog(sys.stdout, as_json=as_json)
    supervisor = Supervisor(settings, events)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.request_stop())
    if stop_on_eof:
        threading.Thread(target=_stop_at_eof, args=(supervisor,), name="stdin", daemon=True).start()
    try:
        supervisor.run()
    finally:
        events.close()


def _stable(http: str | None, grpc: str | None) -> Upstream | None:
    from pydantic import ValidationError

    from maas_gateway.routing import Upstream

    if http is None and grpc is None:
        return None
    if http is None or grpc is None:
        raise click.UsageError("--stable-http and --stable-grpc go together")
    try:
        return Upstream(http=http, grpc=grpc)
    except ValidationError as error:
        first = error.errors()[0]
        raise click.BadParameter(str(first["ctx"]["error"]), param_hint=f"--stable-{first['loc'][0]}") from error


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    from maas_gateway.tls import TlsFiles

    if certificate is None and key is None:
        if client_ca is not None:
            raise click.UsageError("--client-ca needs --tls-cert and --tls-key")
        return None
    if certificate is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key go together")
    return TlsFiles(certificate, key, client_ca)


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not an IPv4 address", param_hint="--listen") from error


def _stop_at_eof(supervisor: Supervisor) -> None:
    # Not through sys.stdin: at the interpreter's end Python aborts where a thread still holds that lock.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    supervisor.request_stop()
