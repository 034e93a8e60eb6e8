"""compose.yaml, Dockerfile and configurations: hardened, pinned, in step with each other and with the project."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from docker_servers import DOCKER, read_yaml

from maas_export.catalogue import all_models

COMPOSE = read_yaml("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DOCKER / "triton" / "Dockerfile").read_text(encoding="utf-8")
RULES = read_yaml("prometheus/rules.yml")
LEAST_RELEASE = (26, 6)


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, flags=re.MULTILINE)


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
class TestEveryService:
    def test_has_no_rights_that_it_does_not_need(self, service: dict[str, Any]) -> None:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["user"].partition(":")[0]) > 0
        assert "privileged" not in service

    def test_is_bounded_and_watched(self, service: dict[str, Any]) -> None:
        assert service["mem_limit"]
        assert service["pids_limit"] > 0
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["logging"]["options"]["max-size"]

    def test_is_reached_from_this_machine_only_unless_told_otherwise(self, service: dict[str, Any]) -> None:
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "ports" in service or service["network_mode"] == "host"

    def test_is_pinned(self, service: dict[str, Any]) -> None:
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])

    def test_mounts_only_what_is_there_and_cannot_change_it(self, service: dict[str, Any]) -> None:
        for mount in service["volumes"]:
            if mount["type"] == "bind":
                assert (DOCKER / mount["source"]).is_dir()
                assert mount["read_only"] is True
            else:
                assert mount["source"] in COMPOSE["volumes"]

    def test_belongs_to_a_profile(self, service: dict[str, Any]) -> None:
        assert set(service["profiles"]) <= {"cpu", "gpu", "embedded"}


@pytest.mark.parametrize("name", ["prometheus-embedded", "grafana-embedded"])
def test_what_runs_in_the_hosts_network_listens_on_loopback(name: str) -> None:
    service = SERVICES[name]
    said = [*service.get("command", []), *service.get("environment", {}).values()]
    assert {"--web.listen-address=127.0.0.1:9090", "127.0.0.1"} & set(said)


def test_triton_is_at_the_fixed_release_or_newer() -> None:
    (default,) = instructions("ARG")
    assert default == "TRITON_IMAGE=" + SERVICES["triton-cpu"]["build"]["args"]["TRITON_IMAGE"]
    release = re.fullmatch(r"TRITON_IMAGE=nvcr\.io/nvidia/tritonserver:(\d+)\.(\d+)-py3", default)
    assert release is not None
    assert tuple(map(int, release.groups())) >= LEAST_RELEASE


def test_the_image_is_not_root_and_runs_our_script() -> None:
    assert instructions("USER") == [SERVICES["triton-cpu"]["user"]]
    assert json.loads(instructions("CMD")[-1]) == ["/opt/maas/serve.sh"]
    assert SERVICES["triton-cpu"]["command"][0] == "/opt/maas/serve.sh"
    for copied in re.findall(r"^COPY (?:--\S+ )*(\S+) ", DOCKERFILE, flags=re.MULTILINE):
        assert (DOCKER / "triton" / copied).is_file()
        assert f"!{copied}\n" in (DOCKER / "triton" / ".dockerignore").read_text(encoding="utf-8")


def test_the_image_has_the_pillow_that_the_models_were_verified_with() -> None:
    required = (DOCKER / "triton" / "requirements.txt").read_text(encoding="utf-8")
    locked = (DOCKER.parent / "requirements.lock").read_text(encoding="utf-8")
    (pillow,) = re.findall(r"^(pillow==\S+)", required, flags=re.MULTILINE)
    assert f"{pillow}\n" in locked
    assert required.count("--hash=sha256:") >= 1


def test_prometheus_finds_the_server_under_the_name_and_port_of_compose() -> None:
    (job,) = read_yaml("prometheus/triton.yml")["scrape_configs"]
    ((target,),) = [config["targets"] for config in job["static_configs"]]
    host, _, port = target.partition(":")
    for name in ("triton-cpu", "triton-gpu"):
        assert host in SERVICES[name]["networks"]["default"]["aliases"]
        assert any(published.endswith(f":{port}") for published in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", ["prometheus", "prometheus-embedded"])
def test_prometheus_reads_a_file_that_is_there(name: str) -> None:
    (argument,) = [word for word in SERVICES[name]["command"] if word.startswith("--config.file=")]
    config = read_yaml("prometheus/" + argument.rpartition("/")[2])
    assert all((DOCKER / "prometheus" / file).is_file() for file in config["rule_files"])


def test_every_alert_tells_what_and_what_to_do() -> None:
    alerts = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} <= alert["annotations"].keys()


def test_the_objectives_of_the_alerts_are_those_of_the_specs() -> None:
    recorded = {
        rule["labels"]["model"]: rule["expr"]
        for group in RULES["groups"]
        for rule in group["rules"]
        if rule.get("record") == "maas:objective_p99_ms"
    }
    assert recorded == {name: f"vector({model.spec.objective.p99_ms:g})" for name, model in all_models().items()}


def test_grafana_finds_datasource_and_dashboards() -> None:
    (source,) = read_yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    (provider,) = read_yaml("grafana/provisioning/dashboards/files.yaml")["providers"]
    for name in ("grafana", "grafana-embedded"):
        mounts = {mount["target"]: mount["source"] for mount in SERVICES[name]["volumes"]}
        home = SERVICES[name]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        assert home.startswith(provider["options"]["path"] + "/")
        assert (DOCKER / mounts[provider["options"]["path"]] / home.rpartition("/")[2]).is_file()
        assert source["url"].removeprefix("$") in SERVICES[name]["environment"]


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "triton.yml", "embedded.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(arguments: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=DOCKER / "prometheus", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
