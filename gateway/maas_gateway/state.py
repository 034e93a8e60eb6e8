"""What a running gateway writes down, so that others find it: its addresses, and the settings its routes need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from maas_client.ownership import owner_is_gone
from maas_core.errors import NotReachable
from maas_core.files import write_atomic
from maas_core.layout import build_dir


@dataclass(frozen=True)
class GatewayState:
    """Where one gateway listens.

    Attributes:
        url: where callers reach it over HTTP, e.g. ``http://127.0.0.1:8080``.
        grpc: the same address for gRPC.
        admin: Envoy's administration interface, on loopback.
        pid: of ``maas gateway``.
        owner: its tag (:mod:`maas_client.ownership`).
    """

    url: str
    grpc: str
    admin: str
    pid: int
    owner: str


def default_state_dir() -> Path:
    """Where the files of the gateway lie."""
    return build_dir() / "gateway"


def read_gateway_state(state_dir: Path) -> GatewayState:
    """The gateway that runs over this folder.

    Raises:
        NotReachable: where none does.
    """
    path = _path(state_dir)
    mend = "start `maas gateway`, or give its --state"
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotReachable(f"no gateway runs over {state_dir}", mend) from error
    if document.keys() != {entry.name for entry in fields(GatewayState)}:
        raise NotReachable(f"{path} is of another release of this program", "start the gateway again")
    state = GatewayState(**document)
    if owner_is_gone(state.owner):
        raise NotReachable(f"the gateway over {state_dir} (process {state.pid}) is gone", mend)
    return state


@contextmanager
def published(state_dir: Path, state: GatewayState) -> Iterator[None]:
    """Lets others find the gateway while the block runs."""
    write_atomic(_path(state_dir), json.dumps(asdict(state), indent=1) + "\n")
    try:
        yield
    finally:
        _path(state_dir).unlink(missing_ok=True)


def _path(state_dir: Path) -> Path:
    return state_dir / "gateway.json"
