from __future__ import annotations

import json
from pathlib import Path

import click

from maas_core.errors import WrongUse


@click.command(
    epilog="Example: maas export digits_cnn digits_preprocess digits_postprocess digits",
    short_help="Turn trained models into verified bundles.",
)
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option("--all", "every", is_flag=True, help="Every model of the catalogue.")
@click.option("--seed", default=0, show_default=True, help="Of the golden samples.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each model.")
def export(models: tuple[str, ...], every: bool, seed: int, as_json: bool) -> None:
    """Writes and verifies build/bundles/MODEL/FORMAT/ for each MODEL.

    A network needs weights (`maas train`), an ensemble needs the verified bundles of its steps. A bundle that does not
    pass the ladder stays without its stamp, and `maas publish` refuses it.
    """
    from maas_export.bundle import export_bundle
    from maas_export.catalogue import all_models, in_order

    if every == bool(models):
        raise WrongUse("which model?", "give the names of some, or --all")
    for model in in_order(models or tuple(all_models())):
        bundle, is_new = export_bundle(model, seed=seed)
        if is_new:
            _verify(bundle, as_json)
        elif as_json:
            click.echo(json.dumps({"model": model, "bundle": str(bundle), "new": False, "passed": True}))
        else:
            click.echo(f"{model}: unchanged and verified, nothing to do ({bundle})")


def _verify(bundle: Path, as_json: bool) -> None:
    from maas_export.verify_cli import verify_and_report

    verify_and_report(bundle, seed=1, url=None, numbers_only=False, as_json=as_json)
