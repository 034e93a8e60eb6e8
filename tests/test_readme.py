"""What the README tells a newcomer is executed here, in its order, on a copy of what a fresh clone holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maas_core.serving import serve
from tests.conftest import JOURNEY, ROOT, Journey

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no {language} block"
    return found


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PATH": COMMAND_PATH}
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=variables, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.fixture
def clone(journey: Journey, tmp_path: Path) -> Path:
    """As a fresh clone, but with the weights and bundles of the journey, so that nothing is trained twice."""
    shutil.copytree(ROOT / "model_repository", tmp_path / "model_repository", ignore=shutil.ignore_patterns("[0-9]*"))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    journey.copy_weights(tmp_path / "build", "digits_cnn")
    journey.copy_bundles(tmp_path / "build", *JOURNEY)
    return tmp_path


def test_the_journey_by_hand_and_the_python_example(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(clone / "build"))
    by_hand, calls = blocks("bash")
    for line in by_hand.strip().splitlines():
        if not line.startswith("maas serve"):
            done = shell(line, clone)
            assert done.returncode == 0, f"{line}: {done.stderr}"
    with serve(clone / "model_repository", view="readme") as server:
        for line in calls.strip().splitlines():
            done = shell(f"{line} --url {server.grpc}", clone)
            assert done.returncode == 0, f"{line}: {done.stderr}"
            assert "3_thick_marker.png" in done.stdout
        (python,) = blocks("python")
        program = python.replace("grpc://127.0.0.1:8001", server.grpc)
        done = subprocess.run([sys.executable, "-c", program], cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[0].strip("b'") == "3"


def listed_commands() -> list[str]:
    listing = shell("maas --help", ROOT).stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    return re.findall(r"^  (\w[\w-]*) ", listing, re.MULTILINE)


def test_the_verbs_that_the_readme_names_are_in_the_makefile() -> None:
    listed = shell("make", ROOT).stdout
    for verb in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert f"make {verb} " in listed


def test_the_table_of_commands_is_the_programs_own() -> None:
    told = re.findall(r"^\| `maas (\w[\w-]*)", README, re.MULTILINE)
    assert sorted(told) == sorted(listed_commands())


def test_every_command_has_help_with_an_example() -> None:
    for command in listed_commands():
        done = shell(f"maas {command} --help", ROOT)
        assert done.returncode == 0, done.stderr
        assert f"maas {command}" in done.stdout.partition("Example")[2], command


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
