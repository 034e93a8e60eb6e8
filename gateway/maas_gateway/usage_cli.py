"""``maas usage``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_gateway.usage import Agreement, Total

_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
_COLUMNS = ("day", "tenant", "model", "succeeded", "failed", "refused", "items", "bytes in", "server s")
_WORDS = 3
"""The first columns hold words, the others numbers."""


@click.command(epilog="Example: maas usage --since 2026-11-01", short_help="What each tenant used, per model and day.")
@click.option("--since", type=_DAY, help="From this day or time on, UTC.")
@click.option("--until", type=_DAY, help="Before this day or time, UTC.")
@click.option("--tenant", help="Only this tenant.")
@click.option("--model", help="Only this model.")
@click.option(
    "--check",
    "metrics_urls",
    multiple=True,
    help="Metrics of a server (http://HOST:PORT/metrics), one for each behind the gateway: compare with its counters.",
)
@click.option("--state", type=click.Path(path_type=Path), help="Folder of the gateway.  [default: build/gateway]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def usage(
    since: datetime | None,
    until: datetime | None,
    tenant: str | None,
    model: str | None,
    metrics_urls: tuple[str, ...],
    state: Path | None,
    as_json: bool,
) -> None:
    """Sum the requests of each tenant, per model and day.

    With --check: compare the successes with Triton's own counters, which begin at 0 when it starts; so give the time
    of its start as --since. Exit code 1 where they do not agree; retries, mirrored and broken off requests are allowed
    for.
    """
    from maas_core.errors import NotHeld
    from maas_gateway.admission_settings import AdmissionSettings
    from maas_gateway.differences import read_mirrored
    from maas_gateway.metering import read_requests
    from maas_gateway.state import default_state_dir
    from maas_gateway.usage import sum_up

    if metrics_urls and tenant:
        raise click.UsageError("--check is about all tenants: leave --tenant out")
    settings = AdmissionSettings(state=state or default_state_dir())
    lines = (
        line
        for line in read_requests(settings, _utc(since), _utc(until))
        if tenant in (None, line.tenant) and (line.kind == "probe" or model in (None, line.model))
    )
    total = sum_up(lines)
    mirrored = read_mirrored(settings.state, _utc(since), _utc(until)) if metrics_urls else {}
    checked = _check(total, mirrored, metrics_urls)
    if as_json:
        click.echo(json.dumps(_as_json(total, checked)))
    else:
        click.echo(_table(total))
        for line in checked:
            click.echo(_in_words(line))
    wrong = [line.model for line in checked if not line.agrees]
    if wrong:
        raise NotHeld(
            f"the gateway and Triton do not agree about {', '.join(wrong)}",
            "does somebody call the server past the gateway, or did it start at another time than --since?",
        )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _check(total: Total, mirrored: dict[str, int], metrics_urls: tuple[str, ...]) -> list[Agreement]:
    from maas_gateway.usage import agreements, triton_successes

    counted: dict[str, int] = {}
    for url in metrics_urls:
        for model, count in triton_successes(url).items():
            counted[model] = counted.get(model, 0) + count
    return agreements(total, mirrored, {}, counted) if metrics_urls else []


def _as_json(total: Total, checked: list[Agreement]) -> dict[str, object]:
    rows = [{**vars(row), "day": row.day.isoformat()} for row in total.rows]
    agreement = [{**vars(line), "agrees": line.agrees} for line in checked]
    return {"rows": rows, "probes": total.probes, "agreement": agreement}


def _table(total: Total) -> str:
    cells: list[tuple[str, ...]] = [_COLUMNS]
    for row in total.rows:
        counts = (row.succeeded, row.failed + row.unanswered, row.refused, row.items, row.bytes_in)
        names = (row.day.isoformat(), row.tenant or "-", row.model or "-")
        cells.append((*names, *map(str, counts), f"{row.server_us / 1e6:.3f}"))
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    lines = [
        "  ".join(
            text.ljust(width) if column < _WORDS else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    retries = sum(row.retries for row in total.rows)
    return "\n".join([*lines, f"besides: {total.probes} probes (health, metadata), {retries} retries"])


def _in_words(line: Agreement) -> str:
    verdict = "agrees" if line.agrees else "DOES NOT AGREE"
    return (
        f"{line.model}: metered {line.metered}, Triton counted {line.counted} ({line.beside} may be beside): {verdict}"
    )
