"""Manifests for Kubernetes, checked offline: fields, rights of pods, names that agree, arguments of our program."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from docker_servers import DOCKER
from k8s_schemas import SCHEMAS
from promql import selectors

from maas_export.catalogue import all_models
from maas_loadtest.load_cli import load

K8S = DOCKER / "k8s"
Document = dict[str, Any]

DOCUMENTS: dict[str, Document] = {
    f"{path.relative_to(K8S)}:{document['kind']}/{document['metadata']['name']}": document
    for path in sorted(K8S.rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
}
CUSTOM = {name: document for name, document in DOCUMENTS.items() if document["kind"] in SCHEMAS}
BUILT_IN = {name: document for name, document in DOCUMENTS.items() if name not in CUSTOM}
NEWEST = kubernetes_validate.latest_version()


def of_kind(kind: str) -> list[Document]:
    return [document for document in DOCUMENTS.values() if document["kind"] == kind]


def named(kind: str, name: str) -> Document:
    (found,) = (document for document in of_kind(kind) if document["metadata"]["name"] == name)
    return found


def job_spec() -> Document:
    spec: Document = named("AnalysisTemplate", "load-test")["spec"]["metrics"][0]["provider"]["job"]["spec"]
    return spec


def pods() -> dict[str, Document]:
    """Every pod's spec, and its labels under ``labels``."""
    rollout = named("Rollout", "digits")["spec"]["template"]
    job = job_spec()["template"]
    runtime = named("ServingRuntime", "maas-triton")["spec"]
    return {
        "Rollout": rollout["spec"] | {"labels": rollout["metadata"]["labels"]},
        "Job": job["spec"] | {"labels": job["metadata"]["labels"]},
        "ServingRuntime": {"containers": runtime["containers"], "volumes": runtime["volumes"]},
    }


def as_workloads() -> dict[str, Document]:
    """The pods of custom resources as resources of Kubernetes' own."""
    rollout, runtime = named("Rollout", "digits")["spec"], pods()["ServingRuntime"]
    deployment = {"selector": rollout["selector"], "template": rollout["template"]}
    metadata = {"name": "x"}
    return {
        "Rollout": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
        "Job": {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job_spec()},
        "ServingRuntime": {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": runtime},
    }


def faults_of_builtin(document: Document) -> list[str]:
    """What Kubernetes would refuse of a resource of its own; unknown fields too."""
    try:
        kubernetes_validate.validate(document, NEWEST, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [error.message]
    return []


def faults_of_custom(document: Document) -> list[str]:
    """What the schema of a custom resource refuses."""
    validator = jsonschema.validators.validator_for(SCHEMAS[document["kind"]])(SCHEMAS[document["kind"]])
    return [error.message for error in validator.iter_errors(document)]


class TestFields:
    @pytest.mark.parametrize("document", BUILT_IN.values(), ids=BUILT_IN)
    def test_of_kubernetes_own_resources(self, document: Document) -> None:
        assert faults_of_builtin(document) == []

    @pytest.mark.parametrize("document", CUSTOM.values(), ids=CUSTOM)
    def test_of_custom_resources(self, document: Document) -> None:
        assert faults_of_custom(document) == []

    @pytest.mark.parametrize("workload", as_workloads().values(), ids=as_workloads())
    def test_of_pods_within_custom_resources(self, workload: Document) -> None:
        assert faults_of_builtin(workload) == []

    @pytest.mark.parametrize("workload", as_workloads().values(), ids=as_workloads())
    def test_a_wrong_field_of_a_pod_is_found(self, workload: Document) -> None:
        spoilt = copy.deepcopy(workload)
        pod = spoilt["spec"].get("template", spoilt)["spec"]
        pod["containers"][0]["imagePullPolice"] = "Always"
        assert any("imagePullPolice" in fault for fault in faults_of_builtin(spoilt))

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda spec: spec["strategy"]["canary"].update(canaryServices="x"),
            lambda spec: spec["strategy"]["canary"]["steps"].append({"setWeight": 120}),
            lambda spec: spec["strategy"]["canary"]["steps"].append({"setWeight": 10, "pause": {}}),
            lambda spec: spec.pop("selector"),
        ],
        ids=["misspelt", "120 %", "two in one step", "missing"],
    )
    def test_a_wrong_field_is_found(self, spoil: Callable[[Document], object]) -> None:
        rollout = copy.deepcopy(named("Rollout", "digits"))
        spoil(rollout["spec"])
        assert faults_of_custom(rollout)


@pytest.mark.parametrize("pod", pods().values(), ids=pods())
class TestEveryPod:
    def test_has_few_rights(self, pod: Document) -> None:
        for container in pod["containers"]:
            rights = pod.get("securityContext", {}) | container["securityContext"]
            assert rights["runAsNonRoot"] is True
            assert rights["runAsUser"] > 0
            assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["capabilities"] == {"drop": ["ALL"]}

    def test_is_bounded(self, pod: Document) -> None:
        for container in pod["containers"]:
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        for volume in pod["volumes"]:
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]

    def test_cannot_change_the_models(self, pod: Document) -> None:
        for container in pod["containers"]:
            for mount in container["volumeMounts"]:
                assert mount["name"] != "releases" or mount["readOnly"] is True

    def test_mounts_what_it_has(self, pod: Document) -> None:
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert all(mount["name"] in volumes for c in pod["containers"] for mount in c["volumeMounts"])


class TestNamesAgree:
    def test_everything_lies_in_the_namespace(self) -> None:
        (namespace,) = of_kind("Namespace")
        others = [document for document in DOCUMENTS.values() if document is not namespace]
        assert {document["metadata"]["namespace"] for document in others} == {namespace["metadata"]["name"]}

    def test_services_budget_and_policies_choose_the_servers(self) -> None:
        labels = pods()["Rollout"]["labels"]
        chosen = [service["spec"]["selector"] for service in of_kind("Service")]
        chosen += [budget["spec"]["selector"]["matchLabels"] for budget in of_kind("PodDisruptionBudget")]
        chosen += [named("NetworkPolicy", "triton")["spec"]["podSelector"]["matchLabels"]]
        assert [selector for selector in chosen if not selector.items() <= labels.items()] == []

    def test_the_load_test_is_let_in_and_out(self) -> None:
        labels = pods()["Job"]["labels"]
        assert named("NetworkPolicy", "load-test")["spec"]["podSelector"]["matchLabels"] == labels
        let_in = named("NetworkPolicy", "triton")["spec"]["ingress"]
        assert all({"podSelector": {"matchLabels": labels}} in rule["from"] for rule in let_in)

    def test_ports_are_those_of_the_servers(self) -> None:
        (container,) = pods()["Rollout"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for service in of_kind("Service"):
            assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports
        rules = named("NetworkPolicy", "triton")["spec"]["ingress"]
        assert {port["port"] for rule in rules for port in rule["ports"]} == set(ports.values())

    def test_nobody_is_let_in_by_default(self) -> None:
        spec = named("NetworkPolicy", "nothing-by-default")["spec"]
        assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def test_the_rollout_names_services_templates_and_arguments_that_exist(self) -> None:
        canary = named("Rollout", "digits")["spec"]["strategy"]["canary"]
        for service in (canary["stableService"], canary["canaryService"]):
            named("Service", service)
        named("Ingress", canary["trafficRouting"]["nginx"]["stableIngress"])
        analyses = [step["analysis"] for step in canary["steps"] if "analysis" in step] + [canary["analysis"]]
        for analysis in analyses:
            template = named("AnalysisTemplate", analysis["templates"][0]["templateName"])
            given = {argument["name"] for argument in analysis["args"]}
            assert given == {argument["name"] for argument in template["spec"]["args"]}
            assert given == set(re.findall(r"\{\{args\.(\w+)\}\}", str(template)))

    def test_the_release_that_is_tested_is_the_one_that_is_served(self) -> None:
        (container,) = pods()["Rollout"]["containers"]
        served = {variable["name"]: variable["value"] for variable in container["env"]}["MODEL_REPOSITORY"]
        steps = named("Rollout", "digits")["spec"]["strategy"]["canary"]["steps"]
        (tested,) = (
            a["value"] for s in steps if "analysis" in s for a in s["analysis"]["args"] if a["name"] == "release"
        )
        assert served == f"/releases/{tested}"

    def test_the_load_test_comes_before_any_caller(self) -> None:
        steps = named("Rollout", "digits")["spec"]["strategy"]["canary"]["steps"]
        test = next(number for number, step in enumerate(steps) if "analysis" in step)
        assert all(step.get("setWeight", 0) == 0 for step in steps[:test])

    def test_the_autoscaler_scales_the_rollout_on_the_queue(self) -> None:
        (scaler,) = of_kind("HorizontalPodAutoscaler")
        target = scaler["spec"]["scaleTargetRef"]
        assert named(target["kind"], target["name"])["apiVersion"] == target["apiVersion"]
        assert "replicas" not in named("Rollout", target["name"])["spec"]
        (rule,) = yaml.safe_load(named("ConfigMap", "adapter-rules")["data"]["config.yaml"])["rules"]
        (metric,) = scaler["spec"]["metrics"]
        assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
        assert rule["seriesQuery"].startswith("nv_inference_pending_request_count{")

    def test_kserve_serves_our_runtime_and_the_claim(self) -> None:
        model = named("InferenceService", "digits")["spec"]["predictor"]["model"]
        runtime = named("ServingRuntime", model["runtime"])["spec"]
        assert model["modelFormat"] in runtime["supportedModelFormats"]
        claim = re.fullmatch(r"pvc://([^/]+)/r\d+", model["storageUri"])
        assert claim is not None
        named("PersistentVolumeClaim", claim[1])


class TestOurOwnProgram:
    def test_the_job_calls_a_command_that_is_there_with_options_that_it_has(self) -> None:
        (container,) = pods()["Job"]["containers"]
        group, command, scenario, *options = container["args"]
        assert (group, command, scenario) == ("load", "run", "server")
        run = load.get_command(load.make_context("load", ["run"], resilient_parsing=True), "run")
        assert run is not None
        known = {name for parameter in run.params for name in parameter.opts}
        assert {option.partition("=")[0] for option in options} <= known

    def test_models_are_an_ensemble_with_its_steps(self) -> None:
        (container,) = pods()["Rollout"]["containers"]
        models = {variable["name"]: variable["value"] for variable in container["env"]}["MODELS"].split()
        catalogue = all_models()
        assert set(models) == {models[0], *(step.model for step in catalogue[models[0]].spec.steps)}

    def test_queries_name_metrics_that_the_alerts_are_tested_with(self) -> None:
        rules = (DOCKER / "prometheus" / "rules.yml").read_text(encoding="utf-8")
        metrics = named("AnalysisTemplate", "canary-against-stable")["spec"]["metrics"]
        for metric in metrics:
            for name, _ in selectors(metric["provider"]["prometheus"]["query"]):
                assert name in rules

    def test_no_data_is_neither_success_nor_failure(self) -> None:
        for metric in named("AnalysisTemplate", "canary-against-stable")["spec"]["metrics"]:
            assert metric["successCondition"].startswith("len(result) > 0 && ")
            assert metric["failureCondition"].startswith("len(result) > 0 && ")

    def test_the_image_of_the_load_test_is_made_of_what_is_there(self) -> None:
        text = (K8S / "loadtest" / "Dockerfile").read_text(encoding="utf-8")
        for copied in re.findall(r"^COPY (.+) \S+$", text, flags=re.MULTILINE):
            assert all((DOCKER.parent / name).exists() for name in copied.split())
        assert "\nUSER 1000:1000\n" in text

    def test_the_page_says_what_was_not_run(self) -> None:
        page = (K8S / "README.md").read_text(encoding="utf-8")
        assert "## What was not run" in page
        for path in K8S.rglob("*.yaml"):
            assert path.name in page
