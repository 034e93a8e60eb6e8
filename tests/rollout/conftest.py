from __future__ import annotations

from pathlib import Path

import pytest
from tests.rollout.bundles import make_bundle
from tests.rollout.fake_triton import FakeWorld

from maas_rollout.publish import publish


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path / "build"))
    return tmp_path / "build"


@pytest.fixture
def repository(tmp_path: Path, build: Path) -> Path:
    """`double` is published at version 1, with the factor 2."""
    folder = tmp_path / "models"
    publish(make_bundle(tmp_path / "bundles", "double", 2), folder)
    return folder


@pytest.fixture
def world(tmp_path: Path, repository: Path) -> FakeWorld:
    """The fake world, with `double` 1 served."""
    world = FakeWorld(tmp_path / "world", repository)
    assert world.stable.ready_versions() == {"double": [1]}
    return world
