"""Small bundles that a real server and the fake one both serve: y is x times a factor; an ensemble of two of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tests.server.serving import CONFIG, DOUBLE

from maas_core.golden import Sample, save_golden
from maas_core.manifest import (
    Manifest,
    ObjectiveEntry,
    ToleranceEntry,
    Verification,
    file_entries,
    payload_digest,
    write_manifest,
)

BROKEN = "\nimport no_such_package\n"
_CHAIN = """
platform: "ensemble"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }]
ensemble_scheduling { step [
  { model_name: "first" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "between" } },
  { model_name: "second" model_version: -1 input_map { key: "x" value: "between" } output_map { key: "y" value: "y" } }
] }
"""


def make_bundle(root: Path, model: str, factor: int, *, more: str = "", scheduling: str = "", answer: int = 0) -> Path:
    """A stamped bundle of a Python model.

    Args:
        more: further source, at the module's end.
        scheduling: in place of dynamic batching.
        answer: the factor that the golden samples know, where it is another.
    """
    bundle = root / f"{model}-{factor}{'-broken' if more else ''}"
    bundle.mkdir(parents=True)
    text = f'name: "{model}"\n{CONFIG.format(max_batch_size=8, instances=1)}'
    (bundle / "config.pbtxt").write_text(text.replace("dynamic_batching {}", scheduling or "dynamic_batching {}"))
    (bundle / "model.py").write_text(f"FACTOR = {factor}\n{DOUBLE}{more}")
    return _finish(bundle, model, answer or factor, {})


def make_ensemble(root: Path, first: Path, second: Path) -> list[Path]:
    """The bundles of an ensemble `chain` and of its two steps."""
    digests = {"first": digest_of(first), "second": digest_of(second)}
    factor = factor_of(first / "model.py") * factor_of(second / "model.py")
    bundle = root / f"chain-{factor}"
    bundle.mkdir()
    (bundle / "config.pbtxt").write_text(f'name: "chain"\n{_CHAIN}')
    return [first, second, _finish(bundle, "chain", factor, digests)]


def digest_of(bundle: Path) -> str:
    return Manifest.model_validate_json((bundle / "manifest.json").read_bytes()).digest


def factor_of(source: Path) -> int:
    return int(source.read_text().splitlines()[0].removeprefix("FACTOR = "))


def _finish(bundle: Path, model: str, factor: int, requires: Mapping[str, str]) -> Path:
    # The model sleeps for x[0] seconds.
    x = np.array([[0.0, 3.0]], dtype=np.float32)
    save_golden(bundle / "golden.npz", [Sample("three", {"x": x}, {"y": x * np.float32(factor)})])
    files = file_entries(bundle)
    digest, now = payload_digest(files), datetime.now(UTC).isoformat()
    stamp = Verification(
        passed=True, digest=digest, requires=dict(requires), rungs=(), verified_at=now, tool_version="test"
    )
    manifest = Manifest(
        model=model,
        format="ensemble" if requires else "python",
        digest=digest,
        files=files,
        key=digest,
        requires=tuple(requires),
        seed=0,
        versions={},
        tolerances={"FP32": ToleranceEntry(absolute=1e-6, relative=1e-6)},
        objective=ObjectiveEntry(p99_ms=100.0, error_rate=0.001),
        verification=stamp,
        created_at=now,
        tool_version="test",
    )
    write_manifest(bundle, manifest)
    return bundle
