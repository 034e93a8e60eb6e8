"""One caller that waits for each answer: how long does a request take when nothing else is asked?

A closed loop: there is no queue, so this is the least that anybody will ever wait (MLPerf's "SingleStream"). It says
nothing about how the server does under load.

Pass: the objective holds.
"""

from maas_loadtest.locust_users import ClosedLoopUser, LoadShape
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define("single_stream", __doc__, loop="closed", defaults={"callers": 1})


class Caller(ClosedLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
