"""Hours at a moderate rate: does anything grow, leak or wear out?

Poisson arrivals for an hour (--duration changes it). The time line of the report shows what grows.

Pass: the objective holds over the whole time, nothing is dropped, and every fifth of the run has the same throughput.
"""

from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define("soak", __doc__, loop="open", defaults={"arrivals": "poisson", "duration": 3600, "rate": 50})


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
