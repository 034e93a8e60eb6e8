"""Which server answers whom: the routing that the gateway serves, as data. Reading and writing it needs no Envoy.

A routing is written whole, under a lock, and gets a revision number. The files that Envoy watches are a function of
it, and are moved into place, so that Envoy never sees half of one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from maas_core.errors import NotHeld, NotReachable, WrongUse, first_problem
from maas_core.files import write_atomic
from maas_core.names import check_model_name
from maas_gateway import xds_files
from maas_gateway.envoy_admin import EnvoyAdmin, Kind
from maas_gateway.state import read_gateway_state

_TAKEN_OVER_WITHIN_S = 5.0
Percent = Annotated[int, Field(ge=0, le=100)]


def _address(text: str) -> str:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port or parts.path or parts.query or parts.username:
        raise ValueError(f"wanted HOST:PORT, got {text!r}")
    return text


Address = Annotated[str, AfterValidator(_address)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Upstream(_Strict):
    """One Triton server.

    Attributes:
        http: ``HOST:PORT`` of its HTTP endpoint.
        grpc: ``HOST:PORT`` of its gRPC endpoint.
    """

    http: Address
    grpc: Address


class Split(_Strict):
    """How the callers of one model are divided.

    Attributes:
        candidate_percent: share of the callers, in percent, whom the candidate answers. Growing it moves callers to
            the candidate and never one back.
        mirror_percent: share of the requests, in percent, that are also asked of both servers to compare the answers.
        candidate_version: the version that the candidate has. Who asks for it by number gets it from the candidate
            while the split takes part; who asks for another one gets it from the stable server, whatever the share.
    """

    candidate_percent: Percent = 0
    mirror_percent: Percent = 0
    candidate_version: Annotated[int, Field(ge=1)] | None = None

    @property
    def takes_part(self) -> bool:
        """Whether anything of it goes to the candidate."""
        return bool(self.candidate_percent or self.mirror_percent)


class Routing(_Strict):
    """What the gateway serves.

    Attributes:
        stable: the server for everybody who is not sent to the candidate.
        candidate: the server with a new version; ``None`` where nothing is being released.
        splits: by the model's name as people call it; a model that is not named here is all stable.
    """

    stable: Upstream
    candidate: Upstream | None = None
    splits: dict[str, Split] = {}

    @model_validator(mode="after")
    def _candidate_is_there(self) -> Routing:
        for model, split in self.splits.items():
            check_model_name(model)
            if self.candidate is None and split.takes_part:
                raise ValueError(f"{model!r} sends requests to a candidate, but there is none")
        return self


def read_routing(state_dir: Path) -> Routing:
    """The routing that was written last.

    Raises:
        WrongUse: where there is none, or the file is not one of ours.
    """
    return _read(state_dir)[1]


def read_revision(state_dir: Path) -> int:
    """The revision of the routing that was written last; 0 where there is none."""
    return _read(state_dir)[0] if _path(state_dir).exists() else 0


def write_routing(state_dir: Path, routing: Routing) -> int:
    """Makes ``routing`` the one that the gateway serves, now or when it starts.

    Writing the same again changes nothing.

    Returns:
        Its revision number, for :func:`wait_applied`.
    """
    with _lock(state_dir):
        return _write(state_dir, routing)


def update_routing(state_dir: Path, change: Callable[[Routing], Routing]) -> int:
    """Reads, changes and writes under one lock, so that two who change different models do not undo each other.

    Returns:
        The revision number of what is now served.
    """
    with _lock(state_dir):
        return _write(state_dir, change(read_routing(state_dir)))


def wait_applied(state_dir: Path, revision: int, timeout_s: float = 5.0) -> None:
    """Returns when Envoy serves that revision or a later one.

    Raises:
        NotReachable: the gateway does not run, or does not serve the revision within ``timeout_s``.
        NotHeld: Envoy refuses the routing.
    """
    EnvoyAdmin(read_gateway_state(state_dir).admin).wait_revision(revision, timeout_s)


def _read(state_dir: Path) -> tuple[int, Routing]:
    path = _path(state_dir)
    try:
        document = json.loads(path.read_bytes())
        return int(document["revision"]), Routing.model_validate(document["routing"])
    except FileNotFoundError as error:
        raise WrongUse(f"there is no routing in {state_dir}", "start `maas gateway`, or give its --state") from error
    except (json.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
        raise WrongUse(f"{path} is not a routing", "remove it; `maas gateway` writes a new one") from error


def _write(state_dir: Path, routing: Routing) -> int:
    path = _path(state_dir)
    revision, present = _read(state_dir) if path.exists() else (0, None)
    _check(routing)
    if routing != present:
        revision += 1
        document = {"revision": revision, "routing": routing.model_dump()}
        write_atomic(path, json.dumps(document, indent=1) + "\n")
    # Also where nothing changed: whoever wrote it may have been killed before the files of Envoy followed.
    xds_files.write(state_dir, routing, revision, lambda kind: _wait_taken_over(state_dir, revision, kind))
    return revision


def _wait_taken_over(state_dir: Path, revision: int, kind: Kind) -> None:
    """Waits a while for Envoy, where it runs; what is written counts also without it."""
    with contextlib.suppress(NotReachable, NotHeld):
        EnvoyAdmin(read_gateway_state(state_dir).admin).wait_revision(revision, _TAKEN_OVER_WITHIN_S, (kind,))


def _check(routing: Routing) -> None:
    """A routing made with ``model_copy`` was not checked when it was made."""
    try:
        Routing.model_validate(routing.model_dump())
    except ValidationError as error:
        raise WrongUse(f"this cannot be routed: {first_problem(error, '')}") from error


@contextmanager
def _lock(state_dir: Path) -> Iterator[None]:
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "routing.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _path(state_dir: Path) -> Path:
    return state_dir / "routing.json"
