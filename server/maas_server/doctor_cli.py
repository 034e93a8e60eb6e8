"""``maas doctor``."""

from __future__ import annotations

from pathlib import Path

import click

_MARKS = {"ok": "ok     ", "warning": "warning", "missing": "MISSING"}


@click.command(
    short_help="What this machine lacks for serving, and how to mend it.",
    epilog="Example: maas doctor --json",
)
@click.option("--tritonserver", type=click.Path(path_type=Path), help="The server that is to run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def doctor(tritonserver: Path | None, as_json: bool) -> None:
    """Look at this machine: Python, libraries, the server's binary, memory, ports, and versions against the tested set.

    Exit code 1 where something that serving needs is missing.
    """
    import json
    from dataclasses import asdict

    from maas_core.errors import ExitCode
    from maas_server.doctor import examine

    findings = examine(tritonserver)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mend = f"\n{'':26}mend: {finding.mend}" if finding.mend else ""
            click.echo(f"{_MARKS[finding.verdict]} {finding.what:17} {finding.found}{mend}")
    if any(finding.verdict == "missing" for finding in findings):
        click.get_current_context().exit(ExitCode.NOT_HELD)
