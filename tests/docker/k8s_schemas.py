"""Schemas of the custom resources under docker/k8s/: the fields that are used there, as their projects document them.

Nothing else may be in them: a misspelt field would be dropped by the cluster, or refused. Sources: the CRDs of Argo
Rollouts (manifests/crds) and KServe (config/crd/full), as of August 2026. Pod templates are Kubernetes' own and are
checked as such (test_k8s.py).
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
PERCENT: Schema = {"type": "integer", "minimum": 0, "maximum": 100}
DURATION: Schema = {"type": "string", "pattern": r"^\d+[smh]$"}
ANY: Schema = {"type": "object"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def closed(*required: str, **fields: Schema) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def several(one: Schema, least: int = 1) -> Schema:
    return {"type": "array", "items": one, "minItems": least}


def one_of(**fields: Schema) -> Schema:
    """An object with exactly one of these fields."""
    return {**closed(**fields), "minProperties": 1, "maxProperties": 1}


def resource(api_version: str, kind: str, spec: Schema) -> Schema:
    metadata = closed("name", "namespace", name=TEXT, namespace=TEXT, annotations=TEXTS, labels=TEXTS)
    head = {"apiVersion": {"const": api_version}, "kind": {"const": kind}}
    return closed("apiVersion", "kind", "metadata", "spec", **head, metadata=metadata, spec=spec)


_HASH = closed("podTemplateHashValue", podTemplateHashValue={"enum": ["Latest", "Stable"]})
_ARGUMENT = {**closed("name", name=TEXT, value=TEXT, valueFrom=_HASH), "minProperties": 2, "maxProperties": 2}
_ANALYSIS_FIELDS = {"templates": several(closed("templateName", templateName=TEXT)), "args": several(_ARGUMENT)}
_STEP = one_of(
    setWeight=PERCENT,
    pause=closed(duration=DURATION),
    setCanaryScale=one_of(replicas=COUNT, weight=PERCENT, matchTrafficWeight={"type": "boolean"}),
    analysis=closed("templates", **_ANALYSIS_FIELDS),
)
_CANARY = closed(
    "stableService",
    "canaryService",
    "steps",
    stableService=TEXT,
    canaryService=TEXT,
    maxUnavailable=COUNT,
    maxSurge=COUNT,
    trafficRouting=one_of(nginx=closed("stableIngress", stableIngress=TEXT)),
    steps=several(_STEP),
    analysis=closed("templates", startingStep=COUNT, **_ANALYSIS_FIELDS),
)
_METRIC = closed(
    "name",
    "provider",
    name=TEXT,
    interval=DURATION,
    failureLimit=COUNT,
    inconclusiveLimit=COUNT,
    successCondition=TEXT,
    failureCondition=TEXT,
    provider=one_of(
        job=closed("spec", metadata=closed(labels=TEXTS, annotations=TEXTS), spec=ANY),
        prometheus=closed("address", "query", address=TEXT, query=TEXT),
    ),
)
_PREDICTOR = closed(
    "model",
    canaryTrafficPercent=PERCENT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    scaleMetric={"enum": ["cpu", "memory", "concurrency", "rps"]},
    scaleTarget=COUNT,
    timeout=COUNT,
    serviceAccountName=TEXT,
    automountServiceAccountToken={"type": "boolean"},
    model=closed(
        "modelFormat",
        "storageUri",
        modelFormat=closed("name", name=TEXT, version=TEXT),
        protocolVersion={"enum": ["v1", "v2", "grpc-v2"]},
        runtime=TEXT,
        storageUri={"type": "string", "pattern": r"^(pvc|s3|gs|https)://"},
        env=several(closed("name", "value", name=TEXT, value=TEXT)),
    ),
)

SCHEMAS: dict[str, Schema] = {
    "Rollout": resource(
        "argoproj.io/v1alpha1",
        "Rollout",
        closed(
            "selector",
            "strategy",
            "template",
            revisionHistoryLimit=COUNT,
            progressDeadlineSeconds=COUNT,
            progressDeadlineAbort={"type": "boolean"},
            selector=ANY,
            strategy=one_of(canary=_CANARY),
            template=ANY,
        ),
    ),
    "AnalysisTemplate": resource(
        "argoproj.io/v1alpha1",
        "AnalysisTemplate",
        closed("metrics", args=several(closed("name", name=TEXT, value=TEXT)), metrics=several(_METRIC)),
    ),
    "ServingRuntime": resource(
        "serving.kserve.io/v1alpha1",
        "ServingRuntime",
        closed(
            "supportedModelFormats",
            "containers",
            annotations=TEXTS,
            supportedModelFormats=several(closed("name", name=TEXT, version=TEXT)),
            protocolVersions=several({"enum": ["v1", "v2", "grpc-v2"]}),
            containers=several(ANY),
            volumes=several(ANY),
        ),
    ),
    "InferenceService": resource(
        "serving.kserve.io/v1beta1", "InferenceService", closed("predictor", predictor=_PREDICTOR)
    ),
}
