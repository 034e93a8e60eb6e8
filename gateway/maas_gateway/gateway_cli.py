from __future__ import annotations

import click


@click.command(epilog="Example: maas gateway --port 8080", short_help="Envoy in front of Triton.")
def gateway() -> None:
    """Envoy in front of Triton."""
