"""What the gates ask for: one place for every number that decides."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GateSettings(BaseModel):
    """Limits and levels of the gates.

    Attributes:
        alpha: how probable one false alarm of one of the compared figures may be, at each step of a rollout, however
            often the gates are asked.
        proof: the evidence that a figure needs before the candidate may go on; 20 refutes "it is worse" at 5 %.
        doubt: the evidence of something wrong from which on the candidate does not go on, short of going back.
        least_requests: of the candidate, at the present step.
        max_error_increase: failed requests that the candidate may have above the stable, as a share.
        max_slowdown: how many times as long as on the stable a request may take on the candidate.
        slack_ms: what it may take longer beside that; a server that is seldom asked has colder caches.
        max_different: share of mirrored requests whose answer may differ from the stable's. ``None``: differences are
            shown, as a new version is expected to answer otherwise, and only failures of one of the two count.
        max_growth_mb: how far the candidate's memory may grow after warm-up and still be growing, in 10^6 bytes.
        warm_up_s: how long after the first look memory is not judged.
        quiet_s: how long the candidate may answer nothing while the stable does before it does not go on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(default=0.002, gt=0, lt=1)
    proof: float = Field(default=20.0, gt=1)
    doubt: float = Field(default=20.0, gt=1)
    least_requests: int = Field(default=100, ge=1)
    max_error_increase: float = Field(default=0.015, gt=0, lt=1)
    max_slowdown: float = Field(default=1.5, ge=1)
    slack_ms: float = Field(default=1.0, ge=0)
    max_different: float | None = Field(default=0.05, gt=0, lt=1)
    max_growth_mb: float = Field(default=100.0, gt=0)
    warm_up_s: float = Field(default=2.0, ge=0)
    quiet_s: float = Field(default=10.0, gt=0)

    @property
    def alarm(self) -> float:
        """The evidence that sends the candidate back."""
        return 1 / self.alpha
