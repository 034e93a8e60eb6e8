"""As many inferences per second as the server can give: what does a night's work cost?

A closed loop of 32 callers that always have the next request ready (MLPerf's "Offline"): the server is never idle. How
long a single request takes means nothing here, unless --slo says otherwise; errors do.

Pass: no errors, and the throughput is the same throughout the run.
"""

from maas_loadtest.locust_users import ClosedLoopUser, LoadShape
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define(
    "offline",
    __doc__,
    loop="closed",
    defaults={"callers": 32, "in_flight": 32, "slo": "errors=0%", "timeout": 60},
)


class Caller(ClosedLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
