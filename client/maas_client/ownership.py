"""Tags in names that say which process something belongs to, so that what a killed process left can be told apart."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TAG = re.compile(r"(?P<pid>\d+)\.(?P<start_ticks>\d+)\.(?P<pid_namespace>\d+)")


def owner_tag() -> str:
    """The tag of this process: its id, when it started (clock ticks since boot), its process-id namespace."""
    pid = os.getpid()
    return f"{pid}.{_start_ticks(pid)}.{_pid_namespace()}"


def owner_is_gone(name: str) -> bool:
    """Whether ``name`` holds the tag of a process of this namespace that no longer runs; false without a tag."""
    tag = _TAG.search(name)
    if tag is None or tag["pid_namespace"] != str(_pid_namespace()):
        return False
    return _start_ticks(int(tag["pid"])) != int(tag["start_ticks"])


def _start_ticks(pid: int) -> int | None:
    """Field 22 of ``/proc/PID/stat`` (proc(5)); the name in field 2 may hold blanks and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(text.rpartition(")")[2].split()[19])


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
