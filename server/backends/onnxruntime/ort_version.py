"""``maas_version_info{model,version,digest} 1``: the metric by which a server proves which bytes it serves."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import triton_python_backend_utils as pb_utils


class VersionInfo:
    """The metric's line for one version of a model, shown for as long as an instance of that version serves.

    Args:
        model: the model's name.
        version: its version.
        folder: the version's folder, where ``manifest.json`` names the digest of the payload.
    """

    def __init__(self, model: str, version: str, folder: Path) -> None:
        self._family: pb_utils.MetricFamily | None = pb_utils.MetricFamily(
            name="maas_version_info",
            description="The versions that serve, with the digest of their payload",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        labels = {"model": model, "version": version, "digest": read_digest(folder)}
        self._metric: pb_utils.Metric | None = self._family.Metric(labels=labels)
        self._metric.set(1)

    def withdraw(self) -> None:
        """Removes the line, unless another instance of the same version serves on.

        All instances share one line. Triton shows it for as long as these objects live, and keeps it when the process
        ends without having deleted them.
        """
        if _other_instances():
            # Deleted at the interpreter's end they would be told to a server that listens no more, and segfault.
            for kept in (self._metric, self._family):
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        self._metric = None
        self._family = None


def read_digest(folder: Path) -> str:
    """The digest that the version's manifest names, or ``unknown`` if it has none."""
    try:
        digest = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("digest")
    except (OSError, ValueError, AttributeError):
        return "unknown"
    return digest if isinstance(digest, str) and digest else "unknown"


def _other_instances() -> bool:
    """Whether the same server has another process for the same version of the same model.

    Triton starts its stubs as ``triton_python_backend_stub MODEL_FILE REGION SIZE GROWTH SERVER_PID …``.
    """
    mine = _identity(Path("/proc/self"))
    others = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    own_pid = Path("/proc/self").readlink().name
    return any(_identity(entry) == mine for entry in others if entry.name != own_pid)


def _identity(process: Path) -> tuple[bytes, ...]:
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        # The process has ended meanwhile.
        return ()
    return (arguments[0], arguments[1], arguments[5]) if len(arguments) > 5 else ()
