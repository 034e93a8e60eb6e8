"""What needs a server that remembers or streams: sequences, texts that grow, callers that go away.

The networks have fresh weights: the way from the caller to the network and back is the same.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc as grpc_client

from maas_client import Client, InputError, MaasClientError, ServerError
from maas_core.config import CONFIG_FILE, config_of, dump_config, pin_version
from maas_core.golden import Sample
from maas_export.catalogue import CatalogueModel, PythonModel, Reference, TorchModel, model_named
from maas_export.ladder import Task, climb, onnx_rung, served_rung
from maas_export.onnx_export import export_onnx
from maas_export.python_models import source_files
from maas_export.references import torch_reference
from maas_server.embedded import EmbeddedTriton
from maas_server.ensembles import with_steps
from maas_server.pytest_plugin import TritonFactory

MODELS = ("adoption_lstm", "adoption_preprocess", "adoption", "tiny_gpt", "tiny_gpt_text")
WAYS = ("grpc", "http")
NARROW = "narrow_text"
"""`tiny_gpt_text` with one stream at a time and one place to wait."""
ENDLESS = {"prompt": "a", "max_tokens": 250, "temperature": 10.0, "seed": 1}
"""Unlikely tokens too, so that the text does not end by itself."""

ATTEMPTS = 5


def fresh(model: TorchModel) -> torch.nn.Module:
    """What is exported of a network whose weights depend on nothing but its name."""
    torch.manual_seed(len(model.name))
    return model.exported(model.build().eval()).eval()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models with fresh weights, not verified."""
    folder = tmp_path_factory.mktemp("state")
    for name in MODELS:
        model = model_named(name)
        version = folder / name / "1"
        version.mkdir(parents=True)
        (folder / name / CONFIG_FILE).write_text(dump_config(pin_version(config_of(model.spec), 1)))
        if isinstance(model, TorchModel):
            export_onnx(model, fresh(model), version / "model.onnx")
        if isinstance(model, PythonModel):
            write_python(model, version)
    narrow = folder / NARROW
    shutil.copytree(folder / "tiny_gpt_text", narrow)
    config = (narrow / CONFIG_FILE).read_text().replace('"tiny_gpt_text"', f'"{NARROW}"', 1)
    one = [f'parameters {{ key: "{name}" value {{ string_value: "1" }} }}' for name in ("streams", "waiting")]
    four = 'parameters {\n  key: "streams"\n  value {\n    string_value: "4"\n  }\n}\n'
    assert four in config
    (narrow / CONFIG_FILE).write_text(config.replace(four, "\n".join(one) + "\n"))
    return folder


def write_python(model: PythonModel, version: Path) -> None:
    """The files of a Python model, as a bundle holds them."""
    for path in source_files(model.source):
        shutil.copyfile(path, version / path.name)
    for name, content in model.assets.items():
        (version / name).write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture(scope="module")
def server(repository: Path, module_triton_server: TritonFactory) -> EmbeddedTriton:
    """A server over all of them."""
    triton = module_triton_server(repository)
    assert triton.failed == {}
    return triton


@pytest.fixture(params=WAYS)
def client(server: EmbeddedTriton, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Connected by either protocol."""
    address = server.grpc_url if request.param == "grpc" else server.http_url
    with Client(f"{request.param}://{address}") as connected:
        yield connected


def task_of(model: CatalogueModel, reference: Reference) -> Task:
    """Samples of every size with their right answers."""
    rng = np.random.default_rng(7)
    inputs = [model.sample_inputs(rng, size) for size in model.batch_sizes]
    samples = [Sample(f"sample-{number}", each, reference(each)) for number, each in enumerate(inputs)]
    return Task(model.spec, model.spec.tolerances, samples)


@pytest.mark.parametrize("name", ["adoption_lstm", "tiny_gpt"])
def test_onnx_and_both_protocols_answer_as_torch_does(name: str, repository: Path, server: EmbeddedTriton) -> None:
    model = model_named(name)
    assert isinstance(model, TorchModel)
    task = task_of(model, torch_reference(model, fresh(model)))
    rungs = [
        onnx_rung(repository / name / "1" / "model.onnx", task),
        served_rung("http", f"http://{server.http_url}", model, task),
        served_rung("grpc", f"grpc://{server.grpc_url}", model, task),
    ]
    assert [(rung.passed, rung.detail) for rung in rungs] == [(True, "")] * 3


def test_a_ladder_that_forgets_the_state_fails() -> None:
    model = model_named("adoption_lstm")
    assert isinstance(model, TorchModel)
    task = task_of(model, torch_reference(model, fresh(model)))
    module = fresh(model)

    def forgetful(inputs: Any) -> Any:
        with torch.inference_mode():
            zero = torch.zeros(len(inputs["share"]), 128)
            forecast, output, *_ = module(
                torch.from_numpy(inputs["share"]), torch.from_numpy(inputs["known"]), zero, zero
            )
        return {"forecast": forecast.numpy(), "lstm_output": output.numpy()}

    assert not climb("forgetful", task, forgetful).passed


def steps(client: Client, cells: list[str]) -> np.ndarray[Any, Any]:
    """The forecast after each cell of one sequence."""
    with client.sequence("adoption") as sequence:
        return np.concatenate([sequence.infer(observation=[[cell]])["forecast"] for cell in cells])


def test_sequences_that_run_at_a_time_keep_their_own_state(client: Client) -> None:
    rising, flat = ["1 %", "2 %", "", "8 %"], ["0.5", "0.5", "n/a", "0.5"]
    alone = steps(client, rising), steps(client, flat)
    with client.sequence("adoption") as one, client.sequence("adoption") as other:
        together = [
            (one.infer(observation=[[cell]])["forecast"], other.infer(observation=[[opposite]])["forecast"])
            for cell, opposite in zip(rising, flat, strict=True)
        ]
    for number in (0, 1):
        np.testing.assert_allclose(np.concatenate([pair[number] for pair in together]), alone[number], atol=1e-6)
    assert not np.allclose(alone[0][1:], alone[1][1:], atol=1e-3)


def test_an_observation_that_cannot_be_read_changes_nothing(client: Client) -> None:
    with client.sequence("adoption") as sequence:
        sequence.infer(observation=[["10 %"]])
        with pytest.raises((InputError, ServerError), match="'lots' is no share"):
            sequence.infer(observation=[["lots"]])
        after = sequence.infer(observation=[["20 %"]])["forecast"]
    np.testing.assert_allclose(after[0], steps(client, ["10 %", "20 %"])[1], atol=1e-6)


def test_a_step_outside_a_sequence_is_refused(client: Client) -> None:
    with pytest.raises(MaasClientError, match=r"sequence|correlation"):
        client.infer("adoption", observation=[["10 %"]])


def text_of(client: Client, **inputs: Any) -> tuple[str, list[int], str]:
    """All of a stream: its text, its tokens, why it ended."""
    answers = list(client.stream("tiny_gpt_text", **inputs))
    reasons = [answer.text("finish_reason").item() for answer in answers]
    assert reasons[:-1] == [""] * (len(answers) - 1)
    return (
        "".join(answer.text("text").item() for answer in answers),
        [answer["token"].item() for answer in answers],
        reasons[-1],
    )


def test_the_network_is_served_with_the_model_that_asks_it(repository: Path) -> None:
    assert with_steps(repository, ["tiny_gpt_text"]) == ["tiny_gpt_text", "tiny_gpt"]


def test_a_text_streams_token_by_token_as_the_network_says(client: Client) -> None:
    model = model_named("tiny_gpt_text")
    network = model_named("tiny_gpt")
    assert isinstance(model, PythonModel)
    assert isinstance(network, TorchModel)
    calls = {"tiny_gpt": torch_reference(network, fresh(network))}
    rng = np.random.default_rng(1)
    for size in model.batch_sizes:
        inputs = model.sample_inputs(rng, size)
        wanted = model.reference(inputs, calls)
        text, tokens, reason = text_of(client, **inputs)
        assert tokens == wanted["token"].tolist()
        assert text.encode() == b"".join(wanted["text"].tolist())
        assert reason.encode() == wanted["finish_reason"][-1]


def test_the_same_seed_writes_the_same_text(client: Client) -> None:
    drawn = {"prompt": "import", "max_tokens": 12, "temperature": 1.0}
    one, again = (text_of(client, **drawn, seed=5) for _ in range(2))
    assert one == again != text_of(client, **drawn, seed=6)


def test_a_context_that_is_full_ends_the_text(client: Client) -> None:
    prompt = "x y " * 122
    _, tokens, reason = text_of(client, prompt=prompt, max_tokens=256)
    assert reason == "context"
    assert 0 < len(tokens) < 256


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"prompt": "a", "max_tokens": 257}, "max_tokens is 257; it must be 1 to 256"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "word " * 400}, "the network sees 255 at most"),
        ({"prompt": "a", "temperature": -1.0}, "temperature is -1"),
    ],
)
def test_what_cannot_be_done_is_told_and_the_server_lives(client: Client, inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(MaasClientError, match=told):
        list(client.stream("tiny_gpt_text", inputs))
    assert text_of(client, prompt="a", max_tokens=1)[2] in {"length", "end"}


def test_who_leaves_stops_the_work(client: Client, server: EmbeddedTriton) -> None:
    before = settled(server)
    whole = len(list(client.stream("tiny_gpt_text", ENDLESS)))
    assert settled(server) - before == whole
    # A text may come to its end before this process gets to leave.
    for _ in range(ATTEMPTS):
        before = settled(server)
        for number, _ in enumerate(client.stream("tiny_gpt_text", ENDLESS)):
            if number == 2:
                break
        ran = settled(server) - before
        assert ran >= 3
        if ran < whole:
            break
    assert ran < whole


def test_what_finds_no_place_to_wait_is_refused(client: Client) -> None:
    def streamed(_: int) -> str:
        try:
            return str(len(list(client.stream(NARROW, ENDLESS))))
        except ServerError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(streamed, range(8)))
    assert sum("too many texts are waiting; try again later" in one for one in told) >= 1
    assert sum(one.isdecimal() for one in told) >= 2


def test_who_leaves_while_waiting_costs_nothing(server: EmbeddedTriton) -> None:
    prompt = grpc_client.InferInput("prompt", [1], "BYTES")
    prompt.set_data_from_numpy(np.array([b"a"], dtype=np.object_))
    with Client(f"grpc://{server.grpc_url}") as client, grpc_client.InferenceServerClient(server.grpc_url) as other:
        # The first text may come to its end before this process gets to leave, and the place is then free.
        for _ in range(ATTEMPTS):
            before = settled(server)
            first = client.stream(NARROW, ENDLESS)
            pieces = [next(first)]
            other.start_stream(lambda result, error: None)
            other.async_stream_infer(NARROW, [prompt])
            time.sleep(0.1)
            other.stop_stream(cancel_requests=True)
            ran = executions(server) - before
            pieces += first
            if ran < len(pieces) / 2:
                break
        assert settled(server) - before == len(pieces)


def settled(server: EmbeddedTriton) -> int:
    """How often the network was run, once that number stands still: Triton counts after it has answered."""
    give_up = time.monotonic() + 30
    last, same = -1, 0
    while same < 4 and time.monotonic() < give_up:
        now = executions(server)
        last, same = now, same + 1 if now == last else 0
        time.sleep(0.1)
    return last


def executions(server: EmbeddedTriton) -> int:
    """How many runs of the network the server has counted."""
    import tritonclient.http as http_client

    client = http_client.InferenceServerClient(server.http_url)
    try:
        return int(client.get_inference_statistics("tiny_gpt")["model_stats"][0]["execution_count"])
    finally:
        client.close()


def test_texts_that_grow_at_a_time_do_not_mix(server: EmbeddedTriton) -> None:
    from concurrent.futures import ThreadPoolExecutor

    prompts = ["def ", "class A", "import os", "x = [", "return ", "for i in"]
    with Client(f"grpc://{server.grpc_url}") as client:
        alone = [text_of(client, prompt=prompt, max_tokens=8) for prompt in prompts]
        with ThreadPoolExecutor(len(prompts)) as pool:
            together = list(pool.map(lambda prompt: text_of(client, prompt=prompt, max_tokens=8), prompts))
    assert together == alone
