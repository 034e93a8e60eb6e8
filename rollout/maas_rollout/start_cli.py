"""``maas rollout start``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from maas_core.layout import DEFAULT_REPOSITORY
from maas_rollout.cli_types import DIFFERENCES, DURATION, WEIGHTS

if TYPE_CHECKING:
    from maas_rollout.settings import Settings

_PATH = click.Path(path_type=Path)


@click.command(
    epilog="""Examples:

    maas rollout start digits_cnn --bundle build/bundles/digits_cnn/onnx

    maas rollout start digits_cnn --bundle build/bundles/digits_cnn/onnx --steps 5,50,100 --interval 2m --shadow

    maas rollout start digits --bundle build/bundles/digits/ensemble --bundle build/bundles/digits_cnn/onnx""",
    short_help="Release a bundle: publish, try, shift callers, promote.",
)
@click.argument("model")
@click.option(
    "--bundle", "bundles", type=_PATH, multiple=True, required=True, help="Several for an ensemble with its steps."
)
@click.option("--repository", type=_PATH, default=DEFAULT_REPOSITORY, show_default=True)
@click.option("--steps", "weights", type=WEIGHTS, default="5,25,50,100", show_default=True, help="Per cent of callers.")
@click.option("--interval", "interval_s", type=DURATION, default="30s", show_default=True, help="Each is held so long.")
@click.option("--hold", "hold_s", type=DURATION, default="2m", show_default=True, help="Undecided for longer: back.")
@click.option("--slo", help="p99=20ms,errors=0.1%; by default the bundle's own objective.")
@click.option(
    "--shadow",
    is_flag=True,
    help="Compare answers to mirrored requests, before the first callers come and at every step below 100.",
)
@click.option("--shadow-share", type=click.IntRange(1, 100), default=10, show_default=True, help="Per cent mirrored.")
@click.option(
    "--shadow-differences",
    "max_different",
    type=DIFFERENCES,
    default="any",
    show_default=True,
    help="Of these may differ: 5%, or any (a new training answers otherwise; only failures count).",
)
@click.option("--keep", type=click.IntRange(min=1), default=5, show_default=True, help="Versions that stay.")
@click.option("--load-rate", "load_rate_per_s", type=float, default=20.0, show_default=True, help="Short load test.")
@click.option("--load-time", "load_s", type=DURATION, default="10s", show_default=True, help="0 leaves it out.")
@click.option("--load-timeout", "load_timeout_s", type=DURATION, default="2m", show_default=True, help="Until ready.")
@click.option("--drain", "drain_s", type=DURATION, default="30s", show_default=True, help="For live sequences to end.")
@click.option("--no-gateway", is_flag=True, help="No callers are shifted: golden samples and load test alone decide.")
@click.option("--gateway-state", type=_PATH, help="The gateway's state folder.  [default: build/gateway]")
@click.option("--stable-view", default="stable", show_default=True, help="View of the server to promote on.")
@click.option("--why", default="", help="For the record.")
@click.option("--dry-run", is_flag=True, help="Check everything and show the steps; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each entry of the journal.")
def start(
    model: str,
    bundles: tuple[Path, ...],
    repository: Path,
    slo: str | None,
    shadow: bool,
    shadow_share: int,
    no_gateway: bool,
    gateway_state: Path | None,
    why: str,
    dry_run: bool,
    as_json: bool,
    **times: object,
) -> None:
    """Take a new version of MODEL in front of its users, step by step.

    Ends with 0 when it is promoted, with 1 when it was taken back, with 3 when it stands still because a server or the
    gateway does not answer. Ctrl-C (or SIGTERM, SIGHUP) sends the callers back to the stable server and leaves the rest
    as it is: `maas rollout resume` goes on, `abort` goes back.
    """
    from maas_core.layout import build_dir
    from maas_rollout.running import finish, listener, show_plan
    from maas_rollout.service import Rollouts
    from maas_rollout.wiring import ports_of

    state_dir = gateway_state if gateway_state is not None else build_dir() / "gateway"
    options: dict[str, object] = {
        **times,
        "mirror_percent": shadow_share if shadow else 0,
        "use_gateway": not no_gateway,
        "gateway_state": str(state_dir.absolute()),
    }
    settings = _settings(model, bundles, slo, options)
    rollouts = Rollouts(ports_of, listener(as_json=as_json))
    planned = rollouts.plan_release(model, bundles, repository, settings, why)
    if dry_run:
        show_plan(planned, as_json=as_json)
        return
    finish(lambda: rollouts.start(planned), model, as_json=as_json)


def _settings(model: str, bundles: tuple[Path, ...], slo: str | None, options: dict[str, object]) -> Settings:
    from pydantic import ValidationError

    from maas_core.errors import WrongUse, first_problem
    from maas_core.manifest import read_manifest
    from maas_core.service_level import parse_service_level
    from maas_rollout.settings import Settings

    manifests = [read_manifest(bundle) for bundle in bundles]
    objective = next((manifest.objective for manifest in manifests if manifest.model == model), manifests[0].objective)
    p99_ms, error_rate = objective.p99_ms, objective.error_rate
    if slo is not None:
        wanted = parse_service_level(slo)
        others = sorted(wanted.limits_ms.keys() - {"p99"})
        if others:
            raise WrongUse(
                f"--slo {slo}: gates judge p99 and errors, not {', '.join(others)}", "e.g. p99=20ms,errors=0.1%"
            )
        p99_ms = wanted.limits_ms.get("p99", p99_ms)
        error_rate = wanted.error_rate if wanted.error_rate is not None else error_rate
    try:
        return Settings.model_validate({**options, "p99_ms": p99_ms, "error_rate": error_rate})
    except ValidationError as error:
        raise WrongUse(first_problem(error, ""), "see `maas rollout start --help`") from error
