"""Rules about what must fit together: sequences, the configuration and the model file, the steps of an ensemble."""

from __future__ import annotations

from maas_export.lint.finding import Rule, refused, wrong

_SEQUENCE_RULES = (
    refused(
        "sequence-control",
        "each sequence control stands once, with one kind of values",
        "Triton checks name, kind, and the two values of start, end and ready",
        "one tensor for each control, with `int32_false_true`, `fp32_false_true` or `bool_false_true`",
    ),
    refused(
        "sequence-utilization",
        "`minimum_slot_utilization` lies in 0 to 1",
        "sequence batching minimum slot utilization must be in range (0.0, 1.0]",
        "give a share",
    ),
    refused(
        "state-initial",
        "`initial_state` has a name, data, and the datatype and dims of its state",
        "Triton builds the state when it loads the model",
        "make it like the state, with fixed dims",
    ),
    wrong(
        "state-order",
        "state inputs and outputs sort alike by name",
        "Triton pairs several states by their place in two sorted lists (server#8586): they get each other's values",
        "name them alike, e.g. `c_in`, `h_in` and `c_out`, `h_out`",
    ),
)

_FILE_RULES = (
    refused(
        "onnx-unreadable",
        "`model.onnx` is a whole ONNX file",
        "INVALID_PROTOBUF or No graph was found: truncated, damaged, or no ONNX",
        "publish the version again",
        by="onnxruntime backend",
    ),
    refused(
        "onnx-too-large",
        "an ONNX file is smaller than 2 GiB",
        "protobuf cannot hold more; the file was cut or cannot be parsed",
        "save the weights as external data beside it",
        by="onnxruntime backend",
    ),
    refused(
        "onnx-opset",
        "the opset is one that the target's ONNX Runtime reads",
        "Opset N is under development and support for this is limited",
        "convert it (`maas import --convert-opset`), export with an older opset, or give a newer --target",
        by="onnxruntime backend",
    ),
    refused(
        "onnx-ir",
        "the IR version is one that the target's ONNX Runtime reads",
        "Unsupported model IR version",
        "export with an older IR, or give a newer --target",
        by="onnxruntime backend",
    ),
    refused(
        "onnx-operator",
        "all operators are ONNX's, ONNX Runtime's or the file's own",
        "No Op registered, or no library that holds it",
        "name the library in `model_operations { op_library_filename }`, or export without it",
        by="onnxruntime backend",
    ),
    refused(
        "onnx-external-outside",
        "external data lies in the model's own version folder",
        "a file from a stranger may name any file of the server",
        "save the model with its data beside it",
        by="maas",
    ),
    refused(
        "onnx-external-missing",
        "the external data that a model names is there",
        "the weights cannot be read",
        "put the file beside the model, and publish both",
        by="onnxruntime backend",
    ),
    refused(
        "io-count",
        "the configuration has as many inputs as the graph",
        "configuration expects N inputs, model provides M",
        "list each input of the graph once",
        by="onnxruntime backend",
    ),
    refused(
        "io-name",
        "inputs, outputs, controls and states are tensors of the graph",
        "unexpected inference input (or output), allowed are …",
        "use the graph's names",
        by="onnxruntime backend",
    ),
    refused(
        "io-datatype",
        "datatypes are those of the graph",
        "configuration expects datatype X, model provides Y",
        "use the graph's datatype",
        by="onnxruntime backend",
    ),
    refused(
        "io-shape",
        "dims are those of the graph, without its batch axis",
        "the model expects N dimensions but the model configuration specifies M",
        "use the graph's dims; leave the batch axis out where `max_batch_size` > 0",
        by="onnxruntime backend",
    ),
    refused(
        "io-batch-axis",
        "`max_batch_size` > 0 only where every tensor of the graph has a dynamic first axis",
        "for the model to support batching the first dimension must be -1",
        "set `max_batch_size` to 0, or export the graph with a dynamic first axis",
        by="onnxruntime backend",
    ),
    refused(
        "io-optional",
        "`optional` inputs only without batching",
        "optional input is not supported for models that support batching",
        "set `max_batch_size` to 0, or make the input required",
        by="onnxruntime backend",
    ),
    refused(
        "python-model",
        "`model.py` is Python and has a class `TritonPythonModel`",
        "the stub cannot import it",
        "mend the file",
        by="python backend",
    ),
)

_ENSEMBLE_RULES = (
    refused(
        "ensemble-fields",
        "an ensemble has `ensemble_scheduling` and none of instance_group, optimization, model_warmup",
        "these belong to its steps; Triton refuses them here",
        "take them out",
        fixable=True,
    ),
    refused(
        "ensemble-step-incomplete",
        "every step has model_name, input_map and output_map",
        "must specify 'model_name', 'input_map' and 'output_map' in step",
        "complete the step",
    ),
    refused(
        "ensemble-step-missing",
        "every step's model is in the repository",
        "ensemble contains models that are not available",
        "publish the step's model, or mend its name",
    ),
    refused(
        "ensemble-step-version",
        "the version that a step names is one that its model serves",
        "ensemble depends on a model whose required version is not loaded",
        "`model_version: -1` takes the newest",
    ),
    refused(
        "ensemble-circle",
        "no ensemble contains itself, directly or through others",
        "circular dependency between ensembles",
        "break the circle",
    ),
    refused(
        "ensemble-written-twice",
        "every tensor is written by one step",
        "ensemble tensor can appear in an output map only once",
        "give the second another name",
    ),
    refused(
        "ensemble-unwritten",
        "every tensor that is read or returned is an input of the ensemble or written by a step before",
        "output is not written: at least one of its depending tensors is not connected",
        "map an output of a step to it; steps must not wait for each other in a circle",
    ),
    refused(
        "ensemble-unused",
        "every input of the ensemble and every mapped output of a step is used",
        "ensemble tensor is unused in ensemble",
        "take it out of the map, or return it",
    ),
    refused(
        "ensemble-map",
        "maps name inputs and outputs that the step's model has",
        "ensemble tensor is mapping to non-existing input (or from non-existing output)",
        "use the names in the step's configuration",
    ),
    refused(
        "ensemble-unmapped",
        "every input of a step's model is mapped, but the optional ones",
        "input in model is not mapped to any ensemble tensors",
        "map a tensor to it",
    ),
    refused(
        "ensemble-type",
        "datatype and shape are the same wherever a tensor is written and read",
        "inconsistent data type or inconsistent shape",
        "mend the configuration that is wrong, or add a step that converts",
    ),
    refused(
        "ensemble-batch-size",
        "no batching step takes a smaller batch than the ensemble",
        "contains model which only allows maximum batch size to be N",
        "lower the ensemble's `max_batch_size`, or raise the step's",
    ),
)

MODEL_RULES: tuple[Rule, ...] = (*_SEQUENCE_RULES, *_FILE_RULES, *_ENSEMBLE_RULES)
