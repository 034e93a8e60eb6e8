"""`maas tune`: short runs over a tiny model on a real server."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import psutil
import pytest
from click.testing import CliRunner, Result
from tests.server.tuning import spec

from maas_core.config import config_of, dump_config
from maas_core.golden import Sample, save_golden
from maas_core.manifest import (
    Manifest,
    ObjectiveEntry,
    Verification,
    file_entries,
    payload_digest,
    read_manifest,
    write_manifest,
)
from maas_server.tune_bench import LoadGenerator
from maas_server.tune_cli import tune


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with the verified bundle of a model that doubles its input."""
    build = tmp_path_factory.mktemp("build")
    folder = build / "bundles" / "doubled" / "onnx"
    folder.mkdir(parents=True)
    model = spec()
    (folder / "config.pbtxt").write_text(dump_config(config_of(model)))
    tensor = onnx.helper.make_tensor_value_info
    sides = [[tensor(name, onnx.TensorProto.FLOAT, ["batch", 4])] for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "x"], ["y"])], "doubled", *sides)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10),
        folder / "model.onnx",
    )
    inputs = [np.full((size, 4), size, np.float32) for size in (1, 2)]
    save_golden(folder / "golden.npz", [Sample(f"batch{len(x)}", {"x": x}, {"y": x + x}) for x in inputs])
    files = file_entries(folder)
    digest = payload_digest(files)
    stamp = Verification(passed=True, digest=digest, requires={}, rungs=(), verified_at="now", tool_version="test")
    write_manifest(
        folder,
        Manifest(
            model="doubled",
            format="onnx",
            digest=digest,
            files=files,
            key="",
            seed=0,
            versions={},
            tolerances={},
            objective=ObjectiveEntry(p99_ms=model.objective.p99_ms, error_rate=0.001),
            verification=stamp,
            created_at="now",
            tool_version="test",
        ),
    )
    return build


Run = Callable[..., Result]
SHORT = ["--instances", "1,2", "--threads", "1", "--queue-delays-us", "0", "--max-batch-sizes", "8", "--callers", "1,4"]
ONE = ["--instances", "1", "--callers", "1"]
"""Where it does not matter what is chosen among."""


@pytest.fixture
def run(bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("doubled", "--slo", …)``: the command with little time, a build folder and a choices file of its own."""
    build = tmp_path / "build"
    shutil.copytree(bundles, build)
    monkeypatch.setenv("MAAS_BUILD", str(build))

    def invoke(*arguments: str) -> Result:
        options = ["--choices", str(tmp_path / "serving.toml"), "--budget", "3", *SHORT]
        return CliRunner().invoke(tune, [*options, *arguments])

    return invoke


def written(tmp_path: Path) -> dict[str, Any]:
    return tomllib.loads((tmp_path / "serving.toml").read_text(encoding="utf-8"))


def listener_at(address: str) -> str:
    """The name of the program that listens there."""
    port = int(address.rpartition(":")[2])
    (pid,) = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
    }
    return psutil.Process(pid).name()


class TestCommand:
    def test_chooses_writes_and_shows_its_evidence(self, run: Run, tmp_path: Path) -> None:
        done = run("doubled", "--json")

        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["objective"] == {"p99": 1000.0}, "the spec's own, where none is given"
        assert {(p["setting"]["instances"], p["callers"]) for p in told["points"]} == {(1, 1), (1, 4), (2, 1), (2, 4)}
        assert all(p["requests"] > 0 and p["errors"] == 0 for p in told["points"])
        assert Path(told["plot"]).read_bytes().startswith(b"\x89PNG")
        choice = written(tmp_path)["doubled"]
        evidence = choice.pop("evidence")
        assert choice == told["chosen"]["setting"]
        assert evidence["objective"] == "p99=1000ms"
        assert evidence["requests_per_s"] == round(told["chosen"]["requests_per_s"], 1)
        assert evidence["before"]["instances"] == 1

    def test_for_people_it_is_a_table_and_the_next_step(self, run: Run) -> None:
        done = run("doubled", "--slo", "p99=1s", *ONE)

        assert done.exit_code == 0, done.output
        assert "req/s" in done.stdout
        assert "maas export doubled" in done.stdout or "the present setting stays" in done.stdout

    def test_an_objective_that_nothing_meets_is_exit_code_1_and_writes_nothing(self, run: Run, tmp_path: Path) -> None:
        done = run("doubled", "--slo", "p99=1us", *ONE)

        assert done.exit_code == 1
        assert re.search(
            r"no setting of doubled holds p99=0\.001ms; the nearest was p99 [\d.]+ ms at callers=1 ", done.stderr
        )
        assert not (tmp_path / "serving.toml").exists()

    def test_a_dry_run_writes_nothing_and_leaves_nothing_behind(self, run: Run, tmp_path: Path) -> None:
        assert run("doubled", "--slo", "p99=1s", "--dry-run", "--json", *ONE).exit_code == 0
        assert not (tmp_path / "serving.toml").exists()
        assert not list((tmp_path / "build" / "scratch").iterdir())

    @pytest.mark.parametrize(("options", "server"), [(["--gateway"], "envoy"), ([], "tritonserver")])
    def test_it_calls_what_callers_will_call(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], server: str
    ) -> None:
        called: set[str] = set()
        call = LoadGenerator.run

        def noted(self: LoadGenerator, address: str, *arguments: Any, **keywords: Any) -> Any:
            called.add(listener_at(address))
            return call(self, address, *arguments, **keywords)

        monkeypatch.setattr(LoadGenerator, "run", noted)
        done = run("doubled", "--slo", "p99=1s", *options, *ONE)

        assert done.exit_code == 0, done.output
        assert called == {server}
        in_front = "gateway" if options else "nothing"
        assert written(tmp_path)["doubled"]["evidence"]["in_front"] == in_front
        assert not list((tmp_path / "build" / "scratch").iterdir())
        assert not [one.info for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(one.info["cmdline"])]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["unknown"], "there is no bundle of unknown"),
            (["../x"], "cannot be a model's name"),
            (["doubled", "--slo", "fast"], "'fast' is not an objective"),
        ],
    )
    def test_wrong_use_is_one_sentence(self, run: Run, arguments: Sequence[str], words: str) -> None:
        done = run(*arguments)

        assert done.exit_code == 2
        assert words in done.stderr
        assert isinstance(done.exception, SystemExit | click.ClickException)

    def test_numbers_that_are_none_are_refused(self) -> None:
        done = CliRunner().invoke(tune, ["doubled", "--callers", "1,many"])
        assert done.exit_code == 2
        assert "'1,many' is not a list of whole numbers" in done.stderr

    def test_an_ensemble_is_sent_to_its_steps(self, run: Run, tmp_path: Path) -> None:
        bundle = tmp_path / "build" / "bundles" / "doubled" / "onnx"
        write_manifest(bundle, read_manifest(bundle).model_copy(update={"requires": ("first", "second")}))

        done = run("doubled")

        assert done.exit_code == 2
        assert "tune its steps: first, second" in done.stderr

    def test_an_unverified_bundle_is_refused(self, run: Run, tmp_path: Path) -> None:
        bundle = tmp_path / "build" / "bundles" / "doubled" / "onnx"
        write_manifest(bundle, read_manifest(bundle).model_copy(update={"verification": None}))

        done = run("doubled")

        assert done.exit_code == 1
        assert "is not verified" in done.stderr

    def test_a_setting_that_does_not_load_is_told_with_the_log(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "build" / "bundles" / "doubled" / "onnx" / "model.onnx").write_bytes(b"no model")

        done = run("doubled")

        assert done.exit_code == 1
        assert "does not load" in done.stderr
        assert ".log" in done.stderr
