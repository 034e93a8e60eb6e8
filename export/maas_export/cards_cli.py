from __future__ import annotations

from pathlib import Path

import click

from maas_core.errors import NotHeld, WrongUse
from maas_core.layout import DEFAULT_REPOSITORY


@click.command(
    epilog="Example: maas cards --measure --write", short_help="Model cards: docs/models/, from specs and measurements."
)
@click.option("--measure", is_flag=True, help="Serve the published models and write what is measured of them.")
@click.option("--write", is_flag=True, help="Write the pages.")
@click.option("--check", is_flag=True, help="Exit with 1 where a page is not what --write would make of it.")
@click.option(
    "--repository", type=click.Path(path_type=Path), default=DEFAULT_REPOSITORY, show_default=True, help="To measure."
)
def cards(measure: bool, write: bool, check: bool, repository: Path) -> None:
    """Writes a page for each model: what it is, what it is worth beside its baseline, how fast, what it must not do."""
    from maas_core.files import write_atomic
    from maas_export.cards import CARDS_DIR, card_files

    if not (measure or write or check):
        raise WrongUse("nothing to do", "give --measure, --write or --check")
    if measure:
        from maas_export.measure import measure_catalogue

        measure_catalogue(repository, click.echo)
    files = card_files()
    if write:
        for name, text in files.items():
            write_atomic(CARDS_DIR / name, text)
        for stale in set(CARDS_DIR.glob("*.md")) - {CARDS_DIR / name for name in files}:
            stale.unlink()
        click.echo(f"{len(files)} pages in {CARDS_DIR}/")
    if check:
        wrong = [name for name, text in files.items() if not _holds(CARDS_DIR / name, text)]
        if wrong:
            raise NotHeld(f"{', '.join(wrong)} in {CARDS_DIR}/ not as the specs say", "run `maas cards --write`")


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
