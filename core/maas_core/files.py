"""Writing files so that a reader, or a crash, never sees half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from pathlib import Path


def fsync_dir(folder: Path) -> None:
    """Makes a rename or a new entry in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Writes ``content`` beside ``path``, syncs it, and moves it into place."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    # Not mkstemp: the file shall have the rights that the umask leaves.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def sync_tree(folder: Path) -> None:
    """Syncs every file and folder under ``folder``."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            fsync_dir(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    fsync_dir(folder)


def newest_change_ns(folder: Path) -> int:
    """The latest modification time of a folder and of all that is in it, nanoseconds; 0 where there is none."""
    paths = [folder, *folder.rglob("*")] if folder.is_dir() else []
    return max((path.stat(follow_symlinks=False).st_mtime_ns for path in paths), default=0)


def make_newer(folder: Path, than_ns: int) -> None:
    """Gives a folder and all that is in it one modification time: now, or just after ``than_ns`` where that is later.

    Triton takes for unchanged what is not strictly newer, so a clock that was set back must not make a new version old.
    """
    newer = max(time.time_ns(), than_ns + 1)
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, ns=(newer, newer))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_tree(source: Path, target: Path) -> None:
    """Makes ``target`` a folder of its own whose files are hard links to those of ``source``; it appears whole or not.

    Where the two lie on different file systems the files are symbolic links.
    """
    staging = target.parent / f".{target.name}.part"
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(source, staging, copy_function=_link)
    staging.rename(target)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        Path(target).symlink_to(Path(source).absolute())
