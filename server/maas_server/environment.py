"""What this machine and this Python must have before the wheel's server can run a Python model."""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import find_libpython

from maas_server.errors import UnusableEnvironment

OLDEST_GLIBC = (2, 35)
"""The wheel is tagged manylinux_2_35."""
NUMPY_PIN = "numpy==1.26.4"


def python_name() -> str:
    """``python3.11`` and the like."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def glibc_version() -> tuple[int, int] | None:
    """The C library's version; ``None`` where it is another one (musl)."""
    words = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    if len(words) != 2:
        return None
    major, minor = words[1].split(".")[:2]
    return int(major), int(minor)


def check_glibc() -> None:
    """Refuses a C library that the server's binary was not linked for.

    Raises:
        UnusableEnvironment: where it is older than 2.35, or not glibc.
    """
    found = glibc_version()
    if found is None or found < OLDEST_GLIBC:
        has = "another C library" if found is None else f"glibc {found[0]}.{found[1]}"
        raise UnusableEnvironment(
            f"the embedded server needs glibc {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or newer and this system has {has}",
            "use Debian 12, Ubuntu 22.04 or newer, or NVIDIA's container with --tritonserver",
        )


def check_numpy() -> None:
    """Refuses a numpy with which the server's Python stubs give wrong answers.

    Under numpy 2 a BYTES input kills the stub and FP32 outputs come back empty.

    Raises:
        UnusableEnvironment: where numpy is missing or its major version is 2 or more.
    """
    mend = f"pip install '{NUMPY_PIN}' into {sys.prefix}"
    try:
        found = version("numpy")
    except PackageNotFoundError as error:
        raise UnusableEnvironment("the embedded server's Python models need numpy and it is missing", mend) from error
    if int(found.split(".")[0]) >= 2:
        raise UnusableEnvironment(f"the embedded server's Python models need numpy < 2 and numpy is {found}", mend)


def libpython_dir() -> Path:
    """The folder of ``libpython3.X.so.1.0``, which the stub is linked with.

    Raises:
        UnusableEnvironment: where this Python has no shared library.
    """
    soname = f"lib{python_name()}.so.1.0"
    configured = Path(sysconfig.get_config_var("LIBDIR") or "") / soname
    if configured.is_file():
        return configured.parent
    found = find_libpython.find_libpython()
    if found is not None and Path(found).name.startswith(f"lib{python_name()}.so"):
        return Path(found).parent
    raise UnusableEnvironment(
        f"the embedded server's Python models need {soname} and this Python ({sys.base_prefix}) has none",
        f"on Debian and Ubuntu: apt-get install lib{python_name()}; a Python built from source needs --enable-shared",
    )
