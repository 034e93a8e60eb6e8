"""The example of own preprocessing and the recipes of docs/preprocessing.md, on a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maas_client import Client, InvalidRequestError
from maas_core.serving import Served, serve
from maas_export import python_models
from tests.conftest import ROOT

EXAMPLE = ROOT / "examples" / "own_preprocessing"
MODEL = "tidy_text"
VERSION = EXAMPLE / "model_repository" / MODEL / "1"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "preprocessing.md").read_text(encoding="utf-8")
WHERE = "/opt/maas/tidy"


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found
    return found


def shell(command: str, **variables: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=ROOT,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_BUILD", str(tmp_path_factory.mktemp("own")))
        with serve(EXAMPLE / "model_repository", view="own") as server:
            assert server.models == {MODEL: [1]}
            yield server


def test_the_server_of_the_readme_is_this_one() -> None:
    serving, _ = blocks(README, "bash")
    assert serving.split() == f"maas serve --repository {EXAMPLE.relative_to(ROOT)}/model_repository --view own".split()


def test_the_commands_of_the_readme(served: Served) -> None:
    _, calling = blocks(README, "bash")
    assert "l'humanité schön" in shell(f"{calling.strip()} --url {served.grpc}")


def test_the_program_of_the_readme(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks(README, "python")
    exec(compile(program.replace("grpc://127.0.0.1:8001", served.grpc), "README.md", "exec"), {})  # noqa: S102  # ours
    assert capsys.readouterr().out == "['schön' ''] ['' 'the text is empty; send at least one letter']\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\xff", "not UTF-8 (byte 0)"), (b"", "the text is empty"), (b"x" * 1001, "1001 characters, at most 1000")],
)
def test_a_request_with_nothing_but_bad_texts_is_refused(served: Served, data: bytes, reason: str) -> None:
    with Client(served.http) as client, pytest.raises(InvalidRequestError, match=re.escape(reason)):
        client.infer(MODEL, text=[[data]])


def test_the_wheels_are_the_ones_that_the_recipes_name() -> None:
    wheels = {"==".join(path.name.split("-")[:2]) for path in VERSION.glob("*.whl")}
    for page in (README, PAGE):
        assert set(re.findall(r"[a-z]+==[\d.]+", page)) == wheels


def test_the_line_of_the_page_is_the_line_of_the_example() -> None:
    (line,) = blocks(PAGE, "python")
    assert line in (VERSION / "tidying.py").read_text(encoding="utf-8")


def test_an_environment_of_its_own_by_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its wheels the model finds its packages only there; the registry is a folder with the same wheels."""
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path / "build"))
    model = tmp_path / "repository" / MODEL
    shutil.copytree(VERSION.parent, model, ignore=shutil.ignore_patterns("*.whl", "__pycache__"))
    environment = tmp_path / "environment"
    (recipe,), (parameter,) = blocks(PAGE, "bash"), blocks(PAGE, "protobuf")
    shell(recipe.replace(WHERE, str(environment)), PIP_NO_INDEX="1", PIP_FIND_LINKS=VERSION.as_uri())
    with (model / "config.pbtxt").open("a") as config:
        config.write(parameter.replace(WHERE, str(environment)))
    with serve(model.parent, view="own") as server, Client(server.grpc) as client:
        assert client.infer(MODEL, text=[["schÃ¶n"]]).text("tidy").item() == "schön"


def test_wheels_of_a_catalogue_model_travel_into_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_models, "python_models_dir", lambda: tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    shutil.copytree(VERSION, tmp_path / MODEL)
    files = {path.name for path in python_models.source_files(MODEL)}
    assert files == {path.name for path in VERSION.iterdir() if path.is_file()}
    assert python_models.load_module(MODEL, "tidying").tidy(b"sch\xc3\x83\xc2\xb6n", 10) == "schön"
