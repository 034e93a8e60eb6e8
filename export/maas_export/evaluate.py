"""The measures of a task, taken on a model as it is served, preprocessing included."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maas_client import AuthenticationError, Client, InputError, NotFoundError, ServerError, TransportError
from maas_client._cli.options import GIVE_A_KEY
from maas_core.errors import NotHeld, NotReachable, WrongUse
from maas_export import weights
from maas_export.catalogue import CatalogueModel, all_models, model_named, requirements
from maas_export.evaluation import Evaluation
from maas_export.served_calls import ask
from maas_export.served_evaluation import Answer, Case, Judged, Verdict

_CALLERS = 8
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ServedEvaluation:
    """What a served model's answers to labelled cases are worth; ``verdicts`` are in the order of ``cases``."""

    evaluation: Evaluation
    cases: Sequence[Case]
    verdicts: Sequence[Verdict]
    errors: int

    def worst(self, count: int) -> list[tuple[Case, Verdict]]:
        """The cases that were answered most wrongly, the worst first; right ones never."""
        order = sorted(range(len(self.cases)), key=lambda number: -self.verdicts[number].badness)
        wrong = [number for number in order if self.verdicts[number].badness > 0]
        return [(self.cases[number], self.verdicts[number]) for number in wrong[:count]]


def evaluate_served(
    name: str, *, url: str, api_key: str | None = None, data: Path | None, seed: int | None, limit: int | None
) -> ServedEvaluation:
    """Asks the server every labelled case and judges the answers.

    Args:
        name: a model of the catalogue that knows labelled cases.
        url: the server.
        api_key: what a gateway before it asks for.
        data: the user's labelled data; ``None`` for the held-out part of the built-in.
        seed: of the built-in data's split; ``None`` for the one of the weights behind the model, so that no case is one
            that training saw.
        limit: at most so many cases, spread evenly over all; ``None`` for all.

    Raises:
        WrongUse: where the model knows no cases, is not served, or the data is wrong.
        NotReachable: where the server does not answer.
        NotHeld: where no case got an answer.
    """
    model, judge = _judged(name)
    if seed is None:
        seed = _split_seed(model)
    cases = _chosen(judge.cases(data, seed), limit)
    with Client(url, api_key=api_key, timeout_s=_TIMEOUT_S) as client:
        try:
            client.describe(name)
            with ThreadPoolExecutor(_CALLERS) as pool:
                answers = list(pool.map(lambda case: _answer(client, model, case), cases))
        except (NotFoundError, InputError) as error:
            raise WrongUse(str(error), f"serve it: maas serve --models {name}") from error
        except AuthenticationError as error:
            raise WrongUse(str(error), GIVE_A_KEY) from error
        except (TransportError, ServerError) as error:
            raise NotReachable(f"{url} does not answer: {error}", "start `maas serve`, or give --url") from error
        if all(isinstance(answer, str) for answer in answers):
            raise NotHeld(f"{name} answered no case: {answers[0]}", f"run `maas status`, or `maas explain {name}`")
    evaluation, verdicts = judge.judge(cases, answers)
    return ServedEvaluation(evaluation, cases, verdicts, sum(isinstance(answer, str) for answer in answers))


def _split_seed(model: CatalogueModel) -> int:
    """The split that the networks behind ``model`` were trained with, as far as this machine knows."""
    names = (model.name, *requirements(model))
    stored = [weights.latest(name) for name in names]
    return next((kept.record.split_seed for kept in stored if kept is not None), 0)


def _judged(name: str) -> tuple[CatalogueModel, Judged]:
    model = model_named(name)
    if not isinstance(model, Judged):
        known = ", ".join(other.name for other in all_models().values() if isinstance(other, Judged))
        raise WrongUse(f"{name} knows no labelled cases", f"these do: {known}")
    return model, model


def _chosen(cases: list[Case], limit: int | None) -> list[Case]:
    if not cases:
        raise WrongUse("the data holds no labelled case", "give data with at least one")
    if limit is None or limit >= len(cases):
        return cases
    # Models give their cases kind by kind: the first and the last stay, and every kind has its share between them.
    kept = np.linspace(0, len(cases) - 1, limit).round().astype(int)
    return [cases[int(number)] for number in kept]


def _answer(client: Client, model: CatalogueModel, case: Case) -> Answer:
    try:
        return ask(client, model, case.inputs)
    except (ServerError, InputError, TransportError) as error:
        return error.message
