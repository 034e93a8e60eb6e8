"""Measuring settings of one model: a scratch server that loads one setting after the other, and the load generator."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any

from maas_core.config import CONFIG_FILE, dump_config
from maas_core.errors import MaasError, NotHeld, WrongUse
from maas_core.events import EventLog
from maas_core.files import link_tree, write_atomic
from maas_core.layout import build_dir, bundles_dir
from maas_core.manifest import read_manifest
from maas_server.embedded import EmbeddedTriton, embedded_triton
from maas_server.front_gateway import FrontGateway, GatewayOptions
from maas_server.triton_http import TritonRefused, TritonUnreachable
from maas_server.tune_requests import write_requests
from maas_server.tune_search import Point
from maas_server.tune_settings import Setting, apply_setting

_WARM_UP_S = 0.2
_FIRST_WARM_UP_S = 0.6
"""The first runs of an instance allocate what the later ones reuse."""
_DRAIN_S = 1.0
"""How long what is in flight at the end may take: nobody waits for it."""
_VERSION = "1"


def bundle_to_tune(model: str) -> Path:
    """The verified bundle of ``model``.

    Raises:
        WrongUse: where there is none, or the model has nothing to tune.
        NotHeld: where it is damaged or was never verified.
    """
    folders = sorted(path.parent for path in (bundles_dir() / model).glob("*/manifest.json"))
    if not folders:
        raise WrongUse(f"there is no bundle of {model} under {bundles_dir()}", f"run `maas export {model}` first")
    manifest = read_manifest(folders[0])
    if manifest.requires:
        raise WrongUse(
            f"{model} is an ensemble and computes nothing itself", f"tune its steps: {', '.join(manifest.requires)}"
        )
    if manifest.verification is None or not manifest.verification.passed:
        raise NotHeld(f"{folders[0]} is not verified", f"run `maas verify {folders[0]}`")
    return folders[0]


class LoadGenerator:
    """:mod:`maas_server.tune_load` in a process of its own; a context manager.

    Args:
        bodies: the file that :func:`maas_server.tune_requests.write_requests` wrote.
    """

    def __init__(self, bodies: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "maas_server.tune_load", str(bodies)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> LoadGenerator:
        """Nothing to do: it runs."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def run(self, address: str, model: str, *, callers: int, warm_up_s: float, duration_s: float) -> dict[str, Any]:
        """Counts for ``duration_s``; see :func:`maas_server.tune_load.run_window` for what comes back.

        Raises:
            MaasError: where the server went away or does not answer.
        """
        assert self._process.stdin is not None  # noqa: S101  # a pipe by construction
        assert self._process.stdout is not None  # noqa: S101  # a pipe by construction
        command = {
            "address": address,
            "model": model,
            "callers": callers,
            "warm_up_s": warm_up_s,
            "duration_s": duration_s,
        }
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise MaasError("the load generator ended", "its reason stands above")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise MaasError(f"{model} could not be measured with {callers} callers: {answer['failed']}")
        return answer


@dataclass(frozen=True)
class Bench:
    """A scratch server and its generator.

    Attributes:
        triton: the server, with no model loaded.
        repository: its repository, which is filled as settings are tried.
        bundle: the bundle whose settings are tried.
        config: its ``ModelConfig``.
        callers: the numbers of callers that each setting is measured with.
        address: ``HOST:PORT`` that they call: the server's own, or a gateway's in front of it.
    """

    triton: EmbeddedTriton
    repository: Path
    bundle: Path
    config: Any
    generator: LoadGenerator
    callers: Sequence[int]
    address: str

    def measure(self, settings: Sequence[Setting], window_s: float, repeats: int) -> list[Point]:
        """Loads ``settings``, measures them in turn ``repeats`` times with every number of callers, and unloads them.

        Raises:
            NotHeld: where a setting does not load or requests to it fail.
        """
        with ExitStack() as stack:
            names = {setting: stack.enter_context(self._loaded(setting)) for setting in settings}
            return [
                self._window(name, setting, callers, window_s)
                for _ in range(repeats)
                for setting, name in names.items()
                for callers in self.callers
            ]

    @contextmanager
    def _loaded(self, setting: Setting) -> Iterator[str]:
        """The name that ``setting`` is served under while the block runs."""
        name = _variant_name(self.config.name, setting)
        self._add_variant(name, setting)
        try:
            self.triton.api.load(name)
        except (TritonRefused, TritonUnreachable) as error:
            raise NotHeld(
                f"the setting {setting} does not load: {error}", f"the log is {self.triton.log_path}"
            ) from error
        try:
            self.generator.run(
                self.address, name, callers=max(self.callers), warm_up_s=0.0, duration_s=_FIRST_WARM_UP_S
            )
            yield name
        finally:
            self.triton.api.unload(name)

    def _window(self, name: str, setting: Setting, callers: int, window_s: float) -> Point:
        samples, executions = self._counts(name)
        answer = self.generator.run(self.address, name, callers=callers, warm_up_s=_WARM_UP_S, duration_s=window_s)
        samples_after, executions_after = self._counts(name)
        if answer["errors"] and not answer["requests"]:
            raise NotHeld(
                f"the server refuses every request: {answer['first_error']}", "run `maas verify` on the bundle"
            )
        ran = executions_after - executions
        return Point(
            setting=setting,
            callers=callers,
            requests_per_s=answer["requests_per_s"],
            latency_ms=answer["latency_ms"],
            samples_per_execution=(samples_after - samples) / ran if ran else 0.0,
            requests=answer["requests"],
            errors=answer["errors"],
        )

    def _counts(self, name: str) -> tuple[int, int]:
        (entry,) = [entry for entry in self.triton.api.statistics() if entry["name"] == name]
        return int(entry["inference_count"]), int(entry["execution_count"])

    def _add_variant(self, name: str, setting: Setting) -> None:
        folder = self.repository / name
        if folder.is_dir():
            return
        folder.mkdir()
        link_tree(self.bundle, folder / _VERSION)
        for labels in self.bundle.glob("labels*.txt"):
            write_atomic(folder / labels.name, labels.read_bytes())
        write_atomic(folder / CONFIG_FILE, dump_config(apply_setting(self.config, setting, name)))


@contextmanager
def bench(bundle: Path, config: Any, callers: Sequence[int], *, through_gateway: bool = False) -> Iterator[Bench]:
    """A scratch server and a load generator for as long as the block runs.

    Args:
        bundle: whose settings are tried.
        config: its ``ModelConfig``.
        callers: the numbers of callers to measure with.
        through_gateway: whether they call through a gateway on the same machine, which takes its share of it.

    Raises:
        WrongUse: where the model keeps state between requests.
        MaasError: where the server cannot be started.
    """
    if config.HasField("sequence_batching"):
        raise WrongUse(
            f"{config.name} keeps state between requests, and tuning sends single requests",
            "measure it with a load test of whole sequences",
        )
    scratch = build_dir() / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tune-", dir=scratch) as folder:
        repository, bodies = Path(folder) / "repository", Path(folder) / "requests.jsonl"
        # A server is only started over a folder that holds something.
        (repository / "tuning").mkdir(parents=True)
        write_requests(bundle, config, bodies)
        with (
            embedded_triton(repository, models=[], stop_timeout_s=_DRAIN_S) as triton,
            _gateway(triton, Path(folder) / "gateway") if through_gateway else nullcontext(triton.http_url) as address,
            LoadGenerator(bodies) as generator,
        ):
            yield Bench(triton, repository, bundle, config, generator, callers, address)


@contextmanager
def _gateway(triton: EmbeddedTriton, state: Path) -> Iterator[str]:
    """The address of a gateway in front of a server; nothing of it is left."""
    options = GatewayOptions(port=0, keys_required=False, state=state)
    with closing(EventLog(StringIO(), as_json=False)) as unread:
        gateway = FrontGateway(options, triton.http_url, triton.grpc_url, _DRAIN_S, unread)
        try:
            yield gateway.wait_ready().removeprefix("http://")
        finally:
            gateway.stop()


def _variant_name(model: str, setting: Setting) -> str:
    return (
        f"{model}-i{setting.instances}-t{setting.intra_op_threads}-d{setting.queue_delay_us}-b{setting.max_batch_size}"
    )
