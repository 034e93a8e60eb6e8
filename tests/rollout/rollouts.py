"""Rollouts on the fake world, as the commands do them."""

from __future__ import annotations

from pathlib import Path

from tests.rollout.fake_triton import FakeWorld

from maas_rollout.service import Rollouts
from maas_rollout.settings import Settings
from maas_rollout.state import RolloutState


def settings(**changes: object) -> Settings:
    """Short times; the clock of the fake world does not wait anyway."""
    values: dict[str, object] = {
        "weights": (50, 100),
        "interval_s": 1.0,
        "hold_s": 2.0,
        "p99_ms": 100.0,
        "error_rate": 0.001,
        "gateway_state": "build/gateway",
        "load_timeout_s": 2.0,
        "drain_s": 1.0,
    }
    return Settings.model_validate({**values, **changes})


def release(world: FakeWorld, *bundles: Path, model: str = "double", **changes: object) -> RolloutState | None:
    rollouts = Rollouts(world.ports)
    planned = rollouts.plan_release(model, bundles, world.stable.repository, settings(**changes), "a test")
    return rollouts.start(planned)


def give_back(world: FakeWorld, version: int | None = None, model: str = "double") -> RolloutState | None:
    return Rollouts(world.ports).roll_back(model, version, "a test")
