"""Steps that try the new versions on a server of their own, before any caller meets them."""

from __future__ import annotations

from typing import Any

from maas_core.errors import NotHeld, NotReachable
from maas_rollout.ports import Server
from maas_rollout.state import RolloutState
from maas_rollout.steps.prepare import named
from maas_rollout.world import World

_LOAD_TESTS = 2
"""A second one where the first is not valid: a busy machine says nothing of the candidate."""


class StartCandidate:
    """A second server has exactly the new versions ready."""

    name = "candidate"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"start a second server with {named(state.to) or 'the new version'}"

    def requires(self, world: World) -> None:
        """The versions are known."""
        _require_known(world)

    def apply(self, world: World) -> bool:
        """Starts it; one that has them ready stays."""
        if is_serving(world.candidate, world.state.to):
            return False
        world.candidate.start(world.state.to)
        return True

    def ensures(self, world: World) -> dict[str, Any]:
        """They are ready, and nothing else of these models."""
        address = world.candidate.address()
        if address is None or not is_serving(world.candidate, world.state.to):
            raise NotHeld(f"the candidate does not serve {named(world.state.to)}", "see its log: `maas rollout status`")
        return {"http": address.http, "grpc": address.grpc, "pid": address.pid}


class Check:
    """The candidate is who it should be and answers its golden samples."""

    name = "check"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return "ask the second server for its digests and its golden samples, over HTTP and gRPC"

    def requires(self, world: World) -> None:
        """It runs."""
        require_candidate(world)

    def apply(self, world: World) -> bool:
        """Looks only."""
        return False

    def ensures(self, world: World) -> dict[str, Any]:
        """Identity and answers of every model."""
        return prove(world, world.candidate)


class ShortLoad:
    """The candidate keeps its objective under a short load."""

    name = "load-test"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        objective = state.settings.objective
        return f"short load test of it: p99 within {objective.p99_ms:g} ms, errors within {objective.error_rate:.3%}"

    def requires(self, world: World) -> None:
        """It runs."""
        require_candidate(world)

    def apply(self, world: World) -> bool:
        """Measures only."""
        return False

    def ensures(self, world: World) -> dict[str, Any]:
        """The verdict of the load test, with its figures."""
        for _ in range(_LOAD_TESTS):
            address = world.candidate.address()
            if address is None:
                raise NotHeld("the candidate is gone")
            judgement = world.load_test.run(world.state.model, address, world.state.settings.objective)
            if judgement.verdict == "go":
                return judgement.evidence
            if judgement.verdict == "back":
                break
        raise NotHeld(f"load test: {'; '.join(judgement.reasons)}")


def prove(world: World, server: Server) -> dict[str, Any]:
    """Identity by digest, and the golden samples, of every model that is released.

    Raises:
        NotHeld: where a server says another digest than the bundle's, or answers otherwise than golden.
    """
    evidence: dict[str, Any] = {}
    for model, version in world.state.to.items():
        wanted = world.state.members[model].digest
        said = server.digest(model, version)
        if said != wanted:
            raise NotHeld(f"{model} {version}: the server says digest {said}, wanted {wanted}", "see `maas status`")
        evidence[model] = {"version": version, "digest": said, "golden": server.check_golden(model, version)}
    return evidence


def require_candidate(world: World) -> None:
    """Refuses to go on with a candidate that is not there, or is another."""
    _require_known(world)
    if not is_serving(world.candidate, world.state.to):
        raise NotHeld(f"the candidate no longer serves {named(world.state.to)}", "it ended, or a model of it did")


def is_serving(server: Server, versions: dict[str, int]) -> bool:
    """Whether exactly these versions of these models are ready."""
    if server.address() is None:
        return False
    try:
        ready = server.ready_versions()
    except NotReachable:
        return False
    return all(ready.get(model, []) == ([version] if version else []) for model, version in versions.items())


def _require_known(world: World) -> None:
    if not world.state.to:
        raise NotHeld("the versions to serve are not published yet")
