"""Locust's users and shape of a scenario: thin shells round the generator."""

from __future__ import annotations

from typing import ClassVar

from locust import LoadTestShape, User, task
from locust.exception import StopUser

from maas_loadtest.scenario import Scenario

_MOST_SPAWNED_PER_S = 100
"""Locust's own limit for what it promises."""


class OpenLoopUser(User):
    """Sends this worker's part of the schedule; there is one on each worker, whatever the rate."""

    abstract = True
    scenario: ClassVar[Scenario]
    _has_run = False

    @task
    def send(self) -> None:
        """The whole run. Locust repeats a task that failed: a schedule is sent once."""
        if self._has_run:
            raise StopUser
        self._has_run = True
        self.scenario.running.generator.open_loop()
        raise StopUser


class ClosedLoopUser(User):
    """One caller with one request under way at a time."""

    abstract = True
    scenario: ClassVar[Scenario]
    _has_run = False

    @task
    def send(self) -> None:
        """The whole run."""
        if self._has_run:
            raise StopUser
        self._has_run = True
        self.scenario.running.generator.closed_loop()
        raise StopUser


class LoadShape(LoadTestShape):
    """As many users as the scenario needs, until it is over."""

    abstract = True
    scenario: ClassVar[Scenario]

    def tick(self) -> tuple[int, float] | None:
        """Locust asks once a second."""
        users = self.scenario.running.users_wanted()
        return None if users is None else (users, float(min(users, _MOST_SPAWNED_PER_S)))
