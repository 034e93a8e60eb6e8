"""What machine this is, in words, to stand beside what was measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine_in_words() -> str:
    """Processor, cores and system."""
    return f"{processor()}, {cores()} cores, {platform.system()} {platform.machine()}"


def processor() -> str:
    """The kernel's name of the processor; ``platform`` knows only its family."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
