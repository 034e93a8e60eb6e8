"""What a rollout takes for granted of its two servers: the fake ones and the real ones are asked the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.rollout.bundles import BROKEN, digest_of, make_bundle, make_ensemble
from tests.rollout.fake_triton import FakeWorld
from tests.server.serving import Serving, start_serving

from maas_core.errors import NotHeld, NotReachable
from maas_core.layout import view_dir
from maas_core.releases import NOT_SERVED, journal_path
from maas_rollout.journal import Journal
from maas_rollout.ports import Candidate, Server
from maas_rollout.publish import publish
from maas_rollout.servers import CandidateServer, ServedView
from maas_rollout.wiring import SystemClock
from maas_server.triton_http import TritonHttp

_TIMEOUT_S = 60.0
_HOUR_NS = 3600 * 10**9


@dataclass
class Pair:
    """A stable server over a repository, and the candidate beside it.

    Attributes:
        end: ends the stable server.
        load_anew: has the stable server look at a model's files again.
    """

    repository: Path
    bundles: Path
    server: Server
    candidate: Candidate
    end: Callable[[], None]
    load_anew: Callable[[str], None]

    def publish(self, model: str, factor: int, **options: str | int) -> Path:
        bundle = make_bundle(self.bundles, model, factor, **options)  # type: ignore[arg-type]  # its own options
        publish(bundle, self.repository)
        return bundle

    def pin(self, versions: Mapping[str, int]) -> None:
        Journal(journal_path("test"), SystemClock()).pin("test", self.repository, versions)

    def serves(self, versions: Mapping[str, int]) -> bool:
        """Whether it comes to serve exactly these versions of these models."""
        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline:
            ready = self.server.ready_versions()
            if all(ready.get(model, []) == ([version] if version else []) for model, version in versions.items()):
                return True
            time.sleep(0.05)
        return False

    def says_why(self, model: str, words: str) -> bool:
        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline:
            self.server.ready_versions()
            if words in self.server.failed().get(model, ""):
                return True
            time.sleep(0.05)
        return False


@pytest.fixture(params=["fake", "real"])
def pair(request: pytest.FixtureRequest, tmp_path: Path, build: Path) -> Iterator[Pair]:
    repository, bundles = tmp_path / "models", tmp_path / "bundles"
    publish(make_bundle(bundles, "double", 2), repository)
    if request.param == "fake":
        world = FakeWorld(tmp_path / "world", repository)
        stable = world.stable
        end = partial(world.book.switch, "stable gone")
        yield Pair(repository, bundles, stable, world.candidate, end, stable.load_anew)
        return
    serving = start_serving(repository, build, "--watch")
    candidate = CandidateServer("double", repository, _TIMEOUT_S)
    api = TritonHttp(serving.http.removeprefix("http://"), serving.token)
    yield Pair(repository, bundles, ServedView("stable", repository), candidate, _ended(serving), api.load)
    candidate.stop(0.0)
    serving.stop()


def _ended(serving: Serving) -> Callable[[], None]:
    def end() -> None:
        assert serving.stop() == 0

    return end


def test_the_stable_server_follows_the_journals(pair: Pair) -> None:
    server = pair.server
    assert pair.serves({"double": 1})
    pair.pin({"double": 1})
    bundle = pair.publish("double", 20)
    pair.publish("double", 30, more=BROKEN)
    pair.publish("double", 40, answer=7)
    pair.pin({"triple": NOT_SERVED})
    pair.publish("triple", 3)
    # What no journal names comes at once, which proves that the rest was seen, too.
    pair.publish("quadruple", 4)
    assert pair.serves({"double": 1, "triple": NOT_SERVED, "quadruple": 1})

    pair.pin({"double": 2, "triple": 1})
    assert pair.serves({"double": 2, "triple": 1})
    assert server.digest("double", 2) == digest_of(bundle)
    server.check_golden("double", 2)

    pair.pin({"double": 3})
    assert pair.says_why("double", "no_such_package")
    assert pair.serves({"double": 2}), "what does not load leaves serving what serves"
    server.check_golden("double", 2)

    pair.pin({"double": 4})
    assert pair.serves({"double": 4})
    with pytest.raises(NotHeld, match=r"double.*sample three"):
        server.check_golden("double", 4)

    # As after a load while the clock was an hour ahead.
    future_ns = time.time_ns() + _HOUR_NS
    for path in [view_dir("stable") / "double" / "config.pbtxt", view_dir("stable") / "double" / "4"]:
        os.utime(path, ns=(future_ns, future_ns))
    pair.load_anew("double")
    pair.pin({"double": 1})
    assert pair.serves({"double": 1}), "a clock that was set back makes no version old"
    server.check_golden("double", 1)

    pair.pin({"triple": NOT_SERVED})
    assert pair.serves({"triple": NOT_SERVED, "double": 1})

    pair.end()
    assert server.address() is None
    with pytest.raises(NotReachable):
        server.ready_versions()
    with pytest.raises(NotReachable):
        server.failed()
    with pytest.raises(NotReachable):
        server.check_golden("double", 1)


def test_the_candidate_serves_what_it_is_told_whatever_the_journals_say(pair: Pair) -> None:
    candidate = pair.candidate
    assert candidate.address() is None
    candidate.stop(0.0)
    pair.pin({"double": 1, "chain": NOT_SERVED, "first": NOT_SERVED, "second": NOT_SERVED})
    pair.publish("double", 30, more=BROKEN)
    first, second = make_bundle(pair.bundles, "first", 3), make_bundle(pair.bundles, "second", 5)
    for bundle in make_ensemble(pair.bundles, first, second):
        publish(bundle, pair.repository)
    with pytest.raises(NotHeld, match=r"candidate does not load .*no_such_package"):
        candidate.start({"double": 2})
    assert candidate.address() is None
    versions = {"first": 1, "second": 1, "chain": 1}
    candidate.start(versions)
    address = candidate.address()
    assert address is not None
    assert candidate.ready_versions() == {model: [version] for model, version in versions.items()}
    assert candidate.digest("first", 1) == digest_of(first)
    assert candidate.digest("chain", 1) == digest_of(pair.bundles / "chain-15")
    candidate.check_golden("chain", 1)
    assert pair.serves({"double": 1, "chain": NOT_SERVED})
    candidate.stop(5.0)
    assert candidate.address() is None
    with pytest.raises(NotReachable):
        candidate.ready_versions()
