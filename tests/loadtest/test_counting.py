"""Counting: in which window a request belongs, what parts of workers add up to, what the server's counters say."""

from __future__ import annotations

from typing import Any

import pytest

from maas_loadtest.recorder import Recorder
from maas_loadtest.server_figures import figures, windows
from maas_loadtest.tally import Tally

S = 1_000_000_000
MS = 1_000_000


def recorder() -> Recorder:
    one = Recorder(S)
    one.begin(0)
    return one


def answer(one: Recorder, due_ns: int, sent_ns: int, done_ns: int, version: str = "1") -> None:
    window = one.window_of(due_ns)
    one.offered(window)
    one.sent(window, "m", 10)
    one.answered(window, "m", version, due_ns=due_ns, sent_ns=sent_ns, done_ns=done_ns, items=2, size_bytes=20)


def tally(*recorders: Recorder) -> Tally:
    total = Tally()
    for number, one in enumerate(recorders):
        total.add(f"worker-{number}", {"pid": number, **one.hand_over()})
    return total


class TestWindows:
    def test_a_request_counts_where_it_was_due_and_its_answer_where_it_came(self) -> None:
        one = recorder()
        answer(one, due_ns=S // 2, sent_ns=S // 2, done_ns=2 * S + 1)
        total = tally(one)
        assert total.windows[0].counts["offered"] == total.windows[0].counts["answered"] == 1
        assert total.windows[0].counts["completed"] == 0
        assert total.windows[2].counts["completed"] == 1

    def test_response_time_counts_from_due_service_time_from_the_send(self) -> None:
        one = recorder()
        answer(one, due_ns=0, sent_ns=5 * MS, done_ns=9 * MS)
        total = tally(one)
        assert total.windows[0].response.percentile(100) == pytest.approx(9000, rel=1e-3)
        assert total.windows[0].service.percentile(100) == pytest.approx(4000, rel=1e-3)

    def test_versions_are_seen_window_by_window(self) -> None:
        one = recorder()
        answer(one, 0, 0, MS, version="1")
        answer(one, S, S, S + MS, version="2")
        total = tally(one)
        assert total.windows[0].versions["m"] == {"1": 1}
        assert total.windows[1].versions["m"] == {"2": 1}
        assert total.versions("m") == {"1": 1, "2": 1}


class TestParts:
    def test_workers_and_parts_add_up(self) -> None:
        one, other = recorder(), recorder()
        answer(one, 0, 0, MS)
        total = tally(one, other)
        answer(one, 0, 0, 3 * MS)
        answer(other, 0, 0, 2 * MS)
        other.failed(0, "m", "timeout", "no answer")
        total.add("worker-0", {"pid": 0, **one.hand_over()})
        total.add("worker-1", {"pid": 1, **other.hand_over()})
        assert total.windows[0].counts["answered"] == 3
        assert total.windows[0].counts["errors"] == 1
        assert total.models["m"].counts["items"] == 6
        assert total.windows[0].response.percentile(100) == pytest.approx(3000, rel=1e-3)
        assert total.errors["m", "timeout", "no answer"].count == 1
        assert (total.workers["worker-0"].sent, total.workers["worker-1"].sent) == (2, 1)
        assert total.last_answer_s == pytest.approx(0.003)

    def test_what_was_handed_over_is_not_counted_again(self) -> None:
        one = recorder()
        answer(one, 0, 0, MS)
        one.hand_over()
        assert one.hand_over()["windows"] == []

    def test_distances_that_were_not_kept_are_measured(self) -> None:
        kept, bunched = recorder(), recorder()
        for number in range(10):
            kept.late(number * MS, number * MS + 50)
            bunched.late(number * MS, (number // 5) * 5 * MS)
        assert kept.gap_error_us() == pytest.approx(0)
        # Eight distances of 0 and one of 5 ms in place of nine of 1 ms.
        assert bunched.gap_error_us() == pytest.approx((8 * 1000 + 4000) / 9)

    def test_streams_have_a_first_answer_and_distances(self) -> None:
        one = recorder()
        one.streamed("m", 0, (5 * MS, 6 * MS, 8 * MS))
        model = tally(one).models["m"]
        assert model.counts["tokens"] == 3
        assert model.first.percentile(100) == pytest.approx(5000, rel=1e-3)
        assert model.between.percentile(100) == pytest.approx(2000, rel=1e-3)
        assert model.between.total == 2


def counters(requests: int, *, executions: int, infer_ms: float, as_text: bool = False) -> dict[Any, Any]:
    form = str if as_text else int
    duration = {"count": form(requests), "ns": form(int(requests * infer_ms * MS))}
    entry = {
        "name": "m",
        "version": "1",
        "inference_count": form(2 * requests),
        "execution_count": form(executions),
        "inference_stats": {"success": duration, "queue": duration, "compute_infer": duration},
        "batch_stats": [{"batch_size": form(2), "compute_infer": {"count": form(executions), "ns": form(executions)}}],
    }
    return {("m", "1"): entry}


class TestServer:
    @pytest.mark.parametrize("as_text", [False, True], ids=["http", "grpc"])
    def test_figures_are_the_difference_of_two_snapshots(self, as_text: bool) -> None:
        before = counters(10, executions=10, infer_ms=1, as_text=as_text)
        (one,) = figures(before, counters(40, executions=20, infer_ms=1, as_text=as_text))
        assert (one.requests, one.inferences, one.executions) == (30, 60, 10)
        assert one.compute_infer_us == pytest.approx(1000)
        assert [(size.size, size.executions) for size in one.batch_sizes] == [(2, 10)]

    def test_a_model_that_was_not_asked_is_left_out(self) -> None:
        same = counters(10, executions=10, infer_ms=1)
        assert figures(same, same) == []

    def test_a_model_that_was_loaded_anew_counts_from_zero(self) -> None:
        (one,) = figures(counters(1000, executions=9, infer_ms=1), counters(5, executions=5, infer_ms=1))
        assert one.requests == 5

    def test_a_version_that_came_meanwhile_counts_whole(self) -> None:
        (one,) = figures({}, counters(5, executions=5, infer_ms=1))
        assert one.requests == 5

    def test_the_time_line_has_one_entry_for_each_interval(self) -> None:
        line = windows(
            [(0.0, {}), (1.0, counters(5, executions=5, infer_ms=1)), (3.0, counters(9, executions=6, infer_ms=1))]
        )
        assert [(one.at_s, one.length_s, one.requests, one.mean_batch) for one in line] == [
            (0.0, 1.0, 5, 2.0),
            (1.0, 2.0, 4, 8.0),
        ]
