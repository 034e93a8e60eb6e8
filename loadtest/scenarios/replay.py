"""The traffic of a real day, once more: would the server have held its objective?

Requests come at the moments of a recorded trace (--trace FILE, `maas load record` writes one), with its models and
batch sizes; --speed 2 plays it twice as fast.

Pass: the objective holds, nothing is dropped, and at least 99 % of the trace's rate is achieved.
"""

from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define("replay", __doc__, loop="open", replays=True, is_steady=False)


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
