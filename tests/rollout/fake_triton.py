"""A fake of the two servers and of the gateway that lives on the disk, so that it outlives the process under test.

What passes for Triton follows the journals through the very view that the real supervisor builds, and takes a version
over as Triton does: only where its folder or the configuration is strictly newer than at the load before. State stands
in symbolic links, which a process without room on its disk can still write. The real server passes the same
contract (``test_server_contract.py``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tests.rollout.bundles import factor_of

from maas_core.compare import compare
from maas_core.config import pinned_version, read_config
from maas_core.errors import MaasError, NotHeld, NotReachable
from maas_core.events import EventLog
from maas_core.files import newest_change_ns
from maas_core.golden import load_golden
from maas_core.layout import view_dir
from maas_core.manifest import changed_files, read_manifest
from maas_core.releases import released_versions
from maas_core.repository import models_in, versions_of
from maas_rollout.ports import Address, Gate, GateContext, Judgement, Objective, Side
from maas_rollout.world import Ports
from maas_server.served_view import ServedView

Json = dict[str, Any]


class Cell:
    """A small JSON document on the disk, replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Json:
        try:
            return dict(json.loads(os.readlink(self._path)))  # noqa: PTH115  # a text, not a path
        except FileNotFoundError:
            return {}

    def update(self, **changes: Any) -> None:
        text = json.dumps({**self.read(), **changes})
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(text)
        temporary.replace(self._path)


class Book:
    """Violations of what must never happen, and the faults that are switched on."""

    def __init__(self, root: Path) -> None:
        self._violations = Cell(root / "violations")
        self._faults = Cell(root / "faults")

    def violation(self, text: str) -> None:
        self._violations.update(**{text: True})

    @property
    def violations(self) -> list[str]:
        return list(self._violations.read())

    def switch(self, fault: str, *, on: bool = True) -> None:
        self._faults.update(**{fault: on})

    def has(self, fault: str) -> bool:
        return bool(self._faults.read().get(fault))


class _Mute(EventLog):
    """Events that nobody hears, and no thread that a fork would lose."""

    def __init__(self) -> None:
        pass

    def tell(self, event: str, words: str, **fields: Any) -> None:
        pass


class FakeServer:
    """The stable server: see :class:`maas_rollout.ports.Server`."""

    side = "stable"

    def __init__(self, root: Path, repository: Path) -> None:
        self.root = root
        self.repository = repository
        self.book = Book(root)
        self.cell = Cell(root / self.side)

    @property
    def view(self) -> Path:
        return view_dir(self.side)

    def address(self) -> Address | None:
        if self.book.has(f"{self.side} gone") or not self._is_up():
            return None
        port = 8000 if self.side == "stable" else 9000
        return Address(f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}", f"127.0.0.1:{port + 2}", pid=1)

    def ready_versions(self) -> dict[str, list[int]]:
        self._require()
        self.follow()
        return {model: [version] for model, version in self.loaded().items()}

    def failed(self) -> dict[str, str]:
        self._require()
        return dict(self.cell.read().get("failed", {}))

    def digest(self, model: str, version: int) -> str | None:
        self._require()
        served = self.cell.read()["served"].get(model, {})
        return str(served["digest"]) if served.get("version") == version else None

    def check_golden(self, model: str, version: int) -> dict[str, Any]:
        self._require()
        folder = self.repository / model / str(version)
        for sample in load_golden(folder / "golden.npz"):
            answer = {"y": sample.inputs["x"] * np.float32(self._factor(model))}
            bad = [result for result in compare(sample.outputs, answer, {}) if not result.passed]
            if bad:
                raise NotHeld(f"{model}, sample {sample.name}: {bad[0].detail}")
        return {"samples": 1}

    def loaded(self) -> dict[str, int]:
        return {model: served["version"] for model, served in self.cell.read().get("served", {}).items()}

    def follow(self) -> None:
        """What the supervisor does twice a second."""
        state = self.cell.read()
        seen = self._seen()
        if state.get("seen") == seen:
            return
        served, failed = dict(state.get("served", {})), dict(state.get("failed", {}))
        shown = ServedView(self.repository, self.view, self._models(), {}, _Mute(), self._pins())
        shown.versions = self.loaded()
        try:
            changes = shown.take_over(served)
        except (MaasError, OSError):
            # As the supervisor: what is served serves on, and it is tried again.
            return
        if not changes.changed and not changes.removed:
            self.cell.update(seen=seen)
            return
        self._note_mixture([model for model in changes.changed if model in served])
        failed = {}
        for model in changes.removed:
            served.pop(model, None)
        for model in changes.changed:
            try:
                served[model] = self._load(model, shown.versions[model], served.get(model))
                shown.loaded(model)
            except NotHeld as error:
                shown.refuse(model, error.message)
                failed[model] = shown.refused.get(model, error.message)
        self.cell.update(served=served, failed=failed, seen=seen)

    def _seen(self) -> Json:
        """What the supervisor looks at to see whether anything changed."""
        newest = {model: versions_of(self.repository / model)[-1:] for model in models_in(self.repository)}
        versions = {model: found[0].version for model, found in newest.items() if found}
        return {"newest": versions, "released": released_versions(self.repository), "pins": self._pins()}

    def load_anew(self, model: str) -> None:
        """A load call in which nothing but the times changed."""
        served = self.cell.read()["served"]
        served[model] = self._load(model, served[model]["version"], served[model])
        self.cell.update(served=served)

    def _note_mixture(self, switched: Sequence[str]) -> None:
        """An ensemble is switched model by model: its callers must be elsewhere meanwhile."""
        percent, _ = gateway_splits(self.root).get("chain", (0, 0))
        if self.side == "stable" and "chain" in switched and len(switched) > 1 and percent < 100:
            self.book.violation(f"chain was switched with its steps while it served {100 - percent} % of the callers")

    def _load(self, model: str, version: int, before: Json | None) -> Json:
        folder = self.view / model / str(version)
        if pinned_version(read_config(folder.parent)) != version:
            raise NotHeld(f"the view of {model} pins another version than {version}")
        if changed_files(folder, read_manifest(folder)):
            self.book.violation(f"{model} {version} was loaded and is not whole")
        source = folder / "model.py"
        if self.book.has(f"{self.side} refuses") and before is not None and before["version"] != version:
            raise NotHeld(f"failed to load '{model}' version {version}: refused")
        if source.exists() and "no_such_package" in source.read_text():
            raise NotHeld(f"failed to load '{model}' version {version}: No module named 'no_such_package'")
        newest_ns = newest_change_ns(folder.parent)
        if before is not None and newest_ns <= before["newest_ns"]:
            return before
        return {"version": version, "digest": read_manifest(folder).digest, "newest_ns": newest_ns}

    def _factor(self, model: str) -> int:
        if model == "chain":
            return self._factor("first") * self._factor("second")
        return factor_of(self.view / model / str(self.loaded()[model]) / "model.py")

    def _models(self) -> list[str] | None:
        return None

    def _pins(self) -> dict[str, int]:
        return {}

    def _is_up(self) -> bool:
        return True

    def _require(self) -> None:
        if self.address() is None:
            raise NotReachable(f"the {self.side} server does not answer")


class FakeCandidate(FakeServer):
    """See :class:`maas_rollout.ports.Candidate`."""

    side = "candidate"

    def start(self, versions: Mapping[str, int]) -> None:
        self.cell.update(up=True, pins=dict(versions), served={}, failed={}, seen={})
        self.follow()
        failed = self.failed()
        if failed or self.loaded() != dict(versions):
            self.cell.update(up=False, served={})
            raise NotHeld(f"the candidate does not load {failed or versions}")

    def stop(self, drain_timeout_s: float) -> None:
        if not self._is_up():
            return
        for model, (percent, _) in gateway_splits(self.root).items():
            if percent:
                self.book.violation(f"the candidate was stopped while it served {percent} % of {model}")
        self.cell.update(up=False, served={}, pins={})

    def _models(self) -> list[str]:
        return list(self._pins())

    def _pins(self) -> dict[str, int]:
        return dict(self.cell.read().get("pins", {}))

    def _is_up(self) -> bool:
        return bool(self.cell.read().get("up"))


def gateway_splits(root: Path) -> dict[str, tuple[int, int]]:
    return {model: (split[0], split[1]) for model, split in Cell(root / "gateway").read().get("splits", {}).items()}


class FakeGateway:
    """See :class:`maas_rollout.ports.Gateway`. What it is told stands also where nobody is there to do it."""

    def __init__(self, root: Path, stable: FakeServer, candidate: FakeCandidate) -> None:
        self._root = root
        self._cell = Cell(root / "gateway")
        self._stable, self._candidate = stable, candidate
        if not self._cell.read():
            self._cell.update(splits={}, candidate=None)

    def set_split(
        self, models: Mapping[str, int], candidate: Address | None, *, percent: int = 0, mirror_percent: int = 0
    ) -> bool:
        before = self._cell.read()
        splits = {} if candidate is None else {model: [percent, mirror_percent] for model in models}
        self._cell.update(splits=splits, candidate=candidate.http if candidate else None)
        if self._stable.book.has("gateway gone"):
            raise NotReachable("the gateway does not answer")
        for model in models:
            self._require_served(model, percent)
        return before != self._cell.read()

    def split(self, model: str) -> tuple[int, int]:
        return gateway_splits(self._root).get(model, (0, 0))

    def is_free_for(self, models: Sequence[str]) -> bool:
        return set(gateway_splits(self._root)) <= set(models)

    def live_sequences(self, models: Sequence[str], side: Side, idle_s: float) -> list[str]:
        return list(self._cell.read().get(f"sequences of {side}", []))

    def _require_served(self, model: str, percent: int) -> None:
        book = self._stable.book
        if percent and model not in self._candidate.loaded():
            book.violation(f"{percent} % of {model} were sent to a candidate that does not have it")
        if percent < 100 and not book.has("stable gone") and model not in self._stable.loaded():
            book.violation(f"{100 - percent} % of {model} were sent to a stable server that does not have it")


@dataclass
class FakeClock:
    """Time passes when somebody waits."""

    passed_s: float = 0.0
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self.passed_s)

    def monotonic_s(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        self.passed_s += seconds


class FakeLoadTest:
    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement

    def run(self, model: str, address: Address, objective: Objective) -> Judgement:
        return self._judgement


@dataclass
class FakeGate:
    """Says the same again and again, or one thing after the other."""

    judgements: list[Judgement]
    name: str = "fake"

    def judge(self, model: str, since: datetime) -> Judgement:
        return self.judgements.pop(0) if len(self.judgements) > 1 else self.judgements[0]


class FakeWorld:
    """Everything around a rollout, in one folder.

    Attributes:
        load: what the load test says.
        gate: what the gates say.
    """

    def __init__(self, root: Path, repository: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.book = Book(root)
        self.stable = FakeServer(root, repository)
        self.candidate = FakeCandidate(root, repository)
        self.gateway = FakeGateway(root, self.stable, self.candidate)
        self.load = Judgement("go")
        self.gate: list[Judgement] = [Judgement("go")]
        self.clock = FakeClock()

    def ports(self, _: object) -> Ports:
        return Ports(
            gateway=self.gateway,
            server=self.stable,
            candidate=self.candidate,
            load_test=FakeLoadTest(self.load),
            gates_for=self._gates,
            clock=self.clock,
            patience_s=2.0,
        )

    def _gates(self, _: GateContext) -> Sequence[Gate]:
        return [FakeGate(list(self.gate))]
