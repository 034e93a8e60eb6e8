from __future__ import annotations

import click


@click.command(epilog="Example: maas usage --since 2026-11-01", short_help="What each tenant used, per model and day.")
def usage() -> None:
    """What each tenant used, per model and day."""
