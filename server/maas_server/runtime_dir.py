"""The folder that a server is started from: links only, and no blank in its path.

A blank ends the server's Python stubs (it starts them through ``bash -c`` without quotes), so the repository, the
backends and the Python environment are reached through links in a private folder under the temporary directory. The
stub of the running Python must lie beside the Python backend, which the wheel does not do.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from maas_client.ownership import owner_tag
from maas_server import stub_guard
from maas_server.binary import STUB_NAME, TritonBinary
from maas_server.errors import UnusableEnvironment

PREFIX = "maas-serve-"
_UTILITIES = "triton_python_backend_utils.py"
_GUARD_MODULE = "maas_stub_guard"
_GUARD = f"\n\nimport {_GUARD_MODULE}\n\n{_GUARD_MODULE}.watch()\n"


@dataclass(frozen=True)
class RuntimeDir:
    """Paths without blanks, made by :func:`make_runtime_dir`.

    Attributes:
        path: the folder itself, mode 0700.
        repository: link to the model repository.
        backends: the server's backends and ours.
        caches: link to the response caches; ``None`` where there are none.
        environment: link to the Python environment whose packages the models import.
        libraries: links to what must stand on ``LD_LIBRARY_PATH``: a stub with an environment of its own is started by
            a line in which that stands without quotes.
    """

    path: Path
    repository: Path
    backends: Path
    caches: Path | None
    environment: Path
    libraries: tuple[Path, ...]

    def remove(self) -> None:
        """Removes the folder; what it links to stays."""
        shutil.rmtree(self.path, ignore_errors=True)


def make_runtime_dir(binary: TritonBinary, repository: Path, extra_backends: Iterable[Path]) -> RuntimeDir:
    """Assembles a runtime folder.

    Args:
        binary: the server that will run.
        repository: the model repository to serve.
        extra_backends: folders of backends, one sub-folder each; a backend that the server has itself is kept.
    """
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{owner_tag()}-", dir=_parent_without_blank()))
    backends = root / "backends"
    backends.mkdir()
    _link_backends(binary.backends, backends)
    for folder in extra_backends:
        _link_backends(folder.resolve(), backends)
    if binary.stub is not None:
        _add_stub(backends / "python", binary.backends / "python", binary.stub)
    (root / "repository").symlink_to(repository.resolve(), target_is_directory=True)
    (root / "environment").symlink_to(sys.prefix, target_is_directory=True)
    caches = root / "caches" if binary.caches is not None else None
    if caches is not None and binary.caches is not None:
        caches.symlink_to(binary.caches, target_is_directory=True)
    libraries = _link_libraries(binary.library_path, root / "libraries")
    return RuntimeDir(root, root / "repository", backends, caches, root / "environment", libraries)


def _parent_without_blank() -> Path:
    candidates = [tempfile.gettempdir(), "/tmp", "/var/tmp"]  # noqa: S108  # only the parent of a mkdtemp
    for name in candidates:
        if not any(character.isspace() for character in name) and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    raise UnusableEnvironment(
        f"none of {', '.join(candidates)} is a writable folder without a blank in its path", "set TMPDIR to one"
    )


def _link_libraries(folders: Iterable[Path], target: Path) -> tuple[Path, ...]:
    target.mkdir()
    links = []
    for number, folder in enumerate(folders):
        links.append(target / str(number))
        links[-1].symlink_to(folder, target_is_directory=True)
    return tuple(links)


def _link_backends(source: Path, target: Path) -> None:
    for backend in sorted(source.iterdir()):
        link = target / backend.name
        if backend.is_dir() and not link.exists():
            link.symlink_to(backend, target_is_directory=True)


def _add_stub(backend: Path, original: Path, stub: Path) -> None:
    """Makes ``backend`` a real folder of links, the stub among them.

    A link and not a copy: the stub finds its libraries relative to its own place.
    """
    backend.unlink()
    backend.mkdir()
    for entry in sorted(original.iterdir()):
        if entry.suffix == ".so":
            # The server refuses a backend library whose real path lies outside the backend's folder.
            shutil.copy2(entry, backend / entry.name)
        elif entry.name == _UTILITIES:
            # Every stub imports it before the model.
            (backend / entry.name).write_text(entry.read_text(encoding="utf-8") + _GUARD, encoding="utf-8")
        elif entry.name != "__pycache__":
            (backend / entry.name).symlink_to(entry)
    (backend / STUB_NAME).symlink_to(stub)
    (backend / f"{_GUARD_MODULE}.py").symlink_to(stub_guard.__file__)
