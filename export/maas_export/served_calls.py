"""Asking a served model as its callers do."""

from __future__ import annotations

from maas_client import Client
from maas_core.golden import Tensors
from maas_export.catalogue import CatalogueModel


def ask(client: Client, model: CatalogueModel, inputs: Tensors) -> Tensors:
    """The served model's answer to one request.

    Args:
        client: connected to the server.
        model: what is asked.
        inputs: with their batch axis.

    Raises:
        MaasClientError: where no answer came.
    """
    return dict(client.infer(model.name, inputs))
