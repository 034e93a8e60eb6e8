"""What machine this is, in words, to stand beside what was measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_INT8_FLAGS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine_in_words() -> str:
    """Processor, cores and system."""
    return f"{processor()}, {cores()} cores, {platform.system()} {platform.machine()}"


def int8_instructions() -> tuple[str, ...]:
    """What the processor has for products of 8-bit numbers, by the kernel's names; without any, int8 is rarely fast."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ()
    flags = {word for line in text.splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    return tuple(name for name in _INT8_FLAGS if name in flags)


def processor() -> str:
    """The kernel's name of the processor; ``platform`` knows only its family."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
