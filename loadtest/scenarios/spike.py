"""A sudden crowd: does the server recover once it has gone?

Poisson arrivals: --rate for two fifths of the time, four times as many for one fifth, and --rate again.

Pass: nothing is dropped, everything is answered, and the objective holds in the last two fifths, after the crowd.
"""

from collections.abc import Sequence

from maas_loadtest.arrivals import Stage
from maas_loadtest.locust_users import LoadShape, OpenLoopUser
from maas_loadtest.scenario import Scenario
from maas_loadtest.settings import Settings

CROWD = 4


def crowd(settings: Settings) -> Sequence[Stage]:
    """Before, crowd, after."""
    fifth = settings.duration / 5
    return [Stage(2 * fifth, settings.rate), Stage(fifth, CROWD * settings.rate), Stage(2 * fifth, settings.rate)]


SCENARIO = Scenario.define(
    "spike",
    __doc__,
    loop="open",
    stages=crowd,
    is_steady=False,
    judged_stage=2,
    defaults={"arrivals": "poisson", "in_flight": 2048},
)


class Caller(OpenLoopUser):
    """See the module."""

    scenario = SCENARIO


class Shape(LoadShape):
    """See the module."""

    scenario = SCENARIO
