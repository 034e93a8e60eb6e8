from __future__ import annotations

import os
from pathlib import Path

import pytest

from maas_core.config import config_of, dump_config, pin_version, pinned_version, read_config
from maas_core.errors import WrongUse
from maas_core.repository import versions_of
from maas_core.spec import ModelSpec, Objective, Serving, TensorSpec
from maas_core.view import build_view


def spec(name: str, max_batch_size: int = 4) -> ModelSpec:
    x = TensorSpec("x", "FP32", (1,), "a number")
    return ModelSpec(name, "test", "", "onnxruntime", (x,), (x,), Serving(max_batch_size), {}, Objective(10.0))


def add_version(repository: Path, name: str, version: int, content: str, max_batch_size: int = 4) -> None:
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_text(content)
    config = config_of(spec(name, max_batch_size))
    (folder / "config.pbtxt").write_text(dump_config(config))
    (repository / name / "config.pbtxt").write_text(dump_config(pin_version(config, 1)))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    add_version(folder, "a", 1, "a one")
    add_version(folder, "a", 2, "a two", max_batch_size=16)
    add_version(folder, "b", 1, "b one")
    (folder / "unpublished").mkdir()
    (folder / "unpublished" / "config.pbtxt").write_text(dump_config(config_of(spec("unpublished"))))
    return folder


def test_a_view_shows_the_newest_version_with_its_own_config(repository: Path, tmp_path: Path) -> None:
    view = tmp_path / "view"
    assert build_view(repository, view) == {"a": 2, "b": 1}
    assert [entry.version for entry in versions_of(view / "a")] == [2]
    assert (view / "a" / "2" / "model.onnx").read_text() == "a two"
    assert pinned_version(read_config(view / "a")) == 2
    assert read_config(view / "a").max_batch_size == 16


def test_a_view_names_the_digest_of_what_it_shows(repository: Path, tmp_path: Path) -> None:
    (repository / "a" / "2" / "manifest.json").write_text('{"digest": "ab12"}')
    view = tmp_path / "view"
    build_view(repository, view)
    assert read_config(view / "a").parameters["maas_digest"].string_value == "ab12"
    assert "maas_digest" not in read_config(view / "b").parameters


def test_a_chosen_version_replaces_the_newest_and_back(repository: Path, tmp_path: Path) -> None:
    view = tmp_path / "view"
    build_view(repository, view)
    assert build_view(repository, view, versions={"a": 1})["a"] == 1
    assert [entry.version for entry in versions_of(view / "a")] == [1]
    assert read_config(view / "a").max_batch_size == 4
    assert build_view(repository, view)["a"] == 2


def test_files_are_linked_and_folders_are_the_views_own(repository: Path, tmp_path: Path) -> None:
    view = tmp_path / "view"
    build_view(repository, view)
    assert (view / "b/1/model.onnx").samefile(repository / "b/1/model.onnx")
    before = (repository / "b/1").stat().st_mtime_ns
    os.utime(view / "b/1", (2_000_000_000, 2_000_000_000))
    assert (repository / "b/1").stat().st_mtime_ns == before


def test_a_second_build_touches_nothing(repository: Path, tmp_path: Path) -> None:
    """Any change in a model's root makes Triton load all its versions again."""
    view = tmp_path / "view"
    build_view(repository, view)
    before = {path: path.stat().st_mtime_ns for path in view.rglob("*")}
    build_view(repository, view)
    assert {path: path.stat().st_mtime_ns for path in view.rglob("*")} == before


def test_the_same_number_of_another_repository_is_another_version(repository: Path, tmp_path: Path) -> None:
    view, other = tmp_path / "view", tmp_path / "other"
    add_version(other, "b", 1, "b of the other repository")
    build_view(repository, view)
    build_view(other, view)
    assert (view / "b/1/model.onnx").read_text() == "b of the other repository"


def test_what_is_kept_stays_as_it_was_shown(repository: Path, tmp_path: Path) -> None:
    view = tmp_path / "view"
    build_view(repository, view, versions={"a": 1})
    (repository / "a" / "2" / "config.pbtxt").write_text("input {")
    assert build_view(repository, view, keep=["a"]) == {"b": 1}
    assert [entry.version for entry in versions_of(view / "a")] == [1]
    assert read_config(view / "a").max_batch_size == 4


def test_models_that_are_not_wanted_leave_the_view(repository: Path, tmp_path: Path) -> None:
    view = tmp_path / "view"
    build_view(repository, view)
    build_view(repository, view, models=["b"])
    assert [entry.name for entry in view.iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("models", "versions", "reason"),
    [
        (["c"], None, "c: no such model in .*; it has a, b, unpublished"),
        (None, {"a": 9}, "a has no version 9; it has 1, 2"),
        (["unpublished"], None, "unpublished has no published version"),
    ],
)
def test_what_is_not_published_cannot_be_shown(
    repository: Path, tmp_path: Path, models: list[str] | None, versions: dict[str, int] | None, reason: str
) -> None:
    with pytest.raises(WrongUse, match=reason):
        build_view(repository, tmp_path / "view", models, versions)


def test_a_repository_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no model repository at"):
        build_view(tmp_path / "nowhere", tmp_path / "view")


def test_only_folders_that_triton_takes_for_versions_count(repository: Path) -> None:
    for name in ("3.tmp", ".4", "05", "x", "99999999999999999999"):
        (repository / "a" / name).mkdir()
    assert [entry.version for entry in versions_of(repository / "a")] == [1, 2]
