"""Alerts on gateway and rollouts: every metric is one that a real gateway, or `maas rollout watch`, exports."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker_servers import DOCKER, fetch, read_yaml
from promql import exported
from tests.rollout.shown import write_rollout
from tests.rollout.simulated import Behaviour

from maas_rollout.views.exported import metrics_text
from maas_rollout.views.snapshot import Watcher

RULES = [rule for group in read_yaml("prometheus/release_rules.yml")["groups"] for rule in group["rules"]]
_METRIC = re.compile(r"\b((?:envoy|maas_rollout)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """What a gateway exports; its servers need not run for that."""
    work = tmp_path_factory.mktemp("gateway")
    addresses = ["--stable-http", "127.0.0.1:9", "--stable-grpc", "127.0.0.1:9", "--state", str(work / "state")]
    options = ["--port", "0", "--no-keys", "--json", "--stop-on-eof"]
    with (work / "log").open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "maas_core", "gateway", *addresses, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            env={**os.environ, "MAAS_BUILD": str(work)},
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.closing(process.stdin):
        events = (json.loads(line) for line in process.stdout)
        ready = next(event for event in events if event["event"] == "ready")
        admin = ready["admin"]
        # Answers, by class and by tenant, are exported once there was one.
        for url in (admin + "/nothing-is-there", ready["url"] + "/v2"):
            with contextlib.suppress(OSError):
                fetch(url)
        yield exported(fetch(admin + "/stats/prometheus"))
    process.wait(60)


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    with pytest.MonkeyPatch.context() as patch:
        build = tmp_path_factory.mktemp("build")
        patch.setenv("MAAS_BUILD", str(build))
        write_rollout(build, Behaviour(), ago_s=20)
        return exported(metrics_text(Watcher().snapshot()).decode())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_metric_and_label_is_exported(
    rule: dict[str, Any], gateway: dict[str, set[str]], rollouts: dict[str, set[str]]
) -> None:
    known = gateway | rollouts
    grouping = {label.strip() for labels in _GROUPING.findall(rule["expr"]) for label in labels.split(",")}
    for name, matchers in _METRIC.findall(_GROUPING.sub(" ", rule["expr"])):
        wanted = {*_MATCHER.findall(matchers), *grouping} - {"instance", "job"}
        assert wanted <= known.get(name, known.get(name.removesuffix("_total"), {"is not exported"}))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_tells_what_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description"}


def test_every_alert_is_tried() -> None:
    tried = (DOCKER / "prometheus" / "release_rules_test.yml").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in RULES if f'alertname="{rule["alert"]}"' not in tried] == []


def test_the_embedded_prometheus_reads_them_and_asks_where_they_are_exported() -> None:
    config = read_yaml("prometheus/embedded.yml")
    assert "release_rules.yml" in config["rule_files"]
    paths = {job["job_name"]: job.get("metrics_path", "/metrics") for job in config["scrape_configs"]}
    assert (paths["maas-gateway"], paths["maas-rollouts"]) == ("/stats/prometheus", "/metrics")


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
@pytest.mark.parametrize("verb", ["check", "test"])
def test_promtool_finds_nothing_wrong(verb: str) -> None:
    file = Path("release_rules.yml" if verb == "check" else "release_rules_test.yml")
    command = ["promtool", verb, "rules", str(file)]
    done = subprocess.run(command, cwd=DOCKER / "prometheus", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
