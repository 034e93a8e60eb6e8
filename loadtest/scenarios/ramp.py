"""More and more requests: where is the knee, the last rate at which the objective holds?

Poisson arrivals in ten equal stages from a tenth of --rate up to --rate. Beyond the knee requests are late and dropped
on purpose: the report marks the knee in the table of stages. `maas load peak` finds the rate itself, more exactly.

Pass: the first stage holds the objective, so that there is a knee at all.
"""

from collections.abc import Sequence

from maas_loadtest.arrivals import Stage
from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario
from maas_loadtest.settings import Settings

STAGES = 10


def climb(settings: Settings) -> Sequence[Stage]:
    """Equal times, equally growing rates."""
    return [Stage(settings.duration / STAGES, settings.rate * step / STAGES) for step in range(1, STAGES + 1)]


SCENARIO = Scenario.define(
    "ramp",
    __doc__,
    loop="open",
    stages=climb,
    is_steady=False,
    judged_stage=0,
    finds_knee=True,
    defaults={"arrivals": "poisson", "rate": 1000, "duration": 100},
)


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
