from __future__ import annotations

import click


@click.group(
    epilog="Example: maas load run server --model digits_cnn --rate 200",
    short_help="Load tests with a verdict.",
)
def load() -> None:
    """Load tests with a verdict."""
