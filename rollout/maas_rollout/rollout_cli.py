"""``maas rollout``. Each subcommand is in a module that is loaded only when it runs."""

from __future__ import annotations

import click

from maas_core.lazy_group import LazyGroup

_COMMANDS = {
    "start": "maas_rollout.start_cli:start",
    "status": "maas_rollout.look_cli:status",
    "history": "maas_rollout.look_cli:history",
    "watch": "maas_rollout.watch_cli:watch",
    "pause": "maas_rollout.control_cli:pause",
    "resume": "maas_rollout.control_cli:resume",
    "promote": "maas_rollout.control_cli:promote",
    "abort": "maas_rollout.control_cli:abort",
    "rollback": "maas_rollout.control_cli:rollback",
    "reconcile": "maas_rollout.look_cli:reconcile",
}


@click.command(
    cls=LazyGroup,
    modules=_COMMANDS,
    epilog="Example: maas rollout start digits_cnn --bundle build/bundles/digits_cnn/onnx",
    short_help="Puts a new version in front of users, step by step.",
)
def rollout() -> None:
    """Puts a new version in front of users, step by step, and takes it back where it is not proven."""
