"""Asking a served model as its callers do."""

from __future__ import annotations

from maas_client import Client
from maas_core.golden import Tensors
from maas_export.catalogue import CatalogueModel, is_stateful
from maas_export.sequences import joined, step_count


def ask(client: Client, model: CatalogueModel, inputs: Tensors) -> Tensors:
    """The served model's answer to one request.

    A stateful model is asked step by step, in one sequence; of a decoupled one all answers are joined.

    Args:
        client: connected to the server.
        model: what is asked.
        inputs: with their batch axis; of a stateful model the first axis counts the steps.

    Raises:
        MaasClientError: where no answer came.
    """
    if is_stateful(model):
        return _ask_steps(client, model.name, inputs)
    if model.spec.decoupled:
        return joined([dict(answer) for answer in client.stream(model.name, inputs)])
    return dict(client.infer(model.name, inputs))


def _ask_steps(client: Client, model: str, inputs: Tensors) -> Tensors:
    last = step_count(inputs) - 1
    with client.sequence(model) as sequence:
        return joined(
            [
                dict(
                    sequence.infer(
                        {name: value[position : position + 1] for name, value in inputs.items()},
                        last=position == last,
                    )
                )
                for position in range(last + 1)
            ]
        )
