"""What one rollout was asked to do; the journal keeps it, so that whoever resumes it does the same."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from maas_rollout.ports import Objective


class Settings(BaseModel):
    """The options of ``maas rollout start``.

    Attributes:
        weights: the shares of the callers that get the candidate, one after the other, in per cent; the last is 100.
        interval_s: how long each is held at least.
        hold_s: how long gates may stay undecided at one weight; then it goes back.
        p99_ms: objective; by default that of the bundle.
        error_rate: likewise.
        load_rate_per_s: requests per second of the short load test.
        load_s: how long it measures; 0 leaves it out.
        mirror_percent: the share of requests that are mirrored and compared, before the first weight and at every
            one below 100; 0 leaves it out.
        max_different: the share of these whose answers may differ; ``None``: all of them, as after a new training.
        keep: how many old versions stay in the repository.
        use_gateway: without one there are no weights: golden samples and load test alone decide.
        gateway_state: the gateway's state folder.
        stable_view: the view of the server that is promoted.
        load_timeout_s: how long a version may take to be ready.
        drain_s: how long live sequences may take to end before their version goes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: tuple[int, ...] = (5, 25, 50, 100)
    interval_s: float = Field(30.0, ge=0)
    hold_s: float = Field(120.0, gt=0)
    p99_ms: float = Field(gt=0)
    error_rate: float = Field(ge=0, le=1)
    load_rate_per_s: float = Field(20.0, gt=0)
    load_s: float = Field(10.0, ge=0)
    mirror_percent: int = Field(0, ge=0, le=100)
    max_different: float | None = Field(None, gt=0, lt=1)
    keep: int = Field(5, ge=1)
    use_gateway: bool = True
    gateway_state: str
    stable_view: str = "stable"
    load_timeout_s: float = Field(120.0, gt=0)
    drain_s: float = Field(30.0, ge=0)

    @field_validator("weights")
    @classmethod
    def _rising_to_all(cls, weights: tuple[int, ...]) -> tuple[int, ...]:
        if not weights or list(weights) != sorted(set(weights)) or weights[0] < 1 or weights[-1] != 100:
            raise ValueError("the steps are per cents that rise from at least 1 to 100")
        return weights

    @property
    def objective(self) -> Objective:
        """What callers were promised."""
        return Objective(self.p99_ms, self.error_rate)
