from __future__ import annotations

from pathlib import Path

import click

from maas_core.errors import NotHeld

_LANGUAGES = ("curl", "python", "javascript", "go")


@click.command(
    epilog="Example: maas examples digits --language curl",
    short_help="Show or write programs that call a model, in curl, Python, JavaScript, Go.",
)
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@click.option("--language", type=click.Choice(_LANGUAGES), help="Only this one.")
@click.option("--write", is_flag=True, help="Write them into the folder.")
@click.option("--check", is_flag=True, help="Fail where the folder differs from what the specs give.")
@click.option("--folder", type=click.Path(path_type=Path), default="examples", show_default=True)
def examples(models: tuple[str, ...], language: str | None, write: bool, check: bool, folder: Path) -> None:
    """Short programs that call MODELs (all by default) as a person would, derived from the specs.

    A model that only other models call has none.
    """
    from maas_core.files import write_atomic
    from maas_export.catalogue import all_models, model_named
    from maas_export.examples.programs import FILE_OF_LANGUAGE, programs_of

    drifted = []
    for name in models or tuple(all_models()):
        for written_in, text in programs_of(model_named(name)).items():
            path = folder / name / FILE_OF_LANGUAGE[written_in]
            if language not in (None, written_in):
                continue
            if write:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, text)
            elif check and (not path.is_file() or path.read_text(encoding="utf-8") != text):
                drifted.append(str(path))
            elif not check:
                click.echo(text)
    if drifted:
        raise NotHeld(f"{', '.join(drifted)} differ from the specs", "run `maas examples --write`")
