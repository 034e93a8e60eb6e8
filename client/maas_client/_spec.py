"""What a model takes and gives, read from its metadata and configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from maas_client._dtypes import NUMPY_OF
from maas_client.errors import BadAnswerError


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: the tensor's name.
        datatype: Triton's name of it (``"FP32"``, ``"BYTES"``, ...).
        shape: dimensions with the batch axis, where the model has one; -1 is any size.
        optional: whether a request may leave it out.
        labelled: whether the server knows label names for this output.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What one model takes and gives.

    Attributes:
        name: the model's name.
        versions: the versions that are ready, ascending.
        inputs: by name, in the model's order.
        outputs: by name, in the model's order.
        max_batch_size: 0 where the model has no batch axis.
        reject_nonfinite: whether the configuration refuses NaN and infinity (``parameters.reject_nonfinite``).
        decoupled: whether one request may get any number of answers.
        sequence: whether requests belong to sequences: those of the model itself, or of a step of an ensemble.
        sequence_id_datatype: what the model takes a sequence's id as (``TYPE_UINT64``, ``TYPE_STRING``, ...).
        digests: the digest of each version whose bytes the server names (``parameters.maas_digest``, which the views of
            ``maas serve`` have).
    """

    name: str
    versions: tuple[int, ...]
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    max_batch_size: int = 0
    reject_nonfinite: bool = False
    decoupled: bool = False
    sequence: bool = False
    sequence_id_datatype: str = "TYPE_UINT64"
    digests: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, metadata: Mapping[str, Any], config: Mapping[str, Any], steps: Sequence[Mapping[str, Any]] = ()
    ) -> ModelSpec:
        """Reads the server's answers (KServe v2 ``ModelMetadataResponse`` and Triton's ``ModelConfig`` as JSON).

        Args:
            metadata: the model's.
            config: the model's.
            steps: the configurations of the models that an ensemble consists of.

        Raises:
            BadAnswerError: a field is missing or holds something else than the protocol says.
        """
        try:
            optional = {entry["name"] for entry in config.get("input", ()) if entry.get("optional")}
            batching = [one["sequence_batching"] for one in (config, *steps) if "sequence_batching" in one]
            labelled = {entry["name"] for entry in config.get("output", ()) if entry.get("label_filename")}
            return cls(
                name=metadata["name"],
                versions=tuple(sorted(int(version) for version in metadata["versions"])),
                inputs=_tensors(metadata.get("inputs", ()), optional=optional),
                outputs=_tensors(metadata.get("outputs", ()), labelled=labelled),
                max_batch_size=int(config.get("max_batch_size", 0)),
                reject_nonfinite=_is_true(config.get("parameters", {}).get("reject_nonfinite")),
                decoupled=bool(config.get("model_transaction_policy", {}).get("decoupled")),
                sequence=bool(batching),
                sequence_id_datatype=_sequence_id_datatype(batching[0] if batching else {}),
                digests=_digests(config),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadAnswerError(f"the server's description of the model cannot be read: {error!r}") from error


def steps_of(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Model and version of each step of an ensemble; "" is the version that the server chooses.

    Raises:
        BadAnswerError: a field is missing or holds something else than the protocol says.
    """
    try:
        steps = [
            (step["model_name"], int(step.get("model_version", -1)))
            for step in config.get("ensemble_scheduling", {}).get("step", ())
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadAnswerError(f"the server's description of the model cannot be read: {error!r}") from error
    return [(name, str(version) if version > 0 else "") for name, version in steps]


def _tensors(
    entries: Any, *, optional: Set[str] = frozenset(), labelled: Set[str] = frozenset()
) -> dict[str, TensorSpec]:
    tensors: dict[str, TensorSpec] = {}
    for entry in entries:
        name, datatype = entry["name"], entry["datatype"]
        if datatype not in NUMPY_OF:
            raise ValueError(f"unknown datatype {datatype!r} of {name!r}")
        shape = tuple(int(size) for size in entry["shape"])
        tensors[name] = TensorSpec(name, datatype, shape, name in optional, name in labelled)
    return tensors


def _is_true(parameter: Mapping[str, Any] | None) -> bool:
    return parameter is not None and str(parameter.get("string_value", "")).strip().lower() in {"true", "1", "yes"}


def _digests(config: Mapping[str, Any]) -> dict[int, str]:
    """A configuration that pins one version may tell its digest; of several it would be a guess."""
    digest = config.get("parameters", {}).get("maas_digest", {}).get("string_value", "")
    versions = config.get("version_policy", {}).get("specific", {}).get("versions", ())
    return {int(versions[0]): str(digest)} if digest and len(versions) == 1 else {}


def _sequence_id_datatype(batching: Mapping[str, Any]) -> str:
    for entry in batching.get("control_input", ()):
        for control in entry.get("control", ()):
            if control.get("kind") == "CONTROL_SEQUENCE_CORRID":
                return str(control.get("data_type", "TYPE_UINT64"))
    return "TYPE_UINT64"
