"""Locust's users and shape of a scenario: thin shells round the generator."""

from __future__ import annotations

from typing import ClassVar

from locust import LoadTestShape, User, task
from locust.exception import StopUser

from maas_loadtest.generator import Generator
from maas_loadtest.scenario import Scenario

_MOST_SPAWNED_PER_S = 100
"""Locust's own limit for what it promises."""


class _OnceUser(User):
    """Does its part of the run once: Locust repeats a task, also one that failed."""

    abstract = True
    scenario: ClassVar[Scenario]
    _has_run = False

    @task
    def send(self) -> None:
        """The whole run."""
        if self._has_run:
            raise StopUser
        self._has_run = True
        self.run_with(self.scenario.running.generator)
        raise StopUser

    def run_with(self, generator: Generator) -> None:
        """What a subclass sends."""
        raise TypeError(f"{type(self).__name__} does not say what it sends")


class OpenLoopUser(_OnceUser):
    """Sends this worker's part of the schedule; there is one on each worker, whatever the rate."""

    abstract = True

    def run_with(self, generator: Generator) -> None:
        """The schedule."""
        generator.open_loop()


class ClosedLoopUser(_OnceUser):
    """One caller with one request under way at a time."""

    abstract = True

    def run_with(self, generator: Generator) -> None:
        """One request after the other."""
        generator.closed_loop()


class LoadShape(LoadTestShape):
    """As many users as the scenario needs, until it is over."""

    abstract = True
    scenario: ClassVar[Scenario]

    def tick(self) -> tuple[int, float] | None:
        """Locust asks once a second."""
        users = self.scenario.running.users_wanted()
        return None if users is None else (users, float(min(users, _MOST_SPAWNED_PER_S)))
