"""Several models at once, each with its share of the traffic: what do they do to each other?

Poisson arrivals; --model a=3,b=1 asks a three times as often as b. The report has the figures of each model.

Pass: the widest objective of the models holds over all requests, nothing is dropped.
"""

from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define("mixed", __doc__, loop="open", defaults={"arrivals": "poisson"})


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
