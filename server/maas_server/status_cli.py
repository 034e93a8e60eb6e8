"""``maas status``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from maas_server.figures import Figures
    from maas_server.state_file import ServeState


@click.command(
    short_help="What is served, how batches form, and what fails.",
    epilog="Example: maas status --json",
)
@click.option("--url", help="Ask this server (http://HOST:PORT) instead of those started by `maas serve` here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def status(url: str | None, as_json: bool) -> None:
    """Tell of each server what it serves, since when, how batches really form, and what fails.

    Exit code 1 where a model that should serve does not, or a server does not answer; 3 where no server runs.
    """
    from maas_core.errors import ExitCode, NotReachable
    from maas_server.state_file import read_states

    if url is not None:
        figures = _figures(url)
        click.echo(json.dumps({"url": url, "models": [f.as_json() for f in figures]}) if as_json else _table(figures))
        return
    running = [state for state in read_states() if not state.is_stale]
    if not running:
        raise NotReachable("no server of `maas serve` is running here", "start one, or give --url")
    reports = [(state, _figures_or_none(state.http) if state.phase == "serving" else []) for state in running]
    if as_json:
        click.echo(json.dumps([_as_json(state, figures) for state, figures in reports]))
    else:
        click.echo("\n\n".join(_in_words(state, figures) for state, figures in reports))
    if any(state.failed or figures is None for state, figures in reports):
        click.get_current_context().exit(ExitCode.NOT_HELD)


def _figures_or_none(url: str) -> list[Figures] | None:
    """Nothing where the server hangs or has just ended: the others, and what is known of it, are told all the same."""
    from maas_core.errors import NotReachable

    try:
        return _figures(url)
    except NotReachable:
        return None


def _figures(url: str) -> list[Figures]:
    from maas_core.errors import NotReachable, WrongUse
    from maas_server.figures import figures_of
    from maas_server.triton_http import TritonHttp, TritonRefused, TritonUnreachable

    scheme, _, address = url.rpartition("://")
    if scheme not in ("", "http"):
        raise WrongUse(f"{url} is not an HTTP address", "give http://HOST:PORT, e.g. http://127.0.0.1:8000")
    api = TritonHttp(address.rstrip("/"))
    try:
        found = []
        for entry in api.statistics():
            try:
                config = api.config(entry["name"])
            except TritonRefused:
                # It was unloaded since the statistics were taken.
                continue
            found.append(
                figures_of(
                    entry,
                    dynamic_batching="dynamic_batching" in config or "sequence_batching" in config,
                    max_batch_size=int(config.get("max_batch_size", 0)),
                    is_ensemble=config.get("platform") == "ensemble",
                )
            )
    except (TritonRefused, TritonUnreachable) as error:
        raise NotReachable(f"no server answers at {url} ({error})", "start `maas serve`, or mend --url") from error
    return sorted(found, key=lambda figures: (figures.model, figures.version))


def _as_json(state: ServeState, figures: list[Figures] | None) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(state) | {"answers": figures is not None, "figures": [entry.as_json() for entry in figures or []]}


def _in_words(state: ServeState, figures: list[Figures] | None) -> str:
    from maas_server.reasons import explain_failure

    deaths = sum(state.stub_deaths.values())
    lines = [
        f"{state.view}: {state.phase} {state.repository} since {state.started_at} (process {state.pid})",
        f"  {state.http}  {state.grpc}  {state.metrics}",
        f"  tritonserver since {state.triton_since} (process {state.triton_pid}); restarts {state.restarts}, "
        f"stub deaths {deaths}, reloads {sum(state.reloads.values())}",
    ]
    lines += ["  tritonserver does not answer"] if figures is None else []
    lines += [_line(entry, state.since.get(entry.model, "")) for entry in figures or []]
    lines += [f"  {model}: FAILS: {explain_failure(reason)}" for model, reason in state.failed.items()]
    return "\n".join(lines)


def _table(figures: list[Figures]) -> str:
    return "\n".join(_line(entry, "") for entry in figures) or "no model is loaded"


def _line(entry: Figures, since: str) -> str:
    words = f"  {entry.model} {entry.version}" + (f" since {since}" if since else "")
    words += f": {entry.requests} requests, {entry.failures} failed"
    if entry.requests:
        words += f", {entry.mean_ms:.1f} ms each, {entry.queue_share:.0%} of it in the queue"
    return f"{words}; {entry.batching}"
