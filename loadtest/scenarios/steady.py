"""A constant rate for a while: does the server hold its objective without the luck and the bursts of chance?

Requests come at equal distances. What this finds and "server" does not is the server's own unrest.

Pass: the objective holds at the offered rate, nothing is dropped, and at least 99 % of the rate is achieved.
"""

from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define("steady", __doc__, loop="open", defaults={"arrivals": "constant"})


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
