"""docker/triton/serve.sh, with the real embedded tritonserver instead of the container's."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docker_servers import DOCKER, Running, fetch, serve_script, wait_ready

Predict = Callable[[str], list[dict[str, Any]]]


def linked_copy(repository: Path, target: Path) -> Path:
    shutil.copytree(repository, target, copy_function=os.link)
    return target


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_repository_itself_is_served(container_server: Running, predict: Predict, protocol: str) -> None:
    answers = predict(getattr(container_server, protocol))

    assert {answer["version"] for answer in answers} == {1}
    assert all(answer["label"] == Path(answer["input"]).name[0] for answer in answers)


def test_hidden_folders_and_models_without_a_version_are_no_models(
    journey: Any, tmp_path: Path, predict: Predict
) -> None:
    repository = linked_copy(journey.repository, tmp_path / "repository")
    (repository / ".staging").mkdir()
    (repository / "unpublished").mkdir()
    shutil.copy(repository / "digits_cnn" / "config.pbtxt", repository / "unpublished")

    with serve_script(repository, tmp_path) as (process, running, log):
        wait_ready(process, running, log)
        answers = predict(running.grpc)

    assert [answer["model"] for answer in answers] == ["digits", "digits"]


def test_named_models_alone_are_served(journey: Any, tmp_path: Path) -> None:
    with serve_script(journey.repository, tmp_path, MODELS="digits_cnn digits_postprocess") as (process, running, log):
        wait_ready(process, running, log)
        fetch(f"{running.http}/v2/models/digits_cnn/ready")
        with pytest.raises(urllib.error.HTTPError):
            fetch(f"{running.http}/v2/models/digits_preprocess/ready")


def test_nobody_may_load_or_unload(container_server: Running) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(f"{container_server.http}/v2/repository/models/digits_cnn/unload", data=b"{}")

    assert refused.value.code == 403
    fetch(f"{container_server.http}/v2/models/digits_cnn/ready")


def test_a_model_that_does_not_load_ends_the_container(journey: Any, tmp_path: Path) -> None:
    repository = linked_copy(journey.repository, tmp_path / "repository")
    model = repository / "digits_cnn" / "1" / "model.onnx"
    model.unlink()
    model.write_bytes(b"no model")

    with serve_script(repository, tmp_path) as (process, _, log):
        assert process.wait(100) != 0
        assert "digits_cnn" in log.read_text(errors="replace")


def test_an_empty_repository_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "digits_cnn").mkdir()
    (tmp_path / "digits_cnn" / "config.pbtxt").touch()

    done = subprocess.run(
        [DOCKER / "triton" / "serve.sh"],
        env={"PATH": os.environ["PATH"], "MODEL_REPOSITORY": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 1
    assert done.stderr == f"serve.sh: no model in {tmp_path} has a published version; publish one with 'maas publish'\n"
