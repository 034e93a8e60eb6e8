"""Example programs of every kind of call, written for stand-ins and run against a real Triton."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from maas_export.examples import programs
from maas_export.examples.programs import FILE_OF_LANGUAGE, programs_of
from tests.client.catalogue import write_catalogue
from tests.examples.programs import EXECUTED, Ran, run_program, shown_outputs
from tests.examples.stand_ins import StandIn, stand_ins

TEMPLATES = Path(programs.__file__).with_name("templates")


@dataclass(frozen=True)
class Desk:
    """Programs in a folder of their own, and a server that they may call."""

    folder: Path
    models: dict[str, StandIn]
    http: str
    grpc: str

    def run(self, language: str, model: str, argument: str | None = None) -> Ran:
        (default,) = [str(value) for value in self.models[model].example.values()][:1]
        url = self.grpc if language == "python" else self.http
        return run_program(language, self.folder / model, argument or default, url, cwd=self.folder)


@pytest.fixture(scope="module")
def desk(module_triton_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("programs")
    write_catalogue(folder / "repository")
    server = module_triton_server(folder / "repository")
    assert not server.failed
    models = stand_ins(folder)
    for name, model in models.items():
        (folder / name).mkdir()
        for language, text in programs_of(model).items():
            (folder / name / FILE_OF_LANGUAGE[language]).write_text(text, encoding="utf-8")
    return Desk(folder, models, f"http://{server.http_url}", f"grpc://{server.grpc_url}")


every_language = pytest.mark.parametrize("language", [*EXECUTED, pytest.param("go", marks=pytest.mark.slow)])


@every_language
def test_a_file_is_sent_byte_by_byte(desk: Desk, language: str) -> None:
    done = desk.run(language, "scene")
    assert done.returncode == 0, done.stderr
    assert shown_outputs(language, done.stdout)["label"] == ["3", "7", ""][: 3 if language == "curl" else 2]
    assert shown_outputs(language, done.stdout)["count"] == ["2"]


@every_language
def test_a_text_arrives_with_its_quotes(desk: Desk, language: str) -> None:
    done = desk.run(language, "mood")
    assert done.returncode == 0, done.stderr
    assert shown_outputs(language, done.stdout) == {"label": ["glad", "sad"], "score": ["0.75", "0.25"]}
    assert shown_outputs(language, desk.run(language, "mood", 'rain\n"and\tfog" \\').stdout)["label"] == ["sad", "glad"]


@every_language
def test_a_series_is_one_sequence(desk: Desk, language: str) -> None:
    done = desk.run(language, "share")
    assert done.returncode == 0, done.stderr
    shown = shown_outputs(language, done.stdout)
    assert shown["seen"] == ["2"]
    assert [round(float(value), 3) for value in shown["forecast"][:3]] == [0.18, 0.2, 0.22]


@every_language
def test_a_stream_is_shown_as_one_text(desk: Desk, language: str) -> None:
    done = desk.run(language, "chat")
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'it\'s "one" \\two é\nthree %d four \n'
    assert desk.run(language, "chat", "ends\n\n").stdout == "ends\n\n \n"


@every_language
@pytest.mark.parametrize(
    ("model", "argument", "reason"),
    [
        ("chat", "so fail now", "asked to fail"),
        ("chat", "fail", "asked to fail"),
        ("share", "bad.csv", "'abc' is no share"),
    ],
)
def test_an_error_is_told_and_ends_the_program(
    desk: Desk, language: str, model: str, argument: str, reason: str
) -> None:
    (desk.folder / "bad.csv").write_text("share\n0.1\nabc\n0.3\n")
    done = desk.run(language, model, argument)
    assert done.returncode != 0
    assert reason in (done.stdout + done.stderr).replace("\\u0027", "'")
    assert "Traceback" not in done.stderr


@every_language
@pytest.mark.parametrize("model", ["scene", "mood", "share", "chat"])
def test_a_server_that_is_not_there_is_told_in_a_line(desk: Desk, language: str, model: str) -> None:
    default = str(next(iter(desk.models[model].example.values())))
    url = "grpc://127.0.0.1:9" if language == "python" else "http://127.0.0.1:9"
    done = run_program(language, desk.folder / model, default, url, cwd=desk.folder)
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr
    assert len(done.stderr.strip().splitlines()) == (2 if language == "go" else 1), done.stderr


@every_language
@pytest.mark.parametrize("model", ["scene", "share"])
def test_a_file_that_is_not_there_is_told_in_a_line(desk: Desk, language: str, model: str) -> None:
    done = desk.run(language, model, "gone.png")
    assert done.returncode != 0
    assert re.search("gone.png.*no such file|no such file.*gone.png", done.stderr, re.IGNORECASE)
    assert len(done.stderr.strip().splitlines()) == (2 if language == "go" else 1), done.stderr


@every_language
def test_a_series_without_a_value_is_told_in_a_line(desk: Desk, language: str) -> None:
    (desk.folder / "empty.csv").write_text("share\n")
    done = desk.run(language, "share", "empty.csv")
    assert done.returncode != 0
    assert "empty.csv holds no line below its heading" in done.stderr
    assert len(done.stderr.strip().splitlines()) == (2 if language == "go" else 1), done.stderr


def test_curl_sends_a_missing_value_at_the_end_of_a_series_too(desk: Desk) -> None:
    (desk.folder / "ends.csv").write_text("share\n0.1\n0.2\n\n\n")
    done = desk.run("curl", "share", "ends.csv")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) == 4


def test_the_shell_quotes_every_control_character() -> None:
    text = "".join(map(chr, range(1, 32))) + '"\\é'
    script = TEMPLATES.joinpath("json_text.sh.j2").read_text(encoding="utf-8") + 'printf \'"%s"\' "$(quoted "$1")"'
    done = subprocess.run(["bash", "-c", script, "bash", text], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == text
