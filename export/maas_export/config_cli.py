from __future__ import annotations

from pathlib import Path

import click

from maas_core.errors import NotHeld
from maas_core.layout import DEFAULT_REPOSITORY


@click.command(
    epilog="Example: maas config --write",
    short_help="Show or write the config.pbtxt of catalogue models.",
)
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@click.option("--write", is_flag=True, help="Write configuration and labels into the repository.")
@click.option("--check", is_flag=True, help="Fail where the repository differs from the specs.")
@click.option("--repository", type=click.Path(path_type=Path), default=DEFAULT_REPOSITORY, show_default=True)
def config(models: tuple[str, ...], write: bool, check: bool, repository: Path) -> None:
    """Derives config.pbtxt and labels.txt from the specs of MODELs (all by default), pinned to version 1."""
    from maas_core.files import write_atomic
    from maas_export.catalogue import all_models, model_named
    from maas_export.committed import committed_files

    drifted = []
    for name in models or tuple(all_models()):
        for file, text in committed_files(model_named(name).spec).items():
            path = repository / name / file
            if write:
                write_atomic(path, text)
            elif check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
                drifted.append(str(path))
            elif not check:
                click.echo(f"# {path}\n{text}")
    if drifted:
        raise NotHeld(f"{', '.join(drifted)} differ from the specs", "run `maas config --write`")
