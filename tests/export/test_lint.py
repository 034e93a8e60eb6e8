"""What the linter finds, file by file and line by line, in a repository with one thing wrong in each model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maas_export.lint.finding import Finding, Severity
from maas_export.lint.fix import fix
from maas_export.lint.inspection import Options
from maas_export.lint.linter import lint
from maas_export.lint.rules import RULES, rules_table
from maas_export.lint.targets import release_named
from tests.conftest import JOURNEY, ROOT, Journey, Maas
from tests.export.lint_corpus import BROKEN, CORPUS, GOOD, Case, config, onnx_case, write

OPTIONS = Options(release_named("24.10"), has_gpu=False, cores=8)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("lint") / "models", CORPUS)


@pytest.fixture(scope="module")
def found(corpus: Path) -> dict[str, list[Finding]]:
    models, findings = lint(corpus, OPTIONS)
    assert models == len(CORPUS)
    return {name: [finding for finding in findings if finding.model == name] for name in CORPUS}


@pytest.mark.parametrize("name", CORPUS)
def test_each_model_gets_the_findings_that_it_deserves_and_no_other(name: str, found: dict[str, list[Finding]]) -> None:
    assert {finding.rule.id for finding in found[name]} == set(CORPUS[name].rules), found[name]


@pytest.mark.parametrize("name", [name for name, case in BROKEN.items() if case.line])
def test_the_line_is_the_fields_own(name: str, found: dict[str, list[Finding]]) -> None:
    wanted, rule = CORPUS[name].line, CORPUS[name].rules[0]
    finding = next(finding for finding in found[name] if finding.rule.id == rule)
    assert finding.line is not None
    assert wanted.splitlines()[0] in finding.path.read_text().splitlines()[finding.line - 1]


def test_every_rule_has_a_model_that_breaks_it() -> None:
    beyond = {"version-overflow", "model-file-unreadable", "onnx-too-large"}
    assert {rule for case in BROKEN.values() for rule in case.rules} | beyond == set(RULES)


def test_a_version_of_twenty_digits_is_an_error(tmp_path: Path) -> None:
    repository = write(tmp_path, {"model": Case((), {**GOOD["relu"].files, "12345678901234567890": None})})
    (finding,) = lint(repository, OPTIONS)[1]
    assert (finding.rule.id, finding.path.name) == ("version-overflow", "12345678901234567890")


def test_an_onnx_file_over_two_gigabytes_is_an_error(tmp_path: Path) -> None:
    repository = write(tmp_path, {"model": GOOD["relu"]})
    with (repository / "model" / "1" / "model.onnx").open("r+b") as file:
        file.truncate(2**31)
    assert "onnx-too-large" in {finding.rule.id for finding in lint(repository, OPTIONS)[1]}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_model_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    repository = write(tmp_path, {"model": GOOD["relu"]})
    (repository / "model" / "1" / "model.onnx").chmod(0)
    assert "model-file-unreadable" in {finding.rule.id for finding in lint(repository, OPTIONS)[1]}


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("instance_gpu", {"has_gpu": True}),
        ("threads", {"cores": 9}),
        ("opset", {"target": release_named("25.03")}),
        ("ir", {"target": release_named("25.08")}),
        ("field_newer", {"target": release_named("24.11")}),
        ("backend_unknown", {"backends": frozenset({"onxruntime"})}),
    ],
)
def test_what_is_told_of_the_server_decides(case: str, options: dict[str, Any], tmp_path: Path) -> None:
    repository = write(tmp_path, {case: BROKEN[case]})
    assert lint(repository, OPTIONS)[1]
    assert not lint(repository, replace(OPTIONS, **options))[1]


def test_a_model_without_versions_is_an_error_where_versions_are_required(tmp_path: Path) -> None:
    repository = write(tmp_path, {"model": BROKEN["unpublished"]})
    assert [finding.severity for finding in lint(repository, OPTIONS)[1]] == [Severity.NOTE]
    required = replace(OPTIONS, needs_versions=True)
    assert [finding.severity for finding in lint(repository, required)[1]] == [Severity.ERROR]


@pytest.mark.parametrize("name", [name for name, case in BROKEN.items() if case.fixed])
def test_what_is_mended_is_clean_and_stays_as_it_is(name: str, tmp_path: Path) -> None:
    repository = write(tmp_path, {**GOOD, name: BROKEN[name]})
    config = repository / name / "config.pbtxt"
    config.write_text("# the author's own words\n" + config.read_text())
    assert fix(repository, OPTIONS, lint(repository, OPTIONS)[1])
    assert not lint(repository, OPTIONS)[1]
    text = config.read_text()
    assert text.startswith("# the author's own words\n")
    assert not fix(repository, OPTIONS, lint(repository, OPTIONS)[1])
    assert config.read_text() == text


def test_nothing_else_is_mended(tmp_path: Path) -> None:
    unsafe = {name: case for name, case in BROKEN.items() if not case.fixed}
    repository = write(tmp_path, {**GOOD, **unsafe})
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    assert not fix(repository, OPTIONS, lint(repository, OPTIONS)[1])
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == before


def test_a_preferred_size_is_taken_out_of_its_list_only(tmp_path: Path) -> None:
    repository = write(tmp_path, {"preferred_large": BROKEN["preferred_large"]})
    fix(repository, OPTIONS, lint(repository, OPTIONS)[1])
    text = (repository / "preferred_large" / "config.pbtxt").read_text()
    assert text == config("dynamic_batching { preferred_batch_size: [4] }")


def test_queues_keep_dynamic_batching_alive(tmp_path: Path) -> None:
    queue = "dynamic_batching { default_queue_policy { max_queue_size: 9 } }"
    repository = write(tmp_path, {"model": onnx_case("batching-idle", queue, batch=1)})
    assert not fix(repository, OPTIONS, lint(repository, OPTIONS)[1])


def test_the_command_prints_file_line_what_why_and_mend(maas: Maas, tmp_path: Path) -> None:
    repository = write(
        tmp_path / "models", {**GOOD, "misspelt": BROKEN["parameter_unknown"], "dims": BROKEN["io_dims"]}
    )
    done = maas("lint", repository, "--cores", "8")
    assert done.returncode == 1
    assert f"{repository}/dims/config.pbtxt:3: error: tensor 'x': the model expects [-1, 2]" in done.stdout
    assert "    why   the model expects N dimensions" in done.stdout
    assert "    mend  use the graph's dims" in done.stdout
    assert "'intra_op_thread_count' is known [parameter-unknown]" in done.stdout
    assert done.stdout.endswith("6 models: 1 error, 1 warning\n")


def test_exit_codes_and_json(maas: Maas, tmp_path: Path) -> None:
    clean, warned = write(tmp_path / "clean", GOOD), write(tmp_path / "warned", {"stray": BROKEN["stray"]})
    done = maas("lint", clean, "--cores", "8", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "repository": str(clean),
        "target": "24.10",
        "models": len(GOOD),
        "errors": 0,
        "warnings": 0,
        "notes": 0,
        "fixed": [],
        "findings": [],
    }
    assert maas("lint", warned, "--cores", "8").returncode == 0
    assert maas("lint", warned, "--cores", "8", "--strict").returncode == 1
    assert maas("lint", warned, "--cores", "8", "--strict", "--ignore", "stray-entry").returncode == 0
    for arguments in (["nowhere"], [str(clean), "--target", "19.04"], [str(clean), "--ignore", "nothing"]):
        wrong = maas("lint", *arguments)
        assert wrong.returncode == 2
        assert "Traceback" not in wrong.stderr


def test_the_committed_repository_is_clean() -> None:
    assert not [found for found in lint(ROOT / "model_repository", OPTIONS)[1] if found.rule.id != "unpublished"]


def test_bundles_and_what_is_published_are_clean(journey: Journey) -> None:
    for model in JOURNEY:
        assert lint(journey.bundle(model), OPTIONS) == (1, [])
    assert lint(journey.repository, replace(OPTIONS, needs_versions=True)) == (len(JOURNEY), [])


def test_the_documented_table_is_the_linters_own() -> None:
    assert (ROOT / "docs" / "lint.md").read_text(encoding="utf-8").endswith(rules_table())


def test_the_rules_can_be_listed(maas: Maas) -> None:
    assert maas("lint", "--rules").stdout == rules_table()


def test_models_without_versions_are_told_in_one_line(maas: Maas, tmp_path: Path) -> None:
    repository = write(tmp_path, dict.fromkeys(("one", "two"), BROKEN["unpublished"]))
    done = maas("lint", repository)
    assert done.stdout.startswith("note: one, two: until one is published")
    assert done.stdout.count("\n") == 2


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_found_out_and_never_end_the_linter(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    repository = write(tmp_path, CORPUS)
    for path in sorted(repository.rglob("*")):
        content = bytearray(path.read_bytes()) if path.is_file() else bytearray()
        for position in rng.integers(len(content), size=3) if content else ():
            content[position] = rng.integers(256)
        if content:
            path.write_bytes(content[: rng.integers(len(content), 2 * len(content))])
    models, findings = lint(repository, OPTIONS)
    assert models == len(CORPUS)
    assert all(finding.to_json()["mend"] for finding in findings)


def test_linting_imports_neither_torch_nor_onnx() -> None:
    program = "import sys, maas_export.lint.linter, maas_export.lint.fix; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "onnx", "onnxruntime"} & set(done.stdout.split())
