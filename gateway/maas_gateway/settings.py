"""How the gateway treats requests and servers: figures that a routing does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from maas_core.errors import WrongUse
from maas_core.files import write_atomic

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class ProxySettings(BaseModel):
    """Time limits, retries, and what makes a caller.

    Attributes:
        answer_timeout_s: how long a server may take for one answer, retries included.
        connect_timeout_s: how long connecting to a server may take.
        retries: how often a request is tried again after a failed connection or a 503; steps of sequences never are.
        sticky_headers: the first of these that a request carries says who the caller is. A caller stays on one side of
            a split; requests that carry none are divided one by one.
        health_interval_s: how often a server is asked whether it is ready.
        most_connections: to each server, and requests at a time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer_timeout_s: Seconds = 300.0
    connect_timeout_s: Seconds = 1.0
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    sticky_headers: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")], ...] = ("x-caller-id", "x-maas-key")
    health_interval_s: Seconds = 1.0
    most_connections: Annotated[int, Field(ge=1, le=65_536)] = 4096


def read_proxy_settings(state_dir: Path) -> ProxySettings:
    """The settings of the gateway over this folder; the defaults where none ever ran.

    Raises:
        WrongUse: the file is not one of ours.
    """
    path = _path(state_dir)
    if not path.exists():
        return ProxySettings()
    try:
        return ProxySettings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise WrongUse(
            f"{path} does not hold the gateway's settings", "remove it and start the gateway again"
        ) from error


def write_proxy_settings(state_dir: Path, settings: ProxySettings) -> None:
    """Keeps the settings for whoever writes a routing."""
    write_atomic(_path(state_dir), settings.model_dump_json(indent=1) + "\n")


def _path(state_dir: Path) -> Path:
    return state_dir / "proxy.json"
