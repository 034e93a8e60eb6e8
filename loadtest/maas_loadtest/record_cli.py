"""``maas load record``: a trace of live traffic, for the replay scenario."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_loadtest.record import Traffic
    from maas_loadtest.traces import Trace

_FLUSH_S = 2.0
"""The gateway's lines are written when a request ends, and ten times a second."""
_TICK_S = 0.2


@click.command(
    epilog="""Examples:

    maas load record monday.jsonl --last 10m

    maas load record now.jsonl --for 60s --model digits

    maas load record old.jsonl --triton-log triton.log

    maas load run replay --trace monday.jsonl""",
)
@click.argument("trace_path", metavar="TRACE.jsonl", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--gateway",
    "gateway_path",
    type=click.Path(path_type=Path),
    help="State folder of `maas gateway`, or a file of its metering lines.  [default: build/gateway]",
)
@click.option(
    "--triton-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Instead: the log of a Triton that runs with --log-verbose=1.",
)
@click.option("--model", "models", multiple=True, help="Only requests to this model; may be given several times.")
@click.option("--last", help="Only what came in this time before now: 90s, 10m, 1h. Needs the gateway.")
@click.option("--for", "for_time", help="Wait so long, and take what comes meanwhile: 30s, 5m.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def record(
    *,
    trace_path: Path,
    gateway_path: Path | None,
    triton_log: Path | None,
    models: tuple[str, ...],
    last: str | None,
    for_time: str | None,
    as_json: bool,
) -> None:
    """Write the requests that came, with their times, to TRACE.jsonl: which model, when, how many rows, no contents.

    Replay sends requests of the same models, sizes and times with inputs of its own. An ensemble's steps stand in
    Triton's log beside the ensemble: name the ensemble with --model there.
    """
    # Imported here: the list of all commands needs none of it.
    from maas_core.errors import WrongUse
    from maas_core.layout import build_dir
    from maas_loadtest.record import make_trace
    from maas_loadtest.settings import seconds
    from maas_loadtest.traces import write_trace

    if triton_log is not None and gateway_path is not None:
        raise WrongUse("--gateway and --triton-log were both given", "name one source")
    if last is not None and (triton_log is not None or for_time is not None):
        raise WrongUse("--last goes neither with --triton-log nor with --for", "leave one out")
    wait_s = None if for_time is None else seconds(for_time)
    if triton_log is not None:
        traffic, source = _from_triton(triton_log, wait_s), str(triton_log)
    else:
        path = gateway_path or build_dir() / "gateway"
        traffic, source = _from_gateway(path, None if last is None else seconds(last), wait_s), str(path)
    trace = make_trace(traffic, {"source": source}, models)
    write_trace(trace_path, trace)
    _tell(trace, traffic, trace_path, as_json=as_json)


def _from_gateway(path: Path, last_s: float | None, wait_s: float | None) -> Traffic:
    from maas_loadtest.record import gateway_files, now, read_gateway

    gateway_files(path)
    since = now() if wait_s is not None else None
    until = None
    if last_s is not None:
        since = now() - timedelta(seconds=last_s)
    if wait_s is not None:
        _wait(wait_s, "recording")
        until = now()
        _wait(_FLUSH_S, "until the gateway has written its lines")
    return read_gateway(gateway_files(path), since, until)


def _from_triton(path: Path, wait_s: float | None) -> Traffic:
    from maas_core.errors import WrongUse
    from maas_loadtest.record import read_triton_log

    if wait_s is None:
        return read_triton_log(path)
    try:
        skip_bytes = path.stat().st_size
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror or error}") from error
    _wait(wait_s, "recording")
    return read_triton_log(path, skip_bytes)


def _wait(seconds: float, what: str) -> None:
    """With a bar on a terminal; Ctrl-C ends it early, and what came so far is taken."""
    from rich.console import Console
    from rich.progress import Progress

    until = time.monotonic() + seconds
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=seconds)
        try:
            while (left_s := until - time.monotonic()) > 0:
                progress.update(task, completed=seconds - left_s)
                time.sleep(min(_TICK_S, left_s))
        except KeyboardInterrupt:
            click.echo("stopped early", err=True)


def _tell(trace: Trace, traffic: Traffic, path: Path, *, as_json: bool) -> None:
    told = {
        "trace": str(path),
        "requests": len(trace.requests),
        "duration_s": trace.duration_s,
        "models": trace.models,
        "resolution_s": traffic.resolution_s,
        "left_out": dict(traffic.left_out),
    }
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(
        f"{len(trace.requests):,} requests to {', '.join(trace.models)} in {trace.duration_s:.1f} s written to {path}"
    )
    for reason, count in traffic.left_out.items():
        click.echo(f"  left out: {count:,} {reason}")
    if traffic.resolution_s >= 1:
        click.echo("  the log has whole seconds only: requests stand at even distances within each")
