"""``maas serve``."""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click

_UMASK = 0o077


@click.command(
    short_help="Serve a repository with embedded Triton, supervised.",
    epilog="Example: maas serve --models digits --http-port 0",
)
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--view", default="stable", show_default=True, help="Name of the view under build/repositories/.")
@click.option("--models", help="Comma-separated names; all by default. An ensemble brings its steps along.")
@click.option("--http-port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0 takes a free one.")
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), default=8002, show_default=True, help="0 takes a free one."
)
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to listen on; nothing guards it.")
@click.option(
    "--allow-shared-memory",
    is_flag=True,
    help="Let every caller on this machine register shared memory: fast, but Triton checks no owner.",
)
@click.option("--watch", is_flag=True, help="Take over new versions and changed configurations.")
@click.option("--pin", "pins", multiple=True, metavar="MODEL=VERSION", help="Serve that version, whatever is released.")
@click.option("--tritonserver", type=click.Path(path_type=Path), help="The server to run, instead of the one found.")
@click.option("--load-timeout", "load_timeout_s", type=float, default=120.0, show_default=True, help="Seconds.")
@click.option("--drain-timeout", "drain_timeout_s", type=float, default=30.0, show_default=True, help="Seconds.")
@click.option("--gateway", "with_gateway", is_flag=True, help="Put a gateway in front: see `maas gateway`.")
@click.option("--gateway-port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Its port.")
@click.option("--no-keys", is_flag=True, help="Let callers pass the gateway without an API key.")
@click.option("--stop-on-eof", is_flag=True, help="Stop when stdin closes: for a parent process.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
def serve(
    repository: Path,
    view: str,
    models: str | None,
    http_port: int,
    grpc_port: int,
    metrics_port: int,
    listen: str,
    allow_shared_memory: bool,
    watch: bool,
    pins: tuple[str, ...],
    tritonserver: Path | None,
    load_timeout_s: float,
    drain_timeout_s: float,
    with_gateway: bool,
    gateway_port: int,
    no_keys: bool,
    stop_on_eof: bool,
    as_json: bool,
) -> None:
    """Serve the models of a repository with embedded Triton on this machine, and keep them served.

    Runs until Ctrl-C or SIGTERM; then new requests are refused and those in flight answered. A second signal hurries.
    """
    from maas_core.events import EventLog
    from maas_core.names import check_model_name
    from maas_server.front_gateway import GatewayOptions
    from maas_server.supervisor import ServeSettings, Supervisor

    settings = ServeSettings(
        repository=repository,
        view=check_model_name(view),
        models=[check_model_name(name.strip()) for name in models.split(",")] if models else None,
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        listen=_address(listen),
        tritonserver=tritonserver,
        watch=watch,
        pinned=dict(_pin(text) for text in pins),
        allow_shared_memory=allow_shared_memory,
        load_timeout_s=load_timeout_s,
        drain_timeout_s=drain_timeout_s,
        gateway=GatewayOptions(gateway_port, keys_required=not no_keys) if with_gateway else None,
    )
    os.umask(_UMASK)
    events = EventLog(sys.stdout, as_json=as_json)
    if not ipaddress.ip_address(listen).is_loopback:
        events.tell("open_to_others", _warning(settings.listen), listen=settings.listen)
    supervisor = Supervisor(settings, events)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.request_stop())
    if stop_on_eof:
        threading.Thread(target=_stop_at_eof, args=(supervisor.request_stop,), name="stdin", daemon=True).start()
    try:
        supervisor.run()
    finally:
        events.close()


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not an IPv4 address", param_hint="--listen") from error


def _pin(text: str) -> tuple[str, int]:
    model, _, version = text.partition("=")
    if not version.isascii() or not version.isdigit() or int(version) < 1:
        raise click.BadParameter(f"{text!r} is not MODEL=VERSION, e.g. digits_cnn=2", param_hint="--pin")
    return model, int(version)


def _warning(address: str) -> str:
    reach = "every address of this machine" if address == "0.0.0.0" else address  # noqa: S104  # compared, not bound to
    return (
        f"WARNING: HTTP, gRPC and metrics are open on {reach} to everybody who reaches it: no keys, no encryption, and "
        "one malformed request can end Triton 2.51; put a checking gateway in front, or listen on 127.0.0.1"
    )


def _stop_at_eof(request_stop: Callable[[], None]) -> None:
    # Not through sys.stdin: at the interpreter's end Python aborts where a thread still holds that lock.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    request_stop()
