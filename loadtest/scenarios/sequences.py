"""Callers of a model that keeps a state: how long do the steps of their sequences take?

Sequences begin as a Poisson process (--rate counts sequences); a step follows as soon as the last one is answered, so
that the response time of the first step counts from its scheduled moment and that of others from the answer before.

Pass: the objective holds for steps, no sequence is lost, and nothing is dropped.
"""

from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define(
    "sequences", __doc__, loop="open", which="sequence", defaults={"arrivals": "poisson", "rate": 10}
)


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
