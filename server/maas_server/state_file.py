"""What a running ``maas serve`` writes down, so that other commands find it: state, token, lock.

All lie in ``build/state/serve/``: ``VIEW.json``, ``VIEW.token`` (mode 0600), ``VIEW.lock``.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from maas_client.ownership import owner_is_gone
from maas_core.files import write_atomic
from maas_core.layout import build_dir
from maas_server.errors import AlreadyServed


@dataclass
class ServeState:
    """What one supervisor serves.

    Attributes:
        owner: the supervisor's tag (:mod:`maas_client.ownership`).
        phase: starting, serving, restarting or draining.
        started_at: when the supervisor started, ISO 8601.
        triton_since: when the present ``tritonserver`` started, ISO 8601.
        http: ``http://HOST:PORT``; ``grpc``, ``metrics`` likewise.
        models: the versions that are ready, by model.
        since: when these versions became ready, ISO 8601, by model.
        failed: why a model that should serve does not, by model.
        restarts: times that ``tritonserver`` was restarted.
        reloads: times that a model was loaded anew, by model.
        stub_deaths: stubs that died or were stopped, by model.
    """

    view: str
    repository: str
    owner: str
    pid: int
    started_at: str
    http: str = ""
    grpc: str = ""
    metrics: str = ""
    log: str = ""
    phase: str = "starting"
    triton_pid: int = 0
    triton_since: str = ""
    models: dict[str, list[int]] = field(default_factory=dict)
    since: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    restarts: int = 0
    reloads: dict[str, int] = field(default_factory=dict)
    stub_deaths: dict[str, int] = field(default_factory=dict)

    @property
    def is_stale(self) -> bool:
        """Whether the supervisor that wrote it is gone without having removed it."""
        return owner_is_gone(self.owner)


class StateFile:
    """The state of one view; written only when it changed."""

    def __init__(self, view: str) -> None:
        self.path = state_dir() / f"{view}.json"
        self._written = ""

    def write(self, state: ServeState) -> None:
        """Writes ``state`` where it differs from what was written last."""
        text = json.dumps(asdict(state), indent=1)
        if text != self._written:
            write_atomic(self.path, text + "\n")
            self._written = text

    def remove(self) -> None:
        """Nothing serves this view any more."""
        self.path.unlink(missing_ok=True)


def state_dir() -> Path:
    """Where the files of running supervisors lie."""
    return build_dir() / "state" / "serve"


def token_path(view: str) -> Path:
    """The file with the token that opens the restricted APIs of the server of ``view``."""
    return state_dir() / f"{view}.token"


def read_states() -> list[ServeState]:
    """The state of every supervisor that wrote one, also of those that are gone.

    One with other fields is of another release of this program, and not told.
    """
    found = []
    for path in sorted(state_dir().glob("*.json")):
        # One that stops at this moment takes its file away.
        with suppress(FileNotFoundError):
            found.append(json.loads(path.read_bytes()))
    names = {entry.name for entry in fields(ServeState)}
    return [ServeState(**state) for state in found if state.keys() == names]


def make_token(view: str) -> str:
    """Makes a new token and writes it into its file, mode 0600 from the first moment on."""
    token = secrets.token_urlsafe(32)
    path = token_path(view)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token


def read_token(view: str) -> str | None:
    """The token of the server of ``view``; ``None`` where there is none or it is not ours to read."""
    try:
        return token_path(view).read_text(encoding="ascii").strip()
    except (FileNotFoundError, PermissionError):
        return None


@contextmanager
def only_server_of(view: str) -> Iterator[None]:
    """Holds the view: two supervisors of one view would rewrite it under each other.

    Raises:
        AlreadyServed: where another one holds it.
    """
    path = state_dir() / f"{view}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyServed(
                f"the view {view!r} is being served already", "stop that server, or give another --view"
            ) from error
        yield
