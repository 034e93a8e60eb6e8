"""Callers of a model that answers bit by bit: how long until the first bit, and between two of them?

Streams begin as a Poisson process. The time to the first answer counts from the scheduled moment; objectives may name
it (first_p99=500ms) and the time between two answers of one stream (between_p99=50ms).

Pass: the objective holds, no stream fails, and nothing is dropped.
"""

from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define(
    "streaming",
    __doc__,
    loop="open",
    which="stream",
    defaults={"arrivals": "poisson", "rate": 6, "duration": 120, "timeout": 60},
)


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
