"""Independent callers at a given rate: how long do they wait?

Requests arrive as a Poisson process, whatever the server does, and a response time counts from the moment at which the
request was due (MLPerf's "Server").

Pass: the objective holds at the offered rate, nothing is dropped, and at least 99 % of the rate is achieved.
"""

from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define("server", __doc__, loop="open", defaults={"arrivals": "poisson"})


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
