"""Looking at this machine: is there what serving needs, and does it fit the set that is tested?"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil

from maas_core.errors import MaasError
from maas_core.ports import LOOPBACK
from maas_server.binary import find_binary
from maas_server.environment import check_glibc, check_numpy, glibc_version, libpython_dir
from maas_server.guard import SHARED_MEMORY

Verdict = Literal["ok", "warning", "missing"]
"""``missing``: something that serving needs. ``warning``: it works, but not as well, or not as tested."""

_PYTHONS = ((3, 11), (3, 13))
_SHM_NEEDED_BYTES = 64 * 2**20
_SHM_ADVISED_BYTES = 256 * 2**20
_MEMORY_ADVISED_BYTES = 2 * 2**30
_DEFAULT_PORTS = (8000, 8001, 8002)
LOCK_FILE = "requirements.lock"
_COMPARED = ("numpy", "onnx", "onnxruntime", "protobuf", "tritonclient", "grpcio", "nvidia-pytriton", "psutil")
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[^\s;#]+)", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name.
        verdict: see :data:`Verdict`.
        found: what there is.
        mend: what to do, where something is to be done.
    """

    what: str
    verdict: Verdict
    found: str
    mend: str = ""


def examine(tritonserver: Path | None = None, lock: Path | None = None) -> list[Finding]:
    """Looks at everything.

    Args:
        tritonserver: the server that is to run; by default the one that would be found.
        lock: the tested set; by default ``requirements.lock`` of the checkout, where there is one.
    """
    return [
        _python(),
        _machine(),
        _needed("glibc", check_glibc, lambda: ".".join(map(str, glibc_version() or ()))),
        _needed("libpython", libpython_dir, lambda: str(libpython_dir())),
        _needed("numpy", check_numpy, lambda: version("numpy")),
        _needed("tritonserver", lambda: find_binary(tritonserver), lambda: find_binary(tritonserver).origin),
        _shared_memory(),
        _temporary_folder(),
        _cores(),
        _memory(),
        _gpu(),
        *map(_port, _DEFAULT_PORTS),
        *_versions(lock or _lock_of_checkout()),
    ]


def _needed(what: str, check: Callable[[], object], describe: Callable[[], str]) -> Finding:
    try:
        check()
    except MaasError as error:
        return Finding(what, "missing", error.message.removesuffix(f"; {error.mend}"), error.mend)
    return Finding(what, "ok", describe())


def _python() -> Finding:
    found = platform.python_version()
    if _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]:
        return Finding("Python", "ok", found)
    return Finding("Python", "missing", found, "use Python 3.11 (tested), 3.12 or 3.13")


def _machine() -> Finding:
    found = f"{platform.system()} {platform.machine()}"
    if found == "Linux x86_64":
        return Finding("machine", "ok", found)
    return Finding(
        "machine", "missing", found, "the embedded server runs on Linux x86_64; elsewhere use NVIDIA's container"
    )


def _shared_memory() -> Finding:
    try:
        total = shutil.disk_usage(SHARED_MEMORY).total
    except FileNotFoundError:
        return Finding(str(SHARED_MEMORY), "missing", "it is not mounted", "mount a tmpfs on /dev/shm")
    mend = "give it more: docker run --shm-size=1g, or mount -o remount,size=1g /dev/shm"
    if total < _SHM_NEEDED_BYTES:
        return Finding(str(SHARED_MEMORY), "missing", _size(total), mend)
    if total < _SHM_ADVISED_BYTES:
        return Finding(
            str(SHARED_MEMORY), "warning", f"{_size(total)}: little for large tensors or many instances", mend
        )
    return Finding(str(SHARED_MEMORY), "ok", _size(total))


def _temporary_folder() -> Finding:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    return Finding("temporary folder", "ok", f"{folder}, {_size(free)} free")


def _cores() -> Finding:
    usable = len(os.sched_getaffinity(0))
    return Finding("cores", "ok", f"{usable} usable of {os.cpu_count()}")


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    if available < _MEMORY_ADVISED_BYTES:
        return Finding(
            "memory", "warning", f"{_size(available)} available", "each instance of a model needs about 150 MB"
        )
    return Finding("memory", "ok", f"{_size(available)} available")


def _gpu() -> Finding:
    devices = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    if not devices:
        return Finding("GPU", "ok", "none; models run on the CPU")
    return Finding(
        "GPU",
        "warning",
        f"{', '.join(devices)}; not tested with the embedded server",
        "serve on NVIDIA's container to use it",
    )


def _port(port: int) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, port))
        except OSError as error:
            mend = "a server may be running already (`maas status`); else give other ports to `maas serve`"
            return Finding(f"port {port}", "warning", str(error.strerror), mend)
    return Finding(f"port {port}", "ok", "free")


def _lock_of_checkout() -> Path:
    return Path(__file__).resolve().parents[2] / LOCK_FILE


def _versions(lock: Path) -> Iterator[Finding]:
    if not lock.is_file():
        yield Finding("tested versions", "ok", f"there is no {LOCK_FILE} to compare with")
        return
    pinned = {_normal(match["name"]): match["version"] for match in _PIN.finditer(lock.read_text(encoding="utf-8"))}
    for name in _COMPARED:
        wanted = pinned.get(_normal(name))
        if wanted is None:
            continue
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "warning", "not installed", f"pip install --no-deps {name}=={wanted}")
            continue
        same = found == wanted
        mend = "" if same else f"pip install --no-deps {name}=={wanted}"
        yield Finding(name, "ok" if same else "warning", found if same else f"{found}; {wanted} is tested", mend)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"
