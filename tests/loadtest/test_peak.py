"""``maas load peak``: the search itself, and the command over load tests that are made up."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from maas_client._cli.options import API_KEY
from maas_loadtest import peak_probe
from maas_loadtest.peak import Bounds, Limit, Peak, PeakStatus, Probe, search
from maas_loadtest.peak_cli import peak as peak_command
from maas_loadtest.report_model import Check, LoadReport, Status, Verdict
from tests.loadtest.commands import Ended, run, written
from tests.loadtest.html_text import Page
from tests.loadtest.made_reports import Made
from tests.loadtest.running import locusts_of
from tests.loadtest.stub_server import MODEL, stub_server
from tests.waiting import has_ended, wait_until

BOUNDS = Bounds(start_per_s=50.0, lowest_per_s=1.0, highest_per_s=10_000.0, resolution=0.05)


def found(holds: Callable[[float, int], Limit], bounds: Bounds = BOUNDS) -> Peak:
    """A search against a server of which it is known what it holds: from rate and number of the load test."""
    peak = Peak("p99=20ms")

    def ask(rate: float, confirms: bool) -> Probe:
        limit = holds(rate, len(peak.probes))
        held = limit is Limit.NOTHING
        return Probe(rate, rate, held, limit, 1000.0, 99.0, () if held else ("so",), 0, "", confirms)

    search(ask, bounds, peak)
    return peak


def up_to(capacity: float, limit: Limit = Limit.SERVER) -> Callable[[float, int], Limit]:
    return lambda rate, _: Limit.NOTHING if rate <= capacity else limit


@pytest.mark.parametrize("capacity", [1.0, 7.3, 49.9, 50.0, 51.0, 99.0, 431.0, 9_000.0])
def test_the_peak_lies_within_the_resolution_below_the_capacity(capacity: float) -> None:
    peak = found(up_to(capacity))
    assert peak.status is PeakStatus.FOUND
    assert peak.peak_per_s is not None
    assert peak.fails_per_s is not None
    assert capacity / 1.05 <= peak.peak_per_s <= capacity < peak.fails_per_s <= peak.peak_per_s * 1.0501


def test_the_peak_is_asked_again_five_times() -> None:
    peak = found(up_to(431.0))
    again = [probe for probe in peak.probes if probe.confirms]
    assert peak.confirmed == 5
    assert [probe.rate_per_s for probe in again] == [peak.peak_per_s] * 5
    # Eight doublings and bisections more would be a search that does not converge.
    assert len(peak.probes) <= 16


def test_a_rate_that_held_by_chance_is_given_up_for_a_lower_one() -> None:
    lucky = found(lambda rate, number: Limit.NOTHING if rate <= 400 or (rate <= 440 and number < 9) else Limit.SERVER)
    assert lucky.status is PeakStatus.FOUND
    assert lucky.peak_per_s is not None
    assert 400 / 1.05**2 <= lucky.peak_per_s <= 400
    assert lucky.confirmed == 5


def test_a_server_that_holds_only_by_chance_is_not_confirmed() -> None:
    """Every third load test holds, whatever the rate."""
    peak = found(lambda rate, number: Limit.SERVER if number % 3 else Limit.NOTHING)
    assert peak.status is PeakStatus.NOT_CONFIRMED
    assert peak.peak_per_s is None


def test_where_nothing_holds_no_rate_is_told() -> None:
    peak = found(up_to(0.5))
    assert (peak.status, peak.peak_per_s) == (PeakStatus.NONE_HOLDS, None)
    assert min(probe.rate_per_s for probe in peak.probes) == BOUNDS.lowest_per_s


def test_the_generators_limit_is_not_the_servers() -> None:
    peak = found(up_to(300.0, Limit.GENERATOR))
    assert peak.status is PeakStatus.AT_LEAST
    assert peak.peak_per_s is not None
    assert 300 / 1.05 <= peak.peak_per_s <= 300


def test_the_highest_allowed_rate_is_not_the_servers_limit() -> None:
    peak = found(up_to(1e9), replace(BOUNDS, highest_per_s=320.0))
    assert (peak.status, peak.peak_per_s, peak.fails_per_s) == (PeakStatus.AT_LEAST, 320.0, None)


def test_a_disturbed_load_test_is_made_again() -> None:
    disturbed = found(lambda rate, number: Limit.MEASUREMENT if number in {0, 2} else up_to(431.0)(rate, number))
    assert disturbed.status is PeakStatus.FOUND
    assert disturbed.peak_per_s == found(up_to(431.0)).peak_per_s


def fake_runs(
    monkeypatch: pytest.MonkeyPatch,
    report_at: Callable[[float], LoadReport],
    code: int = 0,
    words: str = "",
    keys: list[str | None] | None = None,
) -> list[Sequence[str]]:
    """Stands in for ``maas load run``; the command lines that it got. ``keys`` gets what each was given."""
    commands: list[Sequence[str]] = []
    keys = [] if keys is None else keys

    def fake(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        commands.append(command)
        keys.append(environment.get(API_KEY))
        if not code:
            folder = Path(command[command.index("--report") + 1])
            written(report_at(float(command[command.index("--rate") + 1])), folder)
        return code, words

    monkeypatch.setattr(peak_probe, "_run", fake)
    return commands


def report_of(capacity: float, broken: str = "p99") -> Callable[[float], LoadReport]:
    def made(rate: float) -> LoadReport:
        held = rate <= capacity
        report = Made(windows=4, scale=1.0 if held else 8.0).report()
        concerns = "objective" if broken == "p99" else "validity"
        check = Check.model_validate(
            {"name": broken, "wanted": "<= 20 ms", "got": "30 ms", "held": held, "concerns": concerns}
        )
        status = Status.VALID if held else Status.SLO_FAILED if broken == "p99" else Status.INVALID
        reasons = () if held else (f"{broken}: wanted <= 20 ms, got 30 ms",)
        return report.model_copy(update={"verdict": Verdict(status=status, reasons=reasons, checks=(check,))})

    return made


def peaked(folder: Path, *options: str, slo: str = "p99=20ms") -> Ended:
    return run(peak_command, "--slo", slo, "--model", "digits_cnn", "--report", folder, *options)


def test_the_command_tells_the_peak_and_draws_the_knee(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = fake_runs(monkeypatch, report_of(430.0))
    ended = peaked(tmp_path, "--json", "--url", "grpc://127.0.0.1:9")
    assert ended.code == 0
    assert 410 <= ended.document["peak_per_s"] <= 430
    assert ended.document["confirmed"] == 5
    page = Page((tmp_path / "peak.html").read_text())
    assert f"{ended.document['peak_per_s']:,.0f} requests per second" in page.text
    told = page.told("The knee")
    assert len(told) == len(ended.document["probes"])
    assert any(words.endswith("p99: wanted <= 20 ms, got 30 ms") for words in told)
    assert json.loads((tmp_path / "peak.json").read_text())["status"] == "FOUND"
    assert all(list(command[-2:]) == ["--url", "grpc://127.0.0.1:9"] for command in commands)
    assert len({command[command.index("--seed") + 1] for command in commands}) == len(commands)


@pytest.mark.parametrize("form", [("--api-key", "not-for-everybody"), ("--api-key=not-for-everybody",)])
def test_the_key_goes_to_the_load_tests_and_into_no_file(
    form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys: list[str | None] = []
    commands = fake_runs(monkeypatch, report_of(430.0), keys=keys)
    words = ("--slo", "p99=20ms", "--model", "digits_cnn", *form, "--report", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["maas", "load", "peak", *words])
    assert run(peak_command, *words).code == 0
    assert set(keys) == {"not-for-everybody"}
    assert not any("not-for-everybody" in word for command in commands for word in command)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "peak.html" in files
    assert not any(b"not-for-everybody" in path.read_bytes() for path in files)


def test_a_folder_that_can_not_be_written_is_told_before_the_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = fake_runs(monkeypatch, report_of(430.0))
    (tmp_path / "file").write_text("")
    ended = peaked(tmp_path / "file" / "report")
    assert ended.code == 2
    assert "can not be written" in ended.error
    assert not commands


@pytest.mark.parametrize(("slo", "answers"), [("p99=20ms", 662), ("p50=10ms,p99.9=40ms", 6636)])
def test_a_low_rate_is_measured_for_longer(
    slo: str, answers: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """p99 needs 662 answers, p99.9 6,636: 10 a second do not give them in 15 s."""
    commands = fake_runs(monkeypatch, report_of(1e9))
    peaked(tmp_path, "--start", "10", "--highest", "10", "--confirmations", "0", slo=slo)
    seconds = int(commands[0][commands[0].index("--duration") + 1])
    assert 10 * seconds >= answers


def test_no_rate_that_holds_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_runs(monkeypatch, report_of(1.0))
    ended = peaked(tmp_path, "--lowest", "20")
    assert ended.code == 1
    assert "no rate holds" in ended.error


@pytest.mark.parametrize("broken", ["generator CPU", "delayed by more than 10 ms"])
def test_the_generators_limit_is_exit_code_4(broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_runs(monkeypatch, report_of(430.0, broken))
    ended = peaked(tmp_path)
    assert ended.code == 4
    assert "at least" in ended.error
    assert "generator's limit" in Page((tmp_path / "peak.html").read_text()).text


def test_dropped_requests_are_the_servers_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_runs(monkeypatch, report_of(430.0, "dropped"))
    assert peaked(tmp_path).code == 0


@pytest.mark.parametrize(("code", "words"), [(3, "no server at grpc://127.0.0.1:9"), (2, "'x' is not a scenario")])
def test_what_the_load_test_cannot_do_the_search_cannot(
    code: int, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_runs(monkeypatch, report_of(1.0), code, f"maas load: {words}")
    ended = peaked(tmp_path)
    assert (ended.code, ended.error.strip()) == (code, f"Error: {words}")


def test_a_broken_objective_is_wrong_use(tmp_path: Path) -> None:
    ended = run(peak_command, "--slo", "p99=fast", "--model", "m", "--report", tmp_path)
    assert ended.code == 2
    assert "'p99=fast' is not an objective" in ended.error


@pytest.mark.parametrize("made_before", [0, 2])
def test_ctrl_c_keeps_what_was_found(made_before: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = report_of(430.0)
    number = 0

    def report_at(rate: float) -> LoadReport:
        nonlocal number
        number += 1
        if number > made_before:
            raise KeyboardInterrupt
        return made(rate)

    fake_runs(monkeypatch, report_at)
    ended = peaked(tmp_path)
    assert ended.code == 4
    assert "interrupted" in ended.error
    assert len(json.loads((tmp_path / "peak.json").read_text())["probes"]) == made_before
    assert "interrupted" in Page((tmp_path / "peak.html").read_text()).text


def test_sigterm_ends_the_load_test_under_way_too(tmp_path: Path) -> None:
    options = ["--slo", "p99=1s", "--start", "40", "--duration", "60", "--report", str(tmp_path)]
    with stub_server() as stub:
        command = [sys.executable, "-m", "maas_core", "load", "peak", *options, "--url", stub.http, "--model", MODEL]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: stub.requests() > 20, "20 requests")
            descendants = locusts_of(process)
            process.send_signal(signal.SIGTERM)
            out, error = process.communicate(timeout=120)
    assert process.returncode == 4
    assert len(descendants) >= 2
    wait_until(lambda: all(map(has_ended, descendants)), "the end of the load test")
    assert f"written: {tmp_path / 'peak.html'}" in out
    assert "interrupted" in Page((tmp_path / "peak.html").read_text()).text
    assert "Traceback" not in error
