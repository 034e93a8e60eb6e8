"""One caller that sends several samples at once: how long does it take until all of them are answered?

A closed loop with requests of eight samples each (MLPerf's "MultiStream"; --batch-size changes the eight).

Pass: the objective holds for whole requests.
"""

from maas_loadtest.locust_users import ClosedLoopUser, LoadShape
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define("multi_stream", __doc__, loop="closed", defaults={"callers": 1, "batch_size": 8})


class Caller(ClosedLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
