"""The dashboard and the alerts against what real servers export after some requests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker_servers import DOCKER, Running, fetch, read_yaml
from promql import ADDED_BY_PROMETHEUS, exported, selectors

from maas_core.ports import PortHold

DASHBOARD = json.loads((DOCKER / "grafana" / "dashboards" / "serving.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PANEL_EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
RULES = [rule for group in read_yaml("prometheus/rules.yml")["groups"] for rule in group["rules"]]
RULE_EXPRESSIONS = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]
QUERIES = [(variable["name"], variable["definition"]) for variable in DASHBOARD["templating"]["list"]]

NEEDS_A_GPU = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}
"""Triton's documentation names them (docs/user_guide/metrics.md); there is none here to see them on."""
MADE_BY_PROMETHEUS = {"up", *(rule["record"] for rule in RULES if "record" in rule)}

Exported = dict[str, set[str]]


@pytest.fixture(scope="module")
def servers(
    container_server: Running, supervised_server: Running, predict: Callable[[str], Any]
) -> tuple[Running, Running]:
    for server in (container_server, supervised_server):
        for url in (server.http, server.grpc):
            predict(url)
    return container_server, supervised_server


@pytest.fixture(scope="module")
def metrics(servers: tuple[Running, Running]) -> Exported:
    found: Exported = {}
    for server in servers:
        for name, labels in exported(server.scrape()).items():
            found.setdefault(name, set()).update(labels)
    return found


@pytest.mark.parametrize(
    "expression",
    [expression for _, expression in [*PANEL_EXPRESSIONS, *RULE_EXPRESSIONS, *QUERIES]],
    ids=[f"{name}-{number}" for number, (name, _) in enumerate([*PANEL_EXPRESSIONS, *RULE_EXPRESSIONS, *QUERIES])],
)
def test_every_metric_and_label_is_exported(expression: str, metrics: Exported) -> None:
    named = [(name, labels) for name, labels in selectors(expression) if name not in NEEDS_A_GPU]
    assert named or selectors(expression) or expression.startswith("vector(")
    for name, labels in named:
        assert name in metrics.keys() | MADE_BY_PROMETHEUS
        # Joins may group by labels that a recorded series of ours does not have.
        if name in metrics:
            assert labels <= metrics[name] | ADDED_BY_PROMETHEUS, name


def test_a_wrong_metric_or_label_would_be_seen(metrics: Exported) -> None:
    ((name, labels),) = selectors('sum by (modell) (rate(nv_inference_counts{reasons="x"}[5m]))')

    assert name == "nv_inference_counts"
    assert name not in metrics
    assert labels == {"modell", "reasons"}


def test_every_reason_that_a_rule_names_is_given(metrics: Exported, servers: tuple[Running, Running]) -> None:
    given = set(re.findall(r'reason="(\w+)"', servers[0].scrape()))
    named = set(re.findall(r'reason!?="(\w+)"', json.dumps([DASHBOARD, RULES]).replace('\\"', '"')))

    assert named
    assert named <= given


def test_both_quantiles_of_the_dashboard_are_given(servers: tuple[Running, Running]) -> None:
    given = set(re.findall(r'quantile="([\d.]+)"', servers[0].scrape()))

    assert {"0.5", "0.99"} <= given


def test_panels_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not own & cells, panel["title"]
        cells |= own


def test_every_panel_asks_the_provisioned_datasource_and_has_its_own_number() -> None:
    (source,) = read_yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    asked = {target["datasource"]["uid"] for panel in PANELS for target in [panel, *panel["targets"]]}
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]

    assert asked == {source["uid"]}
    assert len(set(numbers)) == len(numbers)


@pytest.fixture(scope="module")
def prometheus(
    servers: tuple[Running, Running], predict: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A real Prometheus with our rules that has watched both servers for a while."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    work = tmp_path_factory.mktemp("prometheus")
    config = read_yaml("prometheus/triton.yml")
    embedded = read_yaml("prometheus/embedded.yml")["scrape_configs"]
    config["scrape_configs"] += [job for job in embedded if job["job_name"] == "maas-serve"]
    for job, server in zip(config["scrape_configs"], servers, strict=True):
        job["static_configs"] = [{"targets": [urllib.parse.urlsplit(server.metrics).netloc]}]
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DOCKER / "prometheus" / "rules.yml")]
    (work / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    # Go listens beside a socket that only holds the port, as Triton does.
    hold = PortHold({"prometheus": 0})
    url = f"http://127.0.0.1:{hold.ports['prometheus']}"
    process = _start_prometheus(work, url)
    try:
        # rate() needs two scrapes, with requests between them.
        _wait_for(url, "count(count_over_time(nv_inference_count[1m]) >= 2)")
        for server in servers:
            predict(server.grpc)
        yield url
    finally:
        process.kill()
        process.wait()
        hold.release()


def _start_prometheus(work: Path, url: str) -> subprocess.Popen[bytes]:
    command = ["prometheus", f"--config.file={work / 'prometheus.yml'}", f"--storage.tsdb.path={work / 'data'}"]
    command += [f"--web.listen-address={urllib.parse.urlsplit(url).netloc}", "--log.level=error"]
    with (work / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _query(url: str, expression: str) -> list[Any]:
    answer = json.loads(fetch(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
    result: list[Any] = answer["data"]["result"]
    return result


def _wait_for(url: str, expression: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if _query(url, expression):
                return
        except OSError:
            pass  # it is still starting
        time.sleep(0.5)
    raise AssertionError(f"Prometheus has nothing for {expression}")


@pytest.mark.parametrize(
    "expression",
    [expression for _, expression in PANEL_EXPRESSIONS],
    ids=[f"{title}-{n}" for n, (title, _) in enumerate(PANEL_EXPRESSIONS)],
)
def test_a_real_prometheus_has_an_answer_for_every_panel(prometheus: str, expression: str) -> None:
    if any(metric in expression for metric in NEEDS_A_GPU):
        pytest.skip("there is no GPU here")
    filled = re.sub(r"\$(instance|model|version)", ".*", expression).replace("$__rate_interval", "1m")

    # What it has scraped of the last requests, it has a moment later.
    _wait_for(prometheus, filled)


def test_no_alert_fires_on_healthy_servers(prometheus: str) -> None:
    # By then it has looked at all rules, also at those of other groups.
    _wait_for(prometheus, "count(count_over_time(maas:objective_p99_ms[1m]) >= 3)")

    assert not _query(prometheus, 'ALERTS{alertstate="firing"}')
