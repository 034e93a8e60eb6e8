"""``maas explain``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    short_help="Why a model does not load, and how to mend it.",
    epilog="Example: maas explain digits_cnn",
)
@click.argument("model")
@click.option("--repository", type=click.Path(path_type=Path), default=Path("model_repository"), show_default=True)
@click.option("--tritonserver", type=click.Path(path_type=Path), help="The server to try it with.")
@click.option("--load-timeout", "load_timeout_s", type=float, default=60.0, show_default=True, help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def explain(model: str, repository: Path, tritonserver: Path | None, load_timeout_s: float, as_json: bool) -> None:
    """Load MODEL alone, in a server of its own, and tell why it does not load and how to mend it.

    Exit code 1 where it does not load, or a running server does not serve it.
    """
    import json
    from dataclasses import asdict

    from maas_core.errors import ExitCode
    from maas_core.names import check_model_name
    from maas_server.explain import explain as find_out
    from maas_server.explain import left_out_by_servers

    found = find_out(repository, check_model_name(model), tritonserver, load_timeout_s)
    elsewhere = left_out_by_servers(repository, model)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"servers": elsewhere}))
    elif found.loads:
        click.echo(f"{model} {found.version} loads ({found.startup_s:.1f} s from the start of the server)")
    else:
        version = "" if found.version is None else f" {found.version}"
        click.echo(f"{model}{version} does not load")
        click.echo(f"  because  {found.reason}" + (f" [{found.cause}]" if found.cause != model else ""))
        click.echo(f"  mend     {found.mend}")
        if found.log:
            click.echo(f"  log      {found.log}")
    if not as_json:
        for view, reason in elsewhere.items():
            click.echo(f"the running server of view {view!r} does not serve it: {reason}")
    if not found.loads or elsewhere:
        click.get_current_context().exit(ExitCode.NOT_HELD)
