"""Bad requests over HTTP, each with what the gateway promises for it. None may reach Triton in a form that can end it.

They are bytes as they go over the wire. Those over gRPC stand in ``poison_corpus_grpc.py``.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MIB = 2**20
SERVICE = "/inference.GRPCInferenceService"
INFER = "/v2/models/echo/infer"


@dataclass(frozen=True)
class BadHttp:
    """One request over HTTP.

    Attributes:
        wire: what is sent.
        statuses: of which one must come.
    """

    name: str
    wire: bytes
    statuses: tuple[int, ...]


def http(
    method: str = "POST", path: str = INFER, body: bytes | str = b"", headers: dict[str, str] | None = None
) -> bytes:
    """A request as it should be written, whatever is in it."""
    content = body.encode() if isinstance(body, str) else body
    fields = {"Host": "x", "Content-Length": str(len(content)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + content


def chunked(body: bytes, size: int = 1, path: str = INFER, method: str = "POST") -> bytes:
    """A request in chunks of ``size`` bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def tensor(**changes: Any) -> dict[str, Any]:
    """A good input but for ``changes``; what is None is left out."""
    entry = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changes}
    return {name: value for name, value in entry.items() if value is not None}


def document(*inputs: dict[str, Any], **more: Any) -> str:
    """The JSON of an inference request."""
    return json.dumps({"inputs": list(inputs) or [tensor()], **more})


def binary(header: str, data: bytes, length: str | None = None, **headers: str) -> bytes:
    """A request with binary tensors; ``length`` is what is said of the JSON."""
    said = str(len(header)) if length is None else length
    return http(body=header.encode() + data, headers={"Inference-Header-Content-Length": said, **headers})


def binary_tensor(size_bytes: object = 8, **changes: Any) -> dict[str, Any]:
    """An input whose data follow the JSON."""
    return tensor(data=None, parameters={"binary_data_size": size_bytes}, **changes)


def http_cases() -> Iterator[BadHttp]:
    """All bad requests over HTTP."""
    for family in (_shapes, _json, _tensors, _lengths, _parameters, _encodings, _sizes, _methods, _paths, _wire):
        yield from family()


def _shapes() -> Iterator[BadHttp]:
    shapes: dict[str, object] = {
        "overflow": [16, 2**60 + 2],
        "overflow to 0": [2**32, 2**32],
        "overflow to 2": [2**63 + 1, 2],
        "huge": [1, 2**40],
        "a gigabyte": [1, 2**28],
        "more than the data": [1, 1000],
        "negative": [1, -1],
        "very negative": [-(2**63), 2],
        "zero": [1, 0],
        "no batch": [0, 2],
        "20 digits": [1, 10**20],
        "a fraction": [1, 2.5],
        "text": [1, "2"],
        "nested": [[1, 2]],
        "a truth": [1, True],
        "null": [1, None],
        "an object": {"0": 1},
        "a number": 2,
        "1000 dims": [1] * 1000,
    }
    for name, shape in shapes.items():
        yield BadHttp(f"shape {name}", http(body=document(tensor(shape=shape))), (400,))
        yield BadHttp(f"binary shape {name}", binary(document(binary_tensor(shape=shape)), bytes(8)), (400,))
    exponent = document(tensor()).replace("[1, 2]", "[1, 2e18]", 1)
    yield BadHttp("shape with an exponent", http(body=exponent), (400,))
    yield BadHttp("shape with a leading zero", http(body=document().replace("[1, 2]", "[1, 02]", 1)), (400,))


def _json() -> Iterator[BadHttp]:
    deep = 250_000
    good = document()
    texts: dict[str, str | bytes] = {
        "nested lists": "[" * deep + "]" * deep,
        "nested objects": '{"a":' * deep + "1" + "}" * deep,
        "nested data": document().replace('"data": [1, 2]', '"data": ' + "[" * deep + "]" * deep),
        "nested parameters": document(parameters={"p": 0}).replace(": 0}", ": " + "[" * deep + "]" * deep + "}"),
        "nested and never closed": '{"inputs":' + "[" * deep,
        "nested in an unknown key": document(zzz=0).replace(": 0}", ": " + "[" * deep + "]" * deep + "}"),
        "escaped shape": good.replace('"shape"', '"\\u0073hape"'),
        "escaped inputs": good.replace('"inputs"', '"\\u0069nputs"'),
        "escaped datatype": good.replace('"FP32"', '"FP\\u00332"'),
        "shape twice": good.replace('"shape": [1, 2]', '"shape": [1, 2], "shape": [1, 1152921504606846978]'),
        "inputs twice": good[:-1] + ', "inputs": []}',
        "truncated": good[:-3],
        "blank": "   ",
        "no JSON": "x=1&y=2",
        "a list": "[]",
        "a text": '"inputs"',
        "something behind": good + "{}",
        "a comment": good.replace("{", "{/* */", 1),
        "a comma too many": good.replace("[1, 2]", "[1, 2,]", 1),
        "single quotes": good.replace('"', "'"),
        "NaN": good.replace('"data": [1, 2]', '"data": [NaN, 2]'),
        "Infinity": good.replace('"data": [1, 2]', '"data": [1, -Infinity]'),
        "a byte order mark": b"\xef\xbb\xbf" + good.encode(),
        "UTF-16": good.encode("utf-16"),
        "no UTF-8": good.replace('"x"', '"x\\"').encode().replace(b'\\"', b"\xff"),
        "overlong UTF-8": document(id="?").encode().replace(b"?", b"\xc0\xaf"),
        "a control character": document(id="?").replace("?", "\x01"),
        "a NUL": document(id="?").replace("?", "\0"),
        "half a surrogate pair": document(id="?").replace("?", "\\ud83d"),
        "the other half": document(id="?").replace("?", "\\ude00x"),
        "a broken escape": document(id="?").replace("?", "\\u12G4"),
        "no inputs": "{}",
        "empty inputs": '{"inputs":[]}',
        "inputs that are an object": '{"inputs":{}}',
        "an input that is null": '{"inputs":[null]}',
        "an id that is a number": document(id=7),
    }
    for name, text in texts.items():
        yield BadHttp(f"JSON: {name}", http(body=text), (400,))
    yield BadHttp("no body", http(), (400,))
    yield BadHttp("generate: nested", http(path="/v2/models/text/generate", body=texts["nested lists"]), (400,))
    yield BadHttp(
        "generate: nested value",
        http(path="/v2/models/text/generate", body='{"x":' + "[" * deep + "]" * deep + "}"),
        (400,),
    )
    yield BadHttp("generate: a list", http(path="/v2/models/text/generate_stream", body='["x"]'), (400,))


def _tensors() -> Iterator[BadHttp]:
    many = [{"name": f"o{number}"} for number in range(100_000)]
    entries: dict[str, str] = {
        "datatype unknown": document(tensor(datatype="FP31")),
        "datatype missing": document(tensor(datatype=None)),
        "name missing": document(tensor(name=None)),
        "name empty": document(tensor(name="")),
        "name of 300 characters": document(tensor(name="x" * 300)),
        "shape missing": document(tensor(shape=None)),
        "data missing": document(tensor(data=None)),
        "data in JSON and in binary": document(tensor(parameters={"binary_data_size": 0})),
        "data with an empty list": document(tensor(shape=[2, 1], data=[[1], []])),
        "data with a hole": document().replace("[1, 2]}", "[, 2]}"),
        "data of texts": document(tensor(data=["1", "2"])),
        "data of truths": document(tensor(data=[True, False])),
        "data of nothing": document(tensor(data=[None, None])),
        "data of objects": document(tensor(data=[{"a": 1}, 2])),
        "data of 400 digits": document(tensor(data=[10**400, 2])),
        "data with a huge exponent": document().replace("[1, 2]}", "[1e999999999, 2]}"),
        "an input twice": document(tensor(), tensor()),
        "100 inputs": document(*(tensor(name=f"x{number}") for number in range(100))),
        "an output twice": document(outputs=[{"name": "y"}, {"name": "y"}]),
        "100,000 outputs": document(outputs=many),
        "100,000 times the same output": document(outputs=[{"name": "y"}] * 100_000),
        "an output without name": document(outputs=[{}]),
        # From here on it is Triton that knows the model.
        "datatype of another model": document(tensor(datatype="INT32")),
        "rank": document(tensor(shape=[2])),
        "batch larger than the model's": document(tensor(shape=[9, 1], data=[1] * 9)),
        "input unknown": document(tensor(name="z")),
        "one input too many": document(tensor(), tensor(name="z")),
        "output unknown": document(outputs=[{"name": "z"}]),
        "more data than the shape says": document(tensor(data=[1, 2, 3])),
    }
    for name, text in entries.items():
        yield BadHttp(f"tensor: {name}", http(body=text), (400,))


def _lengths() -> Iterator[BadHttp]:
    good = document(binary_tensor())
    for length in ("0", "-1", "99999999999", "abc", "", "+5", "0x10", "1e2", "9" * 400, str(len(good) + 9), "12, 12"):
        yield BadHttp(f"header length {length[:12]!r}", binary(good, bytes(8), length), (400,))
    twice = binary(good, bytes(8)).replace(b"\r\n\r\n", b"\r\nInference-Header-Content-Length: 5\r\n\r\n", 1)
    yield BadHttp("header length twice", twice, (400,))
    yield BadHttp("header length within the JSON", binary(good, bytes(8), str(len(good) - 4)), (400,))
    for size in (-1, 4, 7, 9, 2**63, "8", 8.5, None):
        yield BadHttp(f"binary size {size}", binary(document(binary_tensor(size)), bytes(8)), (400,))
    yield BadHttp("fewer bytes than said", binary(good, bytes(4)), (400,))
    yield BadHttp("more bytes than said", binary(good, bytes(80)), (400,))
    strings = document(binary_tensor(4, datatype="BYTES", shape=[1, 1000]))
    yield BadHttp("BYTES fewer than the shape", binary(strings, bytes(4)).replace(b"echo", b"text"), (400,))
    past = document(binary_tensor(8, datatype="BYTES", shape=[1, 1]))
    wire = binary(past, struct.pack("<I", 2**31) + b"abcd").replace(b"echo", b"text")
    yield BadHttp("BYTES longer than the buffer", wire, (400,))


def _parameters() -> Iterator[BadHttp]:
    region = {"shared_memory_region": "triton_onnxruntime_backend_shm_region_1", "shared_memory_byte_size": 8}
    past = {**region, "shared_memory_offset": 2**63}
    for name, parameters in {"": region, ", offset too large": past}.items():
        yield BadHttp(
            f"shared memory for input{name}", http(body=document(tensor(data=None, parameters=parameters))), (403,)
        )
        outputs = [{"name": "y", "parameters": parameters}]
        yield BadHttp(f"shared memory for output{name}", http(body=document(outputs=outputs)), (403,))
    values: dict[str, object] = {
        "triton_secret": 1,
        "sequence_id": [1],
        "sequence_start": "yes",
        "sequence_end": 1,
        "priority": -1,
        "timeout": "soon",
        "binary_data_output": "x",
        "x": [1, 2],
    }
    for name, value in values.items():
        yield BadHttp(f"parameter {name}", http(body=document(parameters={name: value})), (400,))
    for name in ("priority", "timeout", "sequence_id"):
        yield BadHttp(f"parameter {name}, huge", http(body=document(parameters={name: 10**30})), (400,))
    yield BadHttp("sequence id of 129 bytes", http(body=document(parameters={"sequence_id": "s" * 129})), (400,))
    generate = "/v2/models/text/generate"
    for name, value in {"triton_secret": 1, "sequence_id": [1], "sequence_start": "yes", "priority": -1}.items():
        yield BadHttp(
            f"generate: parameter {name}", http(path=generate, body=json.dumps({"x": "a", name: value})), (400,)
        )
        inside = json.dumps({"x": "a", "parameters": {name: value}})
        yield BadHttp(f"generate: {name} in parameters", http(path=generate, body=inside), (400,))
    hidden = http(path=generate, body="{}" + "[" * 5000, headers={"Inference-Header-Content-Length": "2"})
    yield BadHttp("generate: a header length", hidden, (400,))
    for sequence in ("s" * 129, "a b", 'a"b'):
        wire = http(body=document(), headers={"x-maas-sequence": sequence})
        yield BadHttp(f"sequence header {sequence[:4]!r}", wire, (400,))
    step = document(tensor(shape=[1, 1], data=[1]), parameters={"sequence_id": 77})
    yield BadHttp("sequence without a start", http(path="/v2/models/total/infer", body=step), (400,))
    without = document(tensor(shape=[1, 1], data=[1]))
    yield BadHttp("sequence without an id", http(path="/v2/models/total/infer", body=without), (400,))


def _encodings() -> Iterator[BadHttp]:
    bomb = gzip.compress(bytes(64 * MIB), 9)
    for encoding in ("gzip", "deflate", "gzip, gzip", "br", "x-unknown", "identity, gzip"):
        yield BadHttp(f"encoding {encoding}", http(body=bomb, headers={"Content-Encoding": encoding}), (415,))
    for kind in ("multipart/form-data", "application/xml", "image/png", "/"):
        yield BadHttp(f"type {kind}", http(body=document(), headers={"Content-Type": kind}), (400,))
    for kind in ("application/grpc-web", "application/grpc+json"):
        wire = http(path=f"{SERVICE}/ModelInfer", body=bytes(5), headers={"Content-Type": kind})
        yield BadHttp(f"type {kind}", wire, (200, 415))
    yield BadHttp("gRPC path without gRPC", http(path=f"{SERVICE}/ModelInfer", body=document()), (404, 415))


def _sizes() -> Iterator[BadHttp]:
    header = http(headers={"Content-Length": str(64 * MIB + 1)})
    yield BadHttp("body over the limit, not even sent", header, (413,))
    yield BadHttp("body of an exabyte", http(headers={"Content-Length": str(10**18)}), (413,))
    yield BadHttp("chunks over the limit", chunked(bytes(65 * MIB), MIB), (413,))
    yield BadHttp("JSON of 5 MiB", http(body=document(tensor(shape=[1, 2**20], data=[1.25] * 2**20))), (413,))
    yield BadHttp("3 MB of chunks of a byte", chunked(b"[" * 3_000_000), (400, 413))
    yield BadHttp(
        "chunks on a path without body", chunked(bytes(100_000), path="/v2/models/echo", method="GET"), (400,)
    )
    yield BadHttp("body of a GET", http("GET", "/v2/health/live", body=b"x" * 1000), (400,))
    yield BadHttp("header of a megabyte", http("GET", "/v2", headers={"X-Long": "x" * MIB}), (431,))
    many = {f"X-{number}": "1" for number in range(10_000)}
    yield BadHttp("10,000 headers", http("GET", "/v2", headers=many), (431,))
    yield BadHttp("path of 5000 bytes", http(path=f"/v2/models/{'a' * 5000}/infer", body=document()), (400,))


def _methods() -> Iterator[BadHttp]:
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD"):
        yield BadHttp(f"{method} of an inference", http(method), (405,))
    yield BadHttp("POST of readiness", http(path="/v2/health/ready"), (405,))
    yield BadHttp("CONNECT", http("CONNECT", "127.0.0.1:22"), (400, 403, 404, 405))
    yield BadHttp("no method that exists", http("BREW"), (400, 405))


def _paths() -> Iterator[BadHttp]:
    names = {
        "that climbs": "../x",
        "that climbs, escaped": "%2e%2e%2fx",
        "with a command": "a;id",
        "with a command, escaped": "a%3Bid",
        "with backticks": "`id`",
        "with a dollar": "$(id)",
        "empty": "",
        "blank": "%20",
        "of 300 characters": "a" * 300,
        "of other letters": "mod%C3%A8le",
        "of raw bytes": "mod\xe8le",
        "with a line end": "a%0d%0aX:%201",
        "with an escape sequence": "a%1b[31m",
        "with a NUL": "a%00b",
        "that begins with a dash": "-rf",
        "that is hidden": ".x",
    }
    for name, model in names.items():
        # Where `..` or nothing stands for a name, the path may be none at all.
        yield BadHttp(f"model {name}", http(path=f"/v2/models/{model}/infer", body=document()), (400, 404))
    for version in ("abc", "-1", "0", "1.0", "1e3", "9" * 20, "%31", "1;id"):
        wire = http(path=f"/v2/models/echo/versions/{version}/infer", body=document())
        yield BadHttp(f"version {version}", wire, (400,))
    yield BadHttp("model unknown", http(path="/v2/models/unknown/infer", body=document()), (404,))
    yield BadHttp("version unknown", http(path="/v2/models/echo/versions/99/infer", body=document()), (400, 404))
    yield BadHttp("model unknown, metadata", http("GET", "/v2/models/unknown"), (400, 404))
    closed = (
        "repository/index",
        "repository/models/echo/load",
        "repository/models/echo/unload",
        "systemsharedmemory/region/r/register",
        "cudasharedmemory/region/r/register",
        "systemsharedmemory/unregister",
        "models/echo/trace/setting",
        "trace/setting",
        "logging",
    )
    load = json.dumps({"parameters": {"config": "{}", "file:../../x": "", "file:" + "a" * 300: ""}})
    for path in closed:
        yield BadHttp(f"closed: {path}", http(path=f"/v2/{path}", body=load), (403,))
    for path in ("systemsharedmemory/status", "models/stats", "models/echo/stats", "logging"):
        yield BadHttp(f"closed: GET {path}", http("GET", f"/v2/{path}"), (403,))
    yield BadHttp("closed: metrics", http("GET", "/metrics"), (403, 404))
    for path in ("/", "/v1/models", "/v2/models/echo/infer/x", "/v2/models", "/v3", "//v2/models/echo/infer"):
        yield BadHttp(f"path {path}", http(path=path, body=document()), (400, 404, 405))


def _wire() -> Iterator[BadHttp]:
    body = document()
    both = http(body=body, headers={"Transfer-Encoding": "chunked"})
    yield BadHttp("length and chunks", both, (400,))
    twice = http(body=body).replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n", 1)
    yield BadHttp("two lengths", twice, (400,))
    yield BadHttp("negative length", http(body=body, headers={"Content-Length": "-5"}), (400,))
    yield BadHttp("length that is none", http(body=body, headers={"Content-Length": "abc"}), (400,))
    yield BadHttp("chunk size that is none", chunked(b"").replace(b"0\r\n", b"zz\r\n"), (400,))
    yield BadHttp("transfer encoding unknown", http(headers={"Transfer-Encoding": "x"}), (400, 501))
    yield BadHttp("NUL in a header", http(body=body, headers={"X-A": "a\0b"}), (400,))
    yield BadHttp("escape sequence in a header", http(body=body, headers={"X-A": "a\x1b[31m"}), (400,))
    yield BadHttp("escape sequence in a header's name", http(body=body, headers={"X\x1b[31m": "1"}), (400,))
    yield BadHttp("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", (400,))
    yield BadHttp("a blank in the path", http(path="/v2/models/ec ho/infer", body=body), (400,))
