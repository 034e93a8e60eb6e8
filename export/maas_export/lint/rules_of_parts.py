"""Rules about a model's folder and the fields of its configuration, each by itself."""

from __future__ import annotations

from maas_export.lint.finding import Rule, Severity, refused, wrong

_FOLDER_RULES = (
    refused(
        "model-name",
        "a model's name is 1 to 100 letters, digits, `_`, `.` or `-`",
        "Triton hands it to a shell when it starts a Python model (CVE-2025-23316); `maas` serves no other",
        "rename the folder",
        by="maas",
    ),
    refused(
        "name-differs",
        "`name` equals the folder's name",
        "Triton takes the folder's name and wants both the same",
        "leave `name` out, or set it to the folder's",
        fixable=True,
    ),
    wrong(
        "config-missing",
        "a model has a `config.pbtxt`",
        "Triton guesses one: other batch sizes and instances than you tested, and clients cannot read it offline",
        "write one; `maas import` makes it from an ONNX file",
    ),
    refused(
        "config-unreadable",
        "`config.pbtxt` is a text file that can be read",
        "the server's user cannot open it, or it is not UTF-8",
        "give the right to read it, or save it as UTF-8",
    ),
    refused(
        "config-syntax",
        "`config.pbtxt` is text protobuf of the message `ModelConfig`",
        "an unknown field, a wrong enum value or a lost brace stops the parser at this line",
        "mend that line; the fields are in Triton's `model_config.proto`",
    ),
    refused(
        "field-newer",
        "no field is younger than the target",
        "the target's parser does not know the field and refuses the whole file",
        "leave it out, or give a newer --target",
    ),
    Rule(
        "unpublished",
        Severity.NOTE,
        "Triton",
        "a model has a version",
        "until one is published Triton has nothing to load; in git that is the normal state",
        "`maas publish` one; with --require-versions this is an error",
    ),
    refused(
        "no-version",
        "the version policy chooses at least one version that is there",
        "at least one version must be available under the version policy",
        "publish that version, or let the policy name one that is there",
    ),
    wrong(
        "pinned-version-missing",
        "every version that the policy names is there",
        "Triton logs an error and serves the others",
        "publish it, or take it out of the policy",
    ),
    refused(
        "version-name",
        "a folder that begins with digits is called nothing but its number",
        "Triton reads `3.tmp` as version 3, then looks for a folder `3`",
        "rename it so that it begins with a dot or a letter, or stage outside the model's folder",
    ),
    refused(
        "version-overflow",
        "a version number fits 64 bits",
        "Triton does not catch the overflow (std::out_of_range): the whole server ends",
        "rename the folder",
    ),
    wrong(
        "version-ignored",
        "a version folder is called 1 to 2147483647, without leading zeros",
        "Triton (leading zeros) or our own tools (0, or more than 31 bits) do not see it",
        "rename it to a plain number, or remove it",
    ),
    refused(
        "model-file-missing",
        "a version that is served holds the backend's model file",
        "the backend has nothing to open",
        "publish the version again, or name the file in `default_model_filename`",
    ),
    refused(
        "model-file-unreadable",
        "the model file can be read by the server's user",
        "opening it fails: Permission denied",
        "give the right to read it",
    ),
    wrong(
        "stray-entry",
        "a model's root holds `config.pbtxt`, label files and version folders, nothing else",
        "each change of any other entry makes Triton load all versions again; one called like the beginning of"
        " `config.pbtxt` stops it from seeing changes at all",
        "move it into a version folder or out of the repository",
        fixable=True,
    ),
    wrong(
        "manifest-differs",
        "a version folder holds what its `manifest.json` lists",
        "what was verified is not what is served",
        "publish the bundle again as a new version",
    ),
)

_FIELD_RULES = (
    refused(
        "backend-missing",
        "`backend` or `platform` is named, or follows from the model file",
        "Could not determine backend for model with no backend in model configuration",
        "name the backend",
    ),
    refused(
        "backend-unknown",
        "the backend is one that the server has",
        "unable to find backend library for backend",
        "name one of NVIDIA's containers, or tell the linter about yours with --backend",
    ),
    refused(
        "platform-differs",
        "`platform` fits `backend`",
        "unexpected 'platform' and 'backend' pair",
        'leave `platform` out; an ensemble has `platform: "ensemble"` and no backend',
    ),
    refused(
        "batch-size",
        "`max_batch_size` is not negative",
        "'max_batch_size' must be non-negative value",
        "0 for a model without a batch axis, else the largest batch",
    ),
    refused(
        "tensor-incomplete",
        "every input and output has name, data_type and dims",
        "must specify 'name', 'data_type' and 'dims'",
        "complete it",
    ),
    refused(
        "tensor-dims",
        "a dimension is at least 1, or -1 for any size",
        "dimension must be integer >= 1, or -1 to indicate a variable-size dimension",
        "write the size, or -1; the batch axis is not listed",
    ),
    refused(
        "tensor-reshape",
        "`reshape` keeps the number of elements",
        "has different size for dims and reshape",
        "make both the same size, with the -1 in corresponding places",
    ),
    refused(
        "tensor-format",
        "NCHW and NHWC have 3 dims; shape tensors and non-linear formats are TensorRT's",
        "Triton checks the format against dims and platform",
        "leave `format`, `is_shape_tensor` or `is_non_linear_format_io` out",
    ),
    wrong(
        "tensor-duplicate",
        "no two inputs, and no two outputs, have the same name",
        "Triton counts both as required and finds one: every request fails",
        "rename or remove one",
    ),
    refused(
        "batch-io",
        "`batch_input` and `batch_output` name inputs and outputs that exist",
        "Triton checks their sources, targets and datatypes",
        "mend the name or the kind",
    ),
    refused(
        "label-file-missing",
        "the file that `label_filename` names is in the model's root",
        "Triton reads it when it loads the model",
        "put it there, or leave `label_filename` out",
    ),
    wrong(
        "label-count",
        "there are as many labels as the output has elements",
        "classification results come back with the wrong label, or none",
        "one line for each class, in the order of the output",
    ),
    refused(
        "preferred-batch-size",
        "preferred batch sizes are 1 to `max_batch_size`",
        "preferred size must be positive and <= max batch size",
        "take it out, or raise `max_batch_size`",
        fixable=True,
    ),
    wrong(
        "batching-idle",
        "`dynamic_batching` goes with a `max_batch_size` over 1",
        "no batch can form; requests only wait",
        "raise `max_batch_size`, or leave `dynamic_batching` out",
        fixable=True,
    ),
    wrong(
        "queue-delay",
        "`max_queue_delay_microseconds` is at most one second",
        "a lone request waits that long; perhaps milliseconds were meant",
        "give microseconds",
    ),
    refused(
        "priority-levels",
        "priorities lie in 1 to `priority_levels`",
        "default priority level and queue policies must be in range",
        "set `default_priority_level` and the keys of `priority_queue_policy` in that range",
    ),
    refused(
        "preserve-ordering",
        "`preserve_ordering` goes with one priority level and no DELAY",
        "Triton cannot keep an order that priorities or delayed time-outs change",
        "choose one of the two",
    ),
    refused(
        "response-cache",
        "`response_cache` goes with neither sequences nor decoupled models",
        "Response Cache does not currently support the model",
        "disable the response cache",
        fixable=True,
    ),
    refused(
        "instance-gpu",
        "`KIND_GPU` only where the target has a GPU",
        "has kind KIND_GPU but no GPUs are available",
        "leave `kind` out, which fits machines with and without a GPU, or give --gpu",
        fixable=True,
    ),
    refused(
        "instance-group",
        "`gpus` goes with GPU instances, `profile` with TensorRT",
        "Triton refuses `gpus` of KIND_CPU and KIND_MODEL, and profiles of other backends",
        "leave the field out",
        fixable=True,
    ),
    wrong(
        "threads-over-cores",
        "instances × threads are no more than the machine's cores",
        "they take the processor from each other: slower, and with long outliers",
        "set `instance_group` and `intra_op_thread_count`, or ask `maas tune`; --cores says how many there are",
    ),
    wrong(
        "parameter-unknown",
        "a parameter is one that the backend reads",
        "a misspelt one is ignored without a word",
        "mend the spelling or take it out",
    ),
    refused(
        "parameter-value",
        "a parameter has a value that the backend takes",
        "the backend cannot convert it, and refuses the model",
        "give a number, or 0/1",
        by="onnxruntime backend",
    ),
    wrong(
        "key-twice",
        "a key stands once in a map (`parameters`, `input_map`, …)",
        "the last one wins without a word",
        "take the other out",
    ),
    refused(
        "accelerator-unknown",
        "execution accelerators are those of the onnxruntime backend",
        "unknown Execution Accelerator is requested",
        "`tensorrt` or `cuda` on a GPU, `openvino` on a CPU",
        by="onnxruntime backend",
    ),
    refused(
        "warmup",
        "warm-up samples name inputs of the model with fixed dims and a kind of data",
        "Triton runs them when it loads the model, and gives up where one fails",
        "complete the sample; files lie in the model's `warmup/`",
    ),
)

PART_RULES: tuple[Rule, ...] = (*_FOLDER_RULES, *_FIELD_RULES)
