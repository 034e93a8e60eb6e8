"""The scenarios that come with the package: each asks one question, and runs on a real Triton where that matters."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maas_core.golden import GOLDEN_FILE, Sample, save_golden
from maas_core.serving import Served, serve
from maas_loadtest.run import scenario_names, scenarios_dir
from maas_loadtest.run_cli import scenarios
from tests.client.repository import write_repository
from tests.conftest import Journey
from tests.loadtest.commands import run
from tests.loadtest.running import SHORT, load

WANTED = {
    "single_stream",
    "multi_stream",
    "server",
    "offline",
    "steady",
    "ramp",
    "spike",
    "soak",
    "mixed",
    "sequences",
    "streaming",
    "during_rollout",
    "replay",
}
_READ = """
import json, sys
from locust.util.load_locustfile import load_locustfile
seen = {}
for path in sys.argv[1:]:
    users, shapes = load_locustfile(path)
    (user,) = users.values()
    one = user.scenario
    seen[one.name] = [one.question, one.pass_rule, len(shapes), one.loop]
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "repository"
    write_repository(folder)
    write_totals(folder)
    return folder


@pytest.fixture(scope="module")
def served(repository: Path) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MAAS_BUILD", str(repository.parent / "build"))
        with serve(repository, view="load", models=["small", "sums", "sums_by_short_id", "counter"]) as server:
            yield server


def write_totals(repository: Path) -> None:
    """The right totals of one sequence; the models' other output tells how many are open, which nobody can know."""
    x = np.array([[3], [1], [4], [1], [5]], np.float32)
    for model in ("sums", "sums_by_short_id"):
        sample = Sample("digits-of-pi", {"x": x}, {"total": np.cumsum(x, axis=0)})
        save_golden(repository / model / "1" / GOLDEN_FILE, [sample])


def test_locust_finds_in_each_file_one_user_one_shape_a_question_and_a_pass_rule() -> None:
    files = [str(scenarios_dir() / f"{name}.py") for name in scenario_names()]
    seen = json.loads(subprocess.run([sys.executable, "-c", _READ, *files], capture_output=True, check=True).stdout)
    assert set(seen) == WANTED
    assert all(question.endswith("?") and pass_rule and shapes == 1 for question, pass_rule, shapes, _ in seen.values())
    assert {name for name, one in seen.items() if one[3] == "closed"} == {"single_stream", "multi_stream", "offline"}


def test_they_are_listed_with_their_questions() -> None:
    listed = run(scenarios, "--json").document
    assert set(listed) == WANTED
    assert listed["single_stream"].endswith("?")


@pytest.mark.parametrize(
    ("model", "protocol"),
    [
        ("sums", "grpc"),
        pytest.param("sums", "http", marks=pytest.mark.slow),
        pytest.param("sums_by_short_id", "grpc", marks=pytest.mark.slow),
    ],
)
def test_sequences_are_asked_step_by_step_each_with_its_own_state(
    served: Served, repository: Path, tmp_path: Path, model: str, protocol: str
) -> None:
    url = served.grpc if protocol == "grpc" else served.http
    arguments = ("--url", url, "--model", model, "--rate", "10", "--check-share", "1")
    report = load(tmp_path, "sequences", *arguments, "--repository", repository, *SHORT).report
    assert report.totals.checked == report.totals.answered == 5 * report.schedule.requests
    assert report.totals.errors == 0
    assert report.agreement[0].agree


@pytest.mark.parametrize("protocol", ["http", pytest.param("grpc", marks=pytest.mark.slow)])
def test_of_streams_the_first_answer_and_the_distances_are_timed(served: Served, tmp_path: Path, protocol: str) -> None:
    (tmp_path / "five.json").write_text('{"n": [5]}')
    url = served.grpc if protocol == "grpc" else served.http
    arguments = ("--url", url, "--model", "counter", "--rate", "8", "--inputs", tmp_path / "five.json")
    report = load(tmp_path / "report", "streaming", *arguments, *SHORT, "--min-requests", "5").report
    (model,) = report.models
    assert model.tokens == 5 * model.answered > 0
    assert model.first_token is not None
    assert model.between_tokens is not None
    assert model.first_token.count == model.answered
    assert model.between_tokens.count == 4 * model.answered
    assert model.first_token.percentiles[0].latency_us <= model.response.percentiles[0].latency_us
    assert report.totals.errors == 0


@pytest.mark.slow
def test_closed_loops_are_called_so_and_keep_as_many_requests_under_way_as_there_are_callers(
    served: Served, tmp_path: Path
) -> None:
    arguments = ("--url", served.grpc, "--model", "small", "--callers", "3", "--batch-size", "2")
    report = load(tmp_path, "offline", *arguments, *SHORT).report
    assert report.scenario.loop == "closed"
    assert report.schedule.arrivals == "closed"
    assert report.totals.items == 2 * report.totals.answered
    assert max(window.in_flight for window in report.windows) == 3


@pytest.mark.slow
def test_a_ramp_names_its_knee(served: Served, tmp_path: Path) -> None:
    arguments = ("--url", served.grpc, "--model", "small", "--rate", "100", "--duration", "20", "--warmup", "0.3")
    report = load(tmp_path, "ramp", *arguments, "--slo", "p99=1s", "--min-duration", "20", "--min-requests", "5").report
    assert len(report.stages) == 10
    assert sum(stage.knee for stage in report.stages) == 1


@pytest.mark.slow
def test_a_spike_has_its_crowd_in_the_middle(served: Served, tmp_path: Path) -> None:
    arguments = ("--url", served.http, "--model", "small", "--rate", "20", "--duration", "10", "--warmup", "0.3")
    report = load(
        tmp_path, "spike", *arguments, "--slo", "p99=1s", "--min-duration", "10", "--min-requests", "5"
    ).report
    before, crowd, after = (stage.offered_per_s for stage in report.stages)
    assert crowd > 2 * before
    assert crowd > 2 * after


@pytest.mark.slow
def test_a_mix_of_an_ensemble_and_its_step_is_counted_as_the_server_counts(journey: Journey, tmp_path: Path) -> None:
    arguments = ("--model", "digits_cnn=3,digits=1", "--rate", "30", "--repository", journey.repository)
    with serve(journey.repository, view="load_mixed") as server:
        report = load(tmp_path, "mixed", "--url", server.http, *arguments, *SHORT).report
    assert all(entry.source == "golden" for entry in report.inputs)
    assert all(one.agree for one in report.agreement)
    assert report.totals.errors == 0
    assert report.totals.checked > 0
    ensemble, step = (
        next(model for model in report.models if model.model == name) for name in ("digits", "digits_cnn")
    )
    assert 0 < ensemble.answered < step.answered
