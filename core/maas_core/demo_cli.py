from __future__ import annotations

from pathlib import Path

import click

from maas_core.layout import DEFAULT_REPOSITORY

_PICTURES = Path("examples/digits")


@click.command(
    epilog="Example: maas demo --pictures my_pictures/",
    short_help="The whole journey on one model, with what each step proves.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    default=_PICTURES,
    show_default=True,
    help="Folder of PNG or JPEG files.",
)
@click.option("--repository", type=click.Path(path_type=Path), default=DEFAULT_REPOSITORY, show_default=True)
def demo(pictures: Path, repository: Path) -> None:
    """Trains digits_cnn, exports, verifies and publishes it, serves it, reads PICTURES, and stops the server.

    Each step is the command that you would type yourself; it is printed before it runs. A step whose outcome is there
    already is not done twice.
    """
    from maas_core.demo import run_demo

    run_demo(pictures, repository)
