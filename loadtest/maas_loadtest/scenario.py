"""What a scenario is: one question, the load that answers it, and what must hold.

A scenario is a Locust file of three definitions::

    SCENARIO = Scenario.define("server", __doc__, loop="open", …)

    class Caller(OpenLoopUser):
        scenario = SCENARIO

    class Shape(LoadShape):
        scenario = SCENARIO
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from maas_core.errors import WrongUse
from maas_loadtest.arrivals import Stage
from maas_loadtest.settings import Settings

if TYPE_CHECKING:
    from maas_loadtest.locust_run import LocustRun

Stages = Callable[[Settings], Sequence[Stage]]
Which = Literal["sequence", "stream", "any"]


def steady_rate(settings: Settings) -> Sequence[Stage]:
    """One stage: ``--rate`` for ``--duration``."""
    return (Stage(settings.duration, settings.rate),)


@dataclass
class Scenario:
    """One scenario.

    Attributes:
        name: as ``maas load run`` takes it.
        question: the first line of the file's docstring.
        pass_rule: the paragraph that begins with "Pass:".
        loop: whether requests wait for answers.
        defaults: of options, by name.
        stages: of an open loop, the rates one after another.
        which: what kind of model it asks.
        is_steady: whether all windows of the run are to be alike.
        judged_stage: the only stage whose answers the objective is for; None for the whole run.
        finds_knee: the load grows on purpose beyond what the server carries: what it can not carry is the finding.
        replays: the schedule is a recorded trace.
        run: set by Locust's ``init`` event.
    """

    name: str
    question: str
    pass_rule: str
    loop: Literal["open", "closed"]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    stages: Stages = steady_rate
    which: Which = "any"
    is_steady: bool = True
    judged_stage: int | None = None
    finds_knee: bool = False
    replays: bool = False
    run: LocustRun | None = None

    @classmethod
    def define(cls, name: str, text: str | None, **parts: Any) -> Scenario:
        """Makes the scenario from the docstring of its file, and tells Locust of it.

        Raises:
            WrongUse: the docstring has no question or no pass rule.
        """
        from maas_loadtest.locust_run import install

        paragraphs = [" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n")]
        rules = [paragraph for paragraph in paragraphs if paragraph.startswith("Pass:")]
        if not rules or not paragraphs[0]:
            raise WrongUse(
                f"the scenario {name} does not say what it asks and what must hold",
                "begin its docstring with the question, and one paragraph with 'Pass:'",
            )
        scenario = cls(name, paragraphs[0], rules[0].removeprefix("Pass:").strip(), **parts)
        install(scenario)
        return scenario

    @property
    def running(self) -> LocustRun:
        """The run of this process.

        Raises:
            RuntimeError: outside of Locust.
        """
        if self.run is None:
            raise RuntimeError(f"the scenario {self.name} runs only under Locust")
        return self.run
