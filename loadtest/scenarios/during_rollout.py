"""The same load while versions change: does any caller notice?

Poisson arrivals without a pause. The report tells which version gave how many answers, second by second; name the
gateway as --url. Compared are the answers of the version whose golden samples are known, which is the one that served
when the run began. Server and client need not agree on the count: several servers answer.

Pass: no errors, nothing is dropped, and the objective holds over the whole time.
"""

from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario

SCENARIO = Scenario.define(
    "during_rollout",
    __doc__,
    loop="open",
    defaults={"arrivals": "poisson", "duration": 300, "agreement": "shown"},
)


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
