"""``maas rollout watch``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_rollout.views.snapshot import Watcher
    from maas_rollout.views.web import Snapshot

_EVERY_S = 1.0


@click.command(
    short_help="Look at rollouts while they go on, on the terminal or on a page.",
    epilog="Example: maas rollout watch digits_cnn --web",
)
@click.argument("model", required=False)
@click.option("--web", is_flag=True, help="A page on 127.0.0.1, with metrics for Prometheus at /metrics.")
@click.option("--port", type=click.IntRange(0, 65535), default=8088, show_default=True, help="0 takes a free one.")
@click.option("--once", is_flag=True, help="Show it once and end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, once.")
def watch(model: str | None, web: bool, port: int, once: bool, as_json: bool) -> None:
    """Show versions, weights, both latency curves, gates with their evidence, and the journal, of MODEL or of all.

    Only looks: what it shows is a function of the journals, the gateway's files and the servers' state. Runs until
    Ctrl-C.
    """
    from maas_core.names import check_model_name
    from maas_rollout.views.snapshot import Watcher

    watcher = Watcher(check_model_name(model) if model else None)
    if as_json:
        click.echo(json.dumps(watcher.snapshot()))
    elif web:
        _serve(watcher.snapshot, port)
    else:
        _show(watcher, once)


def _serve(snapshot: Snapshot, port: int) -> None:
    from maas_rollout.views.web import WatchServer

    server = WatchServer(snapshot, port)
    click.echo(server.url)
    try:
        server.serve()
    except KeyboardInterrupt:
        # The way to end it.
        return


def _show(watcher: Watcher, once: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from maas_rollout.views.terminal import screen

    console = Console()
    if once or not console.is_terminal:
        console.print(screen(watcher.snapshot()))
        return
    with Live(screen(watcher.snapshot()), console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(_EVERY_S)
                live.update(screen(watcher.snapshot()), refresh=True)
        except KeyboardInterrupt:
            # The way to end it.
            return
