from __future__ import annotations

import dataclasses

import pytest

from maas_core.config import config_of, dump_config, parse_config, pin_version, pinned_version, same_but_version
from maas_core.errors import WrongUse
from maas_core.spec import ModelSpec, Objective, Serving, TensorSpec

SPEC = ModelSpec(
    name="echo",
    task="test",
    summary="gives back what it got",
    backend="onnxruntime",
    inputs=(TensorSpec("text", "BYTES", ("length",), "any bytes"),),
    outputs=(TensorSpec("score", "FP32", (2,), "one score a class", labels=("no", "yes")),),
    serving=Serving(max_batch_size=8, instances=2, queue_delay_us=500),
    tolerances={},
    objective=Objective(p99_ms=10.0),
)


def test_a_spec_becomes_the_config_that_triton_reads() -> None:
    config = parse_config(dump_config(config_of(SPEC)), "config.pbtxt")
    assert (config.name, config.backend, config.max_batch_size) == ("echo", "onnxruntime", 8)
    assert [(entry.name, list(entry.dims)) for entry in config.input] == [("text", [-1])]
    assert config.output[0].label_filename == "labels.txt"
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.instance_group[0].count == 2


def test_a_config_never_names_a_kind_of_processor() -> None:
    """KIND_GPU fails to load without a GPU, KIND_CPU wastes one: the same file must run in both homes."""
    assert "kind:" not in dump_config(config_of(SPEC))


def test_a_model_that_takes_one_sample_at_a_time_has_no_batcher() -> None:
    spec = dataclasses.replace(SPEC, serving=Serving(max_batch_size=1))
    assert not config_of(spec).HasField("dynamic_batching")


def test_pinning_changes_the_version_and_nothing_else() -> None:
    config = config_of(SPEC)
    assert pinned_version(config) is None
    assert pinned_version(pin_version(pin_version(config, 3), 7)) == 7
    assert same_but_version(pin_version(config, 3), config)
    other = pin_version(config, 3)
    other.max_batch_size = 9
    assert not same_but_version(other, config)


@pytest.mark.parametrize("text", ["max_batch_size: many", "colour: 'red'", "input {"])
def test_what_triton_refuses_to_parse_is_named_with_its_line(text: str) -> None:
    with pytest.raises(WrongUse, match=r"here\.pbtxt: 1:"):
        parse_config(text, "here.pbtxt")
