from __future__ import annotations

from pathlib import Path

import pytest

from maas_core.engines import EngineHost, check_engine, this_host, version_problem
from maas_core.errors import NotHeld
from maas_core.manifest import EngineEntry, Manifest, ObjectiveEntry, ShapeRange, write_manifest

BUILT = EngineEntry(
    tensorrt="10.9.0.34",
    compute_capability="9.0",
    os="Linux x86_64",
    profile={"image": ShapeRange(min=(1, 4), opt=(2, 4), max=(8, 4))},
)


def manifest(engine: EngineEntry | None) -> Manifest:
    return Manifest(
        model="digits_cnn",
        format="tensorrt" if engine else "onnx",
        digest="",
        files={},
        key="",
        seed=0,
        versions={},
        tolerances={},
        objective=ObjectiveEntry(p99_ms=20.0, error_rate=0.001),
        engine=engine,
        created_at="",
        tool_version="",
    )


def refusal(of: Manifest, host: EngineHost) -> str | None:
    try:
        check_engine(of, host)
    except NotHeld as error:
        return error.message
    return None


def test_an_engine_runs_where_it_was_built_and_what_holds_none_runs_anywhere() -> None:
    here, bare = EngineHost("10.9.0.34", "9.0", "Linux x86_64"), EngineHost(None, None, "Linux x86_64")
    assert refusal(manifest(BUILT), here) is None
    assert refusal(manifest(None), bare) is None
    assert refusal(manifest(BUILT), bare) is not None


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (EngineHost("10.8.0.43", "9.0", "Linux x86_64"), "TensorRT is 10.8.0.43, wanted 10.9.0.34"),
        (EngineHost("10.9.0.34", "8.6", "Linux x86_64"), "compute capability is 8.6, wanted 9.0"),
        (EngineHost("10.9.0.34", "9.0", "Linux aarch64"), "operating system is Linux aarch64, wanted Linux x86_64"),
        (
            EngineHost(None, None, "Linux x86_64"),
            "TensorRT is missing, wanted 10.9.0.34; compute capability is missing",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_all_that_differs(host: EngineHost, words: str) -> None:
    with pytest.raises(NotHeld, match=words) as told:
        check_engine(manifest(BUILT), host)
    assert "maas export digits_cnn --format tensorrt" in told.value.message


def test_a_version_whose_engine_is_of_another_machine_is_told(tmp_path: Path) -> None:
    assert version_problem(tmp_path) is None
    write_manifest(tmp_path, manifest(None))
    assert version_problem(tmp_path) is None
    write_manifest(tmp_path, manifest(BUILT))
    told = version_problem(tmp_path)
    assert told is not None
    assert "the engine of digits_cnn does not fit this machine" in told


def test_this_machine_says_what_it_has() -> None:
    assert this_host().os.startswith("Linux ")
