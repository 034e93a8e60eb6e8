"""Batching, queues, sequences and the response cache.

Source: ``ValidateModelConfig`` of Triton's ``model_config_utils.cc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maas_export.lint.fields import FieldPath
from maas_export.lint.inspection import Inspection, enum_name

_LONGEST_SANE_DELAY_US = 1_000_000
_BOOLEAN_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")
_CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def check_scheduling(inspection: Inspection) -> None:
    """How requests wait and come together."""
    config = inspection.config
    if config.max_batch_size < 0:
        what = f"'max_batch_size' must be non-negative value, it is {config.max_batch_size}"
        inspection.report("batch-size", what, ("max_batch_size",))
    if config.HasField("dynamic_batching"):
        _check_dynamic_batching(inspection, config.dynamic_batching)
    if config.HasField("sequence_batching"):
        _check_sequences(inspection, config.sequence_batching)
    if config.response_cache.enable and (
        config.HasField("sequence_batching") or config.model_transaction_policy.decoupled
    ):
        kind = "sequence batching" if config.HasField("sequence_batching") else "'decoupled' transaction policy"
        what = f"Response Cache does not currently support model {inspection.model.name} with {kind}"
        inspection.report("response-cache", what, ("response_cache",))


def _check_dynamic_batching(inspection: Inspection, batching: Any) -> None:
    at = ("dynamic_batching",)
    largest = inspection.config.max_batch_size
    if largest == 1 or (largest == 0 and not _completes_batch(inspection)):
        what = f"dynamic_batching with max_batch_size {largest}"
        inspection.report("batching-idle", what, at)
    _check_preferred(inspection, batching.preferred_batch_size, at, "dynamic batching")
    if batching.max_queue_delay_microseconds > _LONGEST_SANE_DELAY_US:
        seconds = batching.max_queue_delay_microseconds / 1_000_000
        inspection.report(
            "queue-delay", f"a request may wait {seconds:g} s for others", (*at, "max_queue_delay_microseconds")
        )
    _check_priorities(inspection, batching, at)


def _completes_batch(inspection: Inspection) -> bool:
    """Whether Triton fills in ``max_batch_size`` itself, because inputs and outputs are left to the graph."""
    return not (inspection.config.input and inspection.config.output)


def _check_preferred(inspection: Inspection, sizes: Sequence[int], at: FieldPath, kind: str) -> None:
    for index, size in enumerate(sizes):
        where = (*at, "preferred_batch_size", index)
        if size <= 0:
            inspection.report("preferred-batch-size", f"{kind} preferred size must be positive, it is {size}", where)
        elif size > inspection.config.max_batch_size:
            what = f"{kind} preferred size must be <= max batch size; {size} > {inspection.config.max_batch_size}"
            inspection.report("preferred-batch-size", what, where)


def _check_priorities(inspection: Inspection, batching: Any, at: FieldPath) -> None:
    levels = batching.priority_levels
    if levels and not 1 <= batching.default_priority_level <= levels:
        what = f"default priority level must be in range [1, {levels}], it is {batching.default_priority_level}"
        inspection.report("priority-levels", what, (*at, "default_priority_level"))
    for key in sorted(batching.priority_queue_policy):
        if levels and not 1 <= key <= levels:
            what = f"priority queue policy must have priority level in range [1, {levels}], it has {key}"
            inspection.report("priority-levels", what, (*at, "priority_queue_policy", str(key)))
    if not batching.preserve_ordering:
        return
    if levels > 1:
        what = "Only one priority level is allowed when 'preserve_ordering' is true"
        inspection.report("preserve-ordering", what, (*at, "priority_levels"))
    policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
    if any(policy.default_timeout_microseconds and policy.timeout_action for policy in policies):
        what = "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true"
        inspection.report("preserve-ordering", what, (*at, "default_queue_policy"))


def _check_sequences(inspection: Inspection, batching: Any) -> None:
    _check_controls(inspection, batching)
    _check_preferred(
        inspection, batching.oldest.preferred_batch_size, ("sequence_batching", "oldest"), "sequence batching"
    )
    utilization = batching.direct.minimum_slot_utilization
    if not 0.0 <= utilization <= 1.0:
        what = f"sequence batching minimum slot utilization must be in range (0.0, 1.0], it is {utilization:g}"
        inspection.report("sequence-utilization", what, ("sequence_batching", "direct", "minimum_slot_utilization"))
    for index, state in enumerate(batching.state):
        _check_initial_state(inspection, index, state)
    _check_state_order(inspection, batching)


def _check_controls(inspection: Inspection, batching: Any) -> None:
    tensors: set[str] = set()
    kinds: set[str] = set()
    for index, entry in enumerate(batching.control_input):
        at = ("sequence_batching", "control_input", index)
        if not entry.name:
            inspection.report("sequence-control", "sequence batching control tensor must have a name", at)
        elif entry.name in tensors:
            what = f"control tensor '{entry.name}' is specified for multiple control kinds"
            inspection.report("sequence-control", what, (*at, "name"))
        tensors.add(entry.name)
        for position, control in enumerate(entry.control):
            kind = enum_name(control, "kind")
            twice = f"sequence batching specifies multiple {kind} tensors" if kind in kinds else ""
            problem = twice or _problem(control, kind)
            kinds.add(kind)
            if problem:
                inspection.report("sequence-control", problem, (*at, "control", position))


def _problem(control: Any, kind: str) -> str:
    given = [name for name in _BOOLEAN_VALUES if len(getattr(control, name))]
    if kind == "CONTROL_SEQUENCE_CORRID":
        if given:
            return f"sequence batching must not specify '{given[0]}' for {kind}"
        datatype = enum_name(control, "data_type")
        return "" if datatype in _CORRELATION_TYPES else f"unexpected data type {datatype} for control {kind}"
    if len(given) != 1:
        return f"sequence batching must specify one of {', '.join(_BOOLEAN_VALUES)} for {kind}; it has {len(given)}"
    if len(getattr(control, given[0])) != 2:
        return f"sequence batching control '{given[0]}' must have exactly 2 entries for {kind}"
    return ""


def _check_initial_state(inspection: Inspection, index: int, state: Any) -> None:
    at = ("sequence_batching", "state", index)
    if len(state.initial_state) > 1:
        what = f"initial_state field for state input '{state.input_name}' must contain exactly one or zero element"
        inspection.report("state-initial", what, (*at, "initial_state", 1))
    for initial in state.initial_state[:1]:
        problems = [] if initial.name else ["Field 'name' must be set when using initial_state"]
        if initial.data_type != state.data_type:
            problems.append("The data type used for 'initial_state' does not match the state data type")
        if len(initial.dims) != len(state.dims):
            problems.append("Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions")
        elif any(dim < 0 for dim in initial.dims):
            problems.append("'initial_state' contains variable dimensions")
        elif any(wanted not in (-1, dim) for dim, wanted in zip(initial.dims, state.dims, strict=True)):
            problems.append("'initial_state' dim doesn't match 'state' dim description")
        if initial.WhichOneof("state_data") is None:
            problems.append("initial_state setting expects zero_data or data_file")
        elif initial.data_file and not (inspection.model.folder / "initial_state" / initial.data_file).is_file():
            problems.append(f"initial_state/{initial.data_file} is missing")
        for problem in problems:
            inspection.report(
                "state-initial", f"state input '{state.input_name}': {problem}", (*at, "initial_state", 0)
            )


def _check_state_order(inspection: Inspection, batching: Any) -> None:
    states = [(state.input_name, state.output_name) for state in batching.state]
    by_input = [output for _, output in sorted(states)]
    if len(states) > 1 and by_input != sorted(by_input):
        order = ", ".join(f"{given} → {taken}" for given, taken in sorted(states))
        what = f"states sort differently by input and by output: {order}"
        inspection.report("state-order", what, ("sequence_batching", "state"))
