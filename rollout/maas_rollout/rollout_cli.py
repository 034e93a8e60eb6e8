"""``maas rollout``. Each subcommand is in a module that is loaded only when it runs."""

from __future__ import annotations

from importlib import import_module

import click

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


class _Subcommands(click.Group):
    """Finds its commands by name and loads only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.command(
    cls=_Subcommands,
    epilog="Example: maas rollout start digits_cnn --bundle build/bundles/digits_cnn/onnx",
    short_help="Puts a new version in front of users, step by step.",
)
def rollout() -> None:
    """Puts a new version in front of users, step by step, and takes it back where it is not proven."""
