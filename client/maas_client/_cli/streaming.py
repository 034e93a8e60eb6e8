"""Answers of decoupled models, shown as they come."""

from __future__ import annotations

from collections.abc import Sequence

import click

from maas_client._cli.asking import Question
from maas_client._cli.items import Item
from maas_client._cli.showing import plain, to_json, told_outputs
from maas_client._client import Client
from maas_client._result import InferResult
from maas_client.errors import MaasClientError

_TOKEN_OUTPUT = "text"  # noqa: S105  # the name of an output, no secret


def stream_items(client: Client, question: Question, items: Sequence[Item], *, as_json: bool) -> bool:
    """Streams one item after another to standard output: tokens as text, or each answer as a line of JSON.

    Returns:
        whether each item was answered to its end.
    """
    failures = 0
    for item in items:
        failures += not _stream_item(client, question, item, as_json=as_json, alone=len(items) == 1)
    return failures == 0


def _stream_item(client: Client, question: Question, item: Item, *, as_json: bool, alone: bool) -> bool:
    if not (alone or as_json):
        click.echo(f"{item.shown}:")
    line_is_open = False
    try:
        answers = client.stream(
            question.model,
            question.target.request(item),
            outputs=question.outputs or None,
            model_version=question.model_version,
        )
        for number, answer in enumerate(answers):
            if as_json:
                _echo_json(item, number, answer)
            else:
                line_is_open = _echo_text(answer) or line_is_open
    except MaasClientError as error:
        _end_line(line_is_open)
        failure = {"input": item.shown, "error": error.message, "model": question.model}
        click.echo(to_json(failure) if as_json else f"{item.shown}: {error}", err=not as_json)
        return False
    _end_line(line_is_open)
    return True


def _echo_json(item: Item, number: int, answer: InferResult) -> None:
    row = {
        "input": item.shown,
        "index": number,
        "outputs": {name: plain(answer, name) for name in answer},
        "model": answer.model_name,
        "version": answer.model_version,
    }
    click.echo(to_json(row))


def _echo_text(answer: InferResult) -> bool:
    """Shows the token of one answer, or all its outputs where it has none; whether the line goes on."""
    if _TOKEN_OUTPUT in answer and answer[_TOKEN_OUTPUT].dtype.kind == "O":
        click.echo("".join(answer.text(_TOKEN_OUTPUT).ravel().tolist()), nl=False)
        return True
    click.echo(told_outputs({name: plain(answer, name) for name in answer}))
    return False


def _end_line(line_is_open: bool) -> None:
    if line_is_open:
        click.echo()
