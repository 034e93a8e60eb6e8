"""``maas keys``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from maas_gateway.key_store import Key, KeyStore, Tenant

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST_DAYS = 36_500


class _Duration(click.ParamType[int]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,9})([smhd])", value)
        seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
        if not found or seconds > _MOST_DAYS * _UNITS_S["d"]:
            self.fail(f"{value!r} is no duration; write 90d, 12h, 30m or 10s", param, ctx)
        return seconds


_DURATION = _Duration()
_RATE = click.FloatRange(0.001, 1e6)
_COUNT = click.IntRange(1, 1_000_000)
_STATE = click.option(
    "--state", type=click.Path(path_type=Path), help="Folder of the gateway.  [default: build/gateway]"
)
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group(
    epilog="Example: maas keys create --tenant acme --models digits",
    short_help="The API keys of the gateway.",
)
def keys() -> None:
    """Make, list, replace and take back the API keys of the gateway.

    A running gateway knows of each change within a second, and drops no connection for it.
    """


@keys.command(epilog="Example: maas keys create --tenant acme --models digits --expires 90d --rate 100")
@click.option("--tenant", required=True, help="Whose key it is: who is metered and limited.")
@click.option("--models", required=True, help="Models that it may call, with commas; '*' for all.")
@click.option("--expires", type=_DURATION, help="For how long: 90d, 12h.  [default: for ever]")
@click.option("--rate", type=_RATE, help="Limit of the tenant: requests per second.")
@click.option("--burst", type=_COUNT, help="Limit of the tenant: requests at once after a pause.")
@click.option("--concurrency", type=_COUNT, help="Limit of the tenant: requests in flight.")
@_STATE
@_JSON
def create(
    tenant: str,
    models: str,
    expires: int | None,
    rate: float | None,
    burst: int | None,
    concurrency: int | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Make a key and show it: once, for it is kept nowhere. Limits that are given become those of the tenant."""
    limits = {"rate": rate, "burst": burst, "concurrency": concurrency}
    key, secret = _store(state).create(tenant, _models(models), expires, **limits)
    _show_secret(key, secret, as_json)


@keys.command("list", epilog="Example: maas keys list --all")
@click.option("--all", "with_revoked", is_flag=True, help="Revoked keys too.")
@_STATE
@_JSON
def list_keys(with_revoked: bool, state: Path | None, as_json: bool) -> None:
    """Show the keys: ids, tenants, models, expiry; never the keys themselves."""
    store = _store(state)
    shown = [key for key in store.all_keys() if with_revoked or not key.revoked]
    tenants = store.tenants()
    if as_json:
        click.echo(json.dumps([_as_json(key, tenants[key.tenant]) for key in shown]))
        return
    for key in shown:
        click.echo(_in_words(key, tenants[key.tenant]))
    if not shown:
        click.echo("no keys; make one: maas keys create")


@keys.command(epilog="Example: maas keys rotate 3f2a9c0d1e4b --grace 1h")
@click.argument("key_id", metavar="ID")
@click.option("--grace", type=_DURATION, default="24h", show_default=True, help="How long the old key still works.")
@_STATE
@_JSON
def rotate(key_id: str, grace: int, state: Path | None, as_json: bool) -> None:
    """Make a new key in the place of an old one, which works for a while longer."""
    key, secret = _store(state).rotate(key_id, grace)
    _show_secret(key, secret, as_json)


@keys.command(epilog="Example: maas keys revoke 3f2a9c0d1e4b")
@click.argument("key_id", metavar="ID")
@_STATE
def revoke(key_id: str, state: Path | None) -> None:
    """Take a key back. It works no longer after a second."""
    changed = _store(state).revoke(key_id)
    click.echo(f"{key_id} is revoked" if changed else f"{key_id} was revoked before")


@keys.command(epilog="Example: maas keys limit acme --rate 100 --burst 200 --concurrency 8")
@click.argument("tenant")
@click.option("--rate", type=_RATE, help="Requests per second.")
@click.option("--burst", type=_COUNT, help="Requests at once after a pause.  [default: a second's worth]")
@click.option("--concurrency", type=_COUNT, help="Requests in flight.")
@_STATE
def limit(tenant: str, rate: float | None, burst: int | None, concurrency: int | None, state: Path | None) -> None:
    """Set the limits of a tenant. One that is not given is lifted."""
    from maas_gateway.key_store import Tenant

    limits = Tenant(tenant, rate, burst, concurrency)
    _store(state).limit(limits)
    click.echo(f"{tenant}: {_limits_in_words(limits)}")


def _store(state: Path | None) -> KeyStore:
    from maas_gateway.admission_settings import AdmissionSettings
    from maas_gateway.key_store import KeyStore
    from maas_gateway.state import default_state_dir

    return KeyStore(AdmissionSettings(state=state or default_state_dir()).keys_file)


def _models(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise click.BadParameter("names no model; give names with commas, or '*'", param_hint="--models")
    if "*" in names and len(names) > 1:
        raise click.BadParameter("'*' is all models; give no others beside it", param_hint="--models")
    return names


def _show_secret(key: Key, secret: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"id": key.id, "key": secret, "tenant": key.tenant, "models": list(key.models)}))
        return
    click.echo(secret)
    click.echo(f"{key.id} of {key.tenant} for {', '.join(key.models)}. Keep the key: it is not shown again.", err=True)


def _as_json(key: Key, tenant: Tenant) -> dict[str, Any]:
    limits = {"rate": tenant.rate, "burst": tenant.burst, "concurrency": tenant.concurrency}
    return {
        "id": key.id,
        "tenant": key.tenant,
        "models": list(key.models),
        "state": key.state,
        "created_s": key.created_s,
        "expires_s": key.expires_s,
        "limits": limits,
    }


def _in_words(key: Key, tenant: Tenant) -> str:
    from datetime import UTC, datetime

    until = (
        "for ever"
        if key.expires_s is None
        else f"until {datetime.fromtimestamp(key.expires_s, UTC):%Y-%m-%d %H:%M} UTC"
    )
    return f"{key.id}  {key.tenant}  {','.join(key.models)}  {key.state}  {until}  {_limits_in_words(tenant)}"


def _limits_in_words(tenant: Tenant) -> str:
    parts = []
    if tenant.rate is not None:
        parts.append(f"{tenant.rate:g}/s" + (f", {tenant.burst} at once" if tenant.burst is not None else ""))
    if tenant.concurrency is not None:
        parts.append(f"{tenant.concurrency} in flight")
    return ", ".join(parts) or "no limits"
