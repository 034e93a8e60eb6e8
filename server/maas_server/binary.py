"""Finding a ``tritonserver``: the one that is named, the one on ``PATH`` (NVIDIA's container), the wheel's."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from maas_server.environment import check_glibc, check_numpy, libpython_dir
from maas_server.errors import TritonNotFound, UnusableEnvironment

WHEEL = "nvidia-pytriton==0.7.0"
STUB_NAME = "triton_python_backend_stub"


@dataclass(frozen=True)
class TritonBinary:
    """A ``tritonserver`` and what it needs beside it.

    Attributes:
        path: the executable.
        backends: its own backends, one folder each.
        caches: its response caches; ``None`` where it has none.
        library_path: what must stand on ``LD_LIBRARY_PATH``; empty for an installation that finds its own libraries.
        stub: the Python stub to put into ``backends/python``; ``None`` where the installation has its own there.
        origin: where it was found, in words.
    """

    path: Path
    backends: Path
    caches: Path | None
    library_path: tuple[Path, ...]
    stub: Path | None
    origin: str


def find_binary(given: Path | None = None) -> TritonBinary:
    """The server to run: ``given``, else ``tritonserver`` on ``PATH``, else the one in the wheel.

    Raises:
        TritonNotFound: where there is none.
        UnusableEnvironment: where the wheel's cannot run with this Python or on this machine.
    """
    if given is not None:
        executable = shutil.which(given)
        if executable is None:
            raise TritonNotFound(f"{given} is not an executable file", "give the path of a tritonserver")
        return _installed(Path(executable), "given with --tritonserver")
    on_path = shutil.which("tritonserver")
    if on_path is not None:
        return _installed(Path(on_path), "found on PATH")
    return _wheel()


def wheel_dir() -> Path | None:
    """The folder ``pytriton/tritonserver`` of the wheel; ``None`` where it is not installed.

    The package is located, never imported: importing it pulls in an old client.
    """
    spec = importlib.util.find_spec("pytriton")
    folders = spec.submodule_search_locations if spec is not None else None
    folder = Path(next(iter(folders))) / "tritonserver" if folders else None
    return folder if folder is not None and (folder / "bin" / "tritonserver").is_file() else None


def backends_dir() -> Path:
    """Our own Python-based backends: beside the package in a checkout, inside it in an installed wheel.

    Raises:
        UnusableEnvironment: where the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "backends", package.parent / "backends"):
        if folder.is_dir():
            return folder
    raise UnusableEnvironment(
        f"the serving backends are missing beside {package}", "install it again: pip install 'triton-maas[server]'"
    )


def _installed(executable: Path, origin: str) -> TritonBinary:
    root = executable.resolve().parent.parent
    if root == (wheel_dir() or Path()).resolve():
        return _wheel()
    caches = root / "caches"
    return TritonBinary(executable, root / "backends", caches if caches.is_dir() else None, (), None, origin)


def _wheel() -> TritonBinary:
    root = wheel_dir()
    if root is None:
        raise TritonNotFound(
            "there is no tritonserver on this machine",
            f"pip install --no-deps {WHEEL} (Linux, x86-64, glibc 2.35 or newer)",
        )
    check_glibc()
    check_numpy()
    stub = root / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / STUB_NAME
    if not stub.is_file():
        has = ", ".join(sorted((entry.name for entry in stub.parent.parent.iterdir()), key=_minor))
        raise UnusableEnvironment(
            f"the embedded server has no stub for Python {stub.parent.name}", f"use one of Python {has}"
        )
    libraries = root.parent.parent / "nvidia_pytriton.libs"
    return TritonBinary(
        path=root / "bin" / "tritonserver",
        backends=root / "backends",
        caches=root / "caches",
        library_path=(libraries, libpython_dir()),
        stub=stub,
        origin=f"the wheel {WHEEL}",
    )


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
