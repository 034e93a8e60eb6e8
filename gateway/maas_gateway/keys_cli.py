from __future__ import annotations

import click


@click.group(
    epilog="Example: maas keys create --tenant acme --models digits",
    short_help="The API keys of the gateway.",
)
def keys() -> None:
    """The API keys of the gateway."""
