"""Options that several commands have."""

from __future__ import annotations

import click

API_KEY = "MAAS_API_KEY"
"""The environment variable that holds what ``--api-key`` gives."""
GIVE_A_KEY = f"give --api-key, or set {API_KEY}"
"""What to do where the server or a gateway before it asks for a key."""
api_key_option = click.option(
    "--api-key",
    envvar=API_KEY,
    metavar="KEY",
    help=f"Sent as X-API-Key, e.g. to a gateway; better in the environment as {API_KEY}.",
)
