"""Whether a TensorRT engine fits the machine that is to serve it: asked before a server starts, not found out by it.

Source: NVIDIA's TensorRT documentation, "Engine portability": a plan needs the TensorRT that built it, the operating
system that it was built on, and a GPU of the same compute capability.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from maas_core.errors import NotHeld
from maas_core.manifest import MANIFEST_FILE, EngineEntry, Manifest, read_manifest

_PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
_ANSWER_S = 20


@dataclass(frozen=True)
class EngineHost:
    """What a machine has for engines; ``None`` for what is not there.

    Attributes:
        tensorrt: the version that loads the engine.
        compute_capability: of its GPUs, e.g. ``9.0``; ``None`` without one, or where they differ.
        os: system and processor family, e.g. ``Linux x86_64``.
    """

    tensorrt: str | None
    compute_capability: str | None
    os: str


def operating_system() -> str:
    """System and processor family."""
    return f"{platform.system()} {platform.machine()}"


def this_host() -> EngineHost:
    """This machine, with the TensorRT of this Python: in NVIDIA's containers Triton's own."""
    return EngineHost(_tensorrt_version(), compute_capability(), operating_system())


def compute_capability() -> str | None:
    """Of this machine's GPUs, as the driver tells it; ``None`` without one, or where they differ."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "--query-gpu=compute_cap", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = {line.strip() for line in answer.stdout.splitlines() if line.strip()}
    return found.pop() if len(found) == 1 else None


def mismatches(engine: EngineEntry, host: EngineHost) -> list[str]:
    """Why ``host`` cannot run ``engine``, a few words each; empty where it can."""
    compared = (
        ("TensorRT", engine.tensorrt, host.tensorrt),
        ("compute capability", engine.compute_capability, host.compute_capability),
        ("operating system", engine.os, host.os),
    )
    return [f"{what} is {found or 'missing'}, wanted {wanted}" for what, wanted, found in compared if wanted != found]


def check_engine(manifest: Manifest, host: EngineHost) -> None:
    """Passes where ``manifest`` holds no engine, or one that fits.

    Raises:
        NotHeld: naming all that differs.
    """
    problems = mismatches(manifest.engine, host) if manifest.engine is not None else []
    if problems:
        raise NotHeld(
            f"the engine of {manifest.model} does not fit this machine ({'; '.join(problems)})",
            f"build it here: `maas export {manifest.model} --format tensorrt`, or serve the format onnx-tensorrt",
        )


def version_problem(version_dir: Path) -> str | None:
    """Why this machine cannot run the engine of a version folder; ``None`` where it can, or there is no engine."""
    if not (version_dir / MANIFEST_FILE).is_file():
        return None
    try:
        manifest = read_manifest(version_dir)
    except NotHeld:
        # Whether a manifest is whole is asked elsewhere; Triton itself says why a damaged engine does not load.
        return None
    if manifest.engine is None:
        return None
    try:
        check_engine(manifest, this_host())
    except NotHeld as error:
        return error.message
    return None


def _tensorrt_version() -> str | None:
    for package in _PACKAGES:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None
