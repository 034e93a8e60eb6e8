"""The part of a run that each worker does: warm up, send, count, hand over.

It talks with the coordinator (:mod:`maas_loadtest.coordinator`) only by Locust's messages, so that it does not matter
whether both are one process, processes of one machine, or several machines::

    load_plan   ->  what to send and when
    load_ready  <-  one user has warmed up
    load_begin  ->  the measurement begins, so many seconds from now
    load_part   <-  what was seen since the last part; about once a second
    load_done   <-  one user has got its last answer
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gevent
import numpy as np
from gevent.event import Event
from gevent.pool import Group

from maas_client._url import Endpoint
from maas_client.errors import MaasClientError
from maas_core.compare import compare
from maas_core.spec import Tolerance
from maas_loadtest.exact_sleep import ExactSleep
from maas_loadtest.prepared import Prepared, from_message
from maas_loadtest.recorder import Recorder
from maas_loadtest.schedule import Schedule
from maas_loadtest.sending import Reply, Sender, SendFailed

PART_INTERVAL_S = 1.0
_NS = 1_000_000_000
_YIELD_AFTER_NS = 1_000_000
"""Who is late lets answers be read at least so often."""
_MOST_WARM_CALLERS = 8
_DRAIN_MARGIN_S = 5.0


class Generator:
    """One worker's part.

    Args:
        send_message: Locust's, to the coordinator.
        fire: Locust's ``request`` event, by which its own statistics learn of a request.
    """

    def __init__(self, send_message: Callable[[str, Any], None], fire: Callable[..., None]) -> None:
        self._send_message = send_message
        self._fire = fire
        self._planned = Event()
        self._begun = Event()
        self._plan: Mapping[str, Any] = {}
        self._prepared: list[Prepared] = []
        self._sender: Sender | None = None
        self._recorder = Recorder(_NS)
        self._start_ns = 0
        self._sent = 0
        self._users = 0
        self._reporter: gevent.Greenlet | None = None
        self._turn: Iterator[int] = itertools.count()

    def on_plan(self, plan: Mapping[str, Any]) -> None:
        """``load_plan``: what this worker has to do. A second plan begins a second run."""
        self.close()
        self._begun.clear()
        self._plan = plan
        self._prepared = [from_message(message) for message in plan["prepared"]]
        self._recorder = Recorder(int(plan["window_s"] * _NS))
        self._sent = self._users = 0
        self._turn = itertools.count(plan["index"])
        self._planned.set()

    def on_begin(self, message: Mapping[str, Any]) -> None:
        """``load_begin``: from then on everything counts. Clocks of several machines need not agree."""
        self._start_ns = time.monotonic_ns() + int(message["in_s"] * _NS)
        self._recorder.begin(self._start_ns)
        self._reporter = gevent.spawn(self._hand_over_regularly)
        self._begun.set()

    def open_loop(self) -> None:
        """Sends the schedule; what one user of an open loop does."""
        self._prepare(self._warm_at_rate)
        schedule = self._schedule()
        in_flight = Group()
        sleep = ExactSleep()
        try:
            self._send_schedule(schedule, in_flight, sleep)
            # The measurement lasts as long as it was planned, also where the last requests come early.
            gevent.sleep(max(0.0, self._start_ns / _NS + schedule.duration_s - time.monotonic()))
            in_flight.join(timeout=self._drain_s())
            in_flight.kill()
        finally:
            sleep.close()
            self._finish()

    def closed_loop(self) -> None:
        """Sends the next request when the last one is answered; what each user of a closed loop does."""
        self._prepare(self._warm_by_turns)
        end_ns = self._start_ns + int(self._plan["duration_s"] * _NS)
        marks = np.random.default_rng([self._plan["seed"], self._plan["index"], self._users])
        # At least one answer of each caller is compared, where any shall be.
        is_checked = self._plan["check_share"] > 0
        gevent.sleep(max(0.0, self._start_ns / _NS - time.monotonic()))
        try:
            while time.monotonic_ns() < end_ns and self._sent < self._plan["most_requests"]:
                prepared = self._prepared[next(self._turn) % len(self._prepared)]
                now_ns = time.monotonic_ns()
                self._recorder.offered(self._recorder.window_of(now_ns), len(prepared.wires))
                self._recorder.in_flight += 1
                try:
                    self._unit(prepared, now_ns, is_checked=is_checked)
                finally:
                    self._recorder.in_flight -= 1
                is_checked = bool(marks.random() < self._plan["check_share"])
        finally:
            self._finish()

    def close(self) -> None:
        """Ends the connections, and what a run that was stopped left."""
        if self._reporter is not None:
            self._reporter.kill()
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def hand_over(self) -> None:
        """``load_part``: what was seen since the last one."""
        if self._begun.is_set():
            self._send_message("load_part", {"pid": os.getpid(), **self._recorder.hand_over()})

    def _prepare(self, warm_up: Callable[[], None]) -> None:
        self._planned.wait()
        if self._sender is None:
            self._sender = make_sender(self._plan)
        warm_up()
        self._users += 1
        self._send_message("load_ready", {"pid": os.getpid()})
        self._begun.wait()

    def _finish(self) -> None:
        self._users -= 1
        if not self._users and self._reporter is not None:
            self._reporter.kill()
        self.hand_over()
        message = {"pid": os.getpid(), "gap_error_us": self._recorder.gap_error_us()}
        self._send_message("load_done", message)

    def _hand_over_regularly(self) -> None:
        while True:
            gevent.sleep(PART_INTERVAL_S)
            self.hand_over()

    def _schedule(self) -> Schedule:
        plan = self._plan
        return Schedule(
            np.frombuffer(plan["at_ns"], "<i8"),
            np.frombuffer(plan["request"], "<i4"),
            np.frombuffer(plan["checked"], "|b1"),
            plan["duration_s"],
        )

    def _drain_s(self) -> float:
        longest = max(len(prepared.wires) for prepared in self._prepared)
        return float(self._plan["timeout_s"]) * longest + _DRAIN_MARGIN_S

    def _send_schedule(self, schedule: Schedule, in_flight: Group, sleep: ExactSleep) -> None:
        recorder, most = self._recorder, int(self._plan["in_flight"])
        moments = (schedule.at_ns + self._start_ns).tolist()
        yielded_ns = 0
        for due_ns, request, is_checked in zip(
            moments, schedule.request.tolist(), schedule.checked.tolist(), strict=True
        ):
            now_ns = time.monotonic_ns()
            if due_ns > now_ns:
                sleep.until(due_ns)
                yielded_ns = time.monotonic_ns()
            elif now_ns - yielded_ns > _YIELD_AFTER_NS:
                gevent.sleep(0)
                yielded_ns = time.monotonic_ns()
            prepared = self._prepared[request]
            window = recorder.window_of(due_ns)
            recorder.offered(window, len(prepared.wires))
            if recorder.in_flight >= most:
                recorder.dropped(window, len(prepared.wires))
                continue
            recorder.in_flight += 1
            in_flight.start(gevent.Greenlet(self._scheduled, prepared, due_ns, is_checked))

    def _scheduled(self, prepared: Prepared, due_ns: int, is_checked: bool) -> None:  # a greenlet's argument
        try:
            self._recorder.late(due_ns, time.monotonic_ns())
            self._unit(prepared, due_ns, is_checked=is_checked)
        finally:
            self._recorder.in_flight -= 1

    def _unit(self, prepared: Prepared, due_ns: int, *, is_checked: bool) -> None:
        """One request, or a sequence from its first step to its last. A step is due when the last one is answered."""
        assert self._sender is not None  # noqa: S101  # made before the first request
        if prepared.kind == "sequence":
            prepared = prepared.with_new_id(is_grpc=self._plan["is_grpc"])
        for step, wire in enumerate(prepared.wires):
            expected = prepared.expected[step] if is_checked and prepared.expected else None
            due_ns = self._request(self._sender, prepared, wire, due_ns, expected)
            if not due_ns:
                # The steps that can not follow any more are no less lost than this one.
                left = len(prepared.wires) - step - 1
                window = self._recorder.window_of(time.monotonic_ns())
                for _ in range(left):
                    self._recorder.failed(window, prepared.model, "sequence", "a step before failed")
                return

    def _request(self, sender: Sender, prepared: Prepared, wire: bytes, due_ns: int, expected: Any) -> int:
        """Sends and counts one request; when it was answered, 0 where it was not."""
        recorder, model = self._recorder, prepared.model
        window = recorder.window_of(due_ns)
        recorder.sent(window, model, len(wire))
        self._sent += 1
        sent_ns = time.monotonic_ns()
        try:
            reply = sender.send(prepared, wire)
        except SendFailed as error:
            recorder.failed(window, model, error.kind, error.message)
            self._tell_locust(model, None, 0, error)
            return 0
        except gevent.GreenletExit:
            recorder.failed(window, model, "timeout", "no answer when the run ended")
            raise
        done_ns = time.monotonic_ns()
        if prepared.expected_version not in ("", reply.version):
            expected = None
        if expected is not None and (wrong := self._difference(sender, prepared, reply, expected)):
            recorder.compared(model, right=False)
            recorder.failed(window, model, "wrong_answer", wrong)
            self._tell_locust(model, None, reply.size_bytes, SendFailed("wrong_answer", wrong))
            return 0
        if expected is not None:
            recorder.compared(model, right=True)
        items = 1 if prepared.kind == "sequence" else prepared.items
        response_us = recorder.answered(
            window,
            model,
            reply.version,
            due_ns=due_ns,
            sent_ns=sent_ns,
            done_ns=done_ns,
            items=items,
            size_bytes=reply.size_bytes,
        )
        if prepared.kind == "stream":
            recorder.streamed(model, due_ns, reply.parts_ns)
        self._tell_locust(model, response_us / 1000, reply.size_bytes, None)
        return done_ns

    def _difference(self, sender: Sender, prepared: Prepared, reply: Reply, expected: Any) -> str:
        """How an answer differs from the right one; "" where it does not."""
        tolerances = {name: Tolerance(*pair) for name, pair in (prepared.tolerances or {}).items()}
        try:
            found = sender.outputs(prepared, reply)
        except (MaasClientError, ValueError, IndexError, KeyError) as error:
            return f"the answer cannot be read: {error}"
        wanted_only = {name: value for name, value in found.items() if name in expected}
        bad = [result for result in compare(expected, wanted_only, tolerances) if not result.passed]
        return f"{bad[0].output} {bad[0].detail}" if bad else ""

    def _tell_locust(self, model: str, response_ms: float | None, size_bytes: int, error: SendFailed | None) -> None:
        self._fire(
            request_type=self._plan["protocol"],
            name=model,
            response_time=response_ms,
            response_length=size_bytes,
            exception=error,
            context={},
        )

    def _warm_at_rate(self) -> None:
        """At most the rate of the first stage: the server shall be warm, not tired."""
        callers = Group()
        end = time.monotonic() + self._plan["warmup_s"]
        while time.monotonic() < end:
            if len(callers) < _MOST_WARM_CALLERS:
                callers.spawn(self._uncounted)
            gevent.sleep(self._plan["warm_every_s"])
        callers.join(timeout=self._drain_s())

    def _warm_by_turns(self) -> None:
        end = time.monotonic() + self._plan["warmup_s"]
        while time.monotonic() < end:
            self._uncounted()

    def _uncounted(self) -> None:
        assert self._sender is not None  # noqa: S101  # made before
        prepared = self._prepared[next(self._turn) % len(self._prepared)]
        if prepared.kind == "sequence":
            prepared = prepared.with_new_id(is_grpc=self._plan["is_grpc"])
        try:
            for wire in prepared.wires:
                self._sender.send(prepared, wire)
        except SendFailed:
            # What fails now fails in the measurement too and is counted there; a dead server is asked with pauses.
            gevent.sleep(0.1)


def make_sender(plan: Mapping[str, Any]) -> Sender:
    """The sender for a plan's address; made in the process that uses it."""
    endpoint = Endpoint.parse(plan["url"])
    if endpoint.is_grpc:
        from maas_loadtest.senders_grpc import GrpcSender

        headers = tuple((name.lower(), value) for name, value in plan["headers"])
        return GrpcSender(endpoint, plan["timeout_s"], headers)
    from maas_loadtest.senders_http import HttpSender

    return HttpSender(endpoint, plan["timeout_s"])
