"""Every status that a server can answer with has its exception, and the tree is as drawn."""

from __future__ import annotations

from http import HTTPStatus

import grpc
import pytest

import maas_client
from maas_client import errors


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=str)
def test_every_grpc_status_is_mapped(code: grpc.StatusCode) -> None:
    assert issubclass(errors.ERROR_OF_GRPC[code.name], maas_client.MaasClientError)


@pytest.mark.parametrize("status", [status for status in HTTPStatus if status >= 400])
def test_every_registered_http_error_is_mapped(status: HTTPStatus) -> None:
    assert issubclass(errors.ERROR_OF_HTTP[status], maas_client.MaasClientError)


def test_no_status_is_mapped_twice() -> None:
    grpc_statuses = [status for row in errors.ERROR_TABLE for status in row.grpc]
    http_statuses = [status for row in errors.ERROR_TABLE for status in row.http]
    assert len(set(grpc_statuses)) == len(grpc_statuses)
    assert len(set(http_statuses)) == len(http_statuses)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(450, maas_client.InvalidRequestError), (599, maas_client.InternalServerError), (302, maas_client.BadAnswerError)],
)
def test_unregistered_http_codes_are_told_by_their_class(status: int, kind: type[Exception]) -> None:
    assert errors.error_of_http(status) is kind


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = {line.split("─ ")[-1].split()[0] for line in (errors.__doc__ or "").splitlines() if "──" in line}
    real = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.MaasClientError) and kind is not errors.MaasClientError
    }
    assert drawn == real
    assert real <= set(maas_client.__all__)


def test_an_error_shows_its_endpoint() -> None:
    error = maas_client.UnreachableError("no server", endpoint="http://127.0.0.1:1")
    assert str(error) == "no server (http://127.0.0.1:1)"
