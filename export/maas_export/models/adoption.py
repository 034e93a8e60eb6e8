"""How a technology spreads: an LSTM that keeps its state on the server, one observation a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, Objective, SequenceBatching, Serving, StateSpec, Step, TensorSpec
from maas_export.catalogue import Card, EnsembleModel, PythonModel, Reference, TorchModel
from maas_export.data import adoption as adoption_data
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation
from maas_export.forecasting import Asked, asked_of, scores, simpler_methods
from maas_export.pictures.forecasts import Panel, forecasts_picture
from maas_export.python_models import load_module
from maas_export.recipe import Recipe
from maas_export.served_evaluation import Answer, Case, Judged, Verdict
from maas_export.serving_choice import serving_for
from maas_export.steps import FP32_TOLERANCE, text_column

if TYPE_CHECKING:
    import torch
    from torch import nn

_HORIZON, _QUANTILES, _UNITS = 5, 3, 128
_MAX_BATCH = 32
_LENGTHS = (1, 2, 3, 20)
_EVERY = 4
_SHOWN_CURVES = 5

_OBSERVATION = TensorSpec(
    "observation", "BYTES", (1,), "the share of one year, as a table has it: `12 %`, `0.12`, or nothing where missing"
)
_SHARE = TensorSpec("share", "FP32", (1,), "the share of one year, 0 to 1; 0 where it is not known")
_KNOWN = TensorSpec("known", "BOOL", (1,), "whether the share is known")
_ERROR = TensorSpec("error", "BYTES", (1,), "why the observation could not be read; empty where it could")
_FORECAST = TensorSpec(
    "forecast",
    "FP32",
    (_HORIZON, _QUANTILES),
    "shares of the next five years, 0 to 1: the 10 %, the 50 % and the 90 % quantile of each",
)
_STATES = SequenceBatching(
    states=(StateSpec("c_in", "c_out", "FP32", (_UNITS,)), StateSpec("h_in", "h_out", "FP32", (_UNITS,))),
    max_idle_s=60.0,
    max_candidates=64,
)


class AdoptionLstm(TorchModel):
    """The network by itself: one share a request."""

    spec = ModelSpec(
        name="adoption_lstm",
        task="forecasting",
        summary="forecasts the next five years of a share that is told year by year",
        backend="onnxruntime",
        inputs=(_SHARE, _KNOWN),
        outputs=(_FORECAST, TensorSpec("lstm_output", "FP32", (_UNITS,), "what the LSTM returns for this year")),
        serving=serving_for("adoption_lstm", default=Serving(max_batch_size=_MAX_BATCH)),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=20.0),
        refuses_nonfinite=True,
        sequence=_STATES,
    )
    card = Card(
        architecture="LSTM with 128 units over the log-odds of the shares, a linear layer: quantiles of five years. "
        "Served as one step in plain operations, its state kept on the server from request to request",
        data="8,000 generated curves, synthetic: Bass and logistic S-curves with uneven growth and noise; no real one",
        licence="data: generated, none; the real curve of the evaluation: U.S. EIA by vega-datasets, public domain",
        intended_use="a share that grows along an S-curve, one value a year, six years or more",
        limits="it knows S-curves only: no crises, no decline, no seasons. The band is as wide as the noise of the "
        "generated curves; a process that is noisier leaves it more often",
    )
    borrows = ("adoption_preprocess",)
    recipe = Recipe(
        epochs=8,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=1e-4,
        optimizer="adamw",
        warmup_share=0.05,
        max_gradient_norm=1.0,
    )

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Lengths of the sequences that verification tries."""
        return _LENGTHS

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.adoption import AdoptionLstm as Network

        return Network()

    def exported(self, module: nn.Module) -> nn.Module:
        """One year of it, with its state as inputs and outputs."""
        from maas_export.networks.adoption import AdoptionLstm as Network
        from maas_export.networks.adoption import AdoptionStep

        if not isinstance(module, Network):
            raise TypeError(f"{type(module).__name__} is no {Network.__name__}")
        return AdoptionStep(module)

    def load_data(self, path: Path | None, seed: int) -> Split:
        """Generated curves, or the user's (see :mod:`maas_export.data.adoption_csv`)."""
        return adoption_data.built_in(seed) if path is None else adoption_data.from_path(path, seed)

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """The curves from a random year on, some with gaps."""
        return adoption_data.augmented(train, rng)

    def loss(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The pinball loss of the three quantiles, in shares."""
        from maas_export.networks.adoption import pinball_loss

        forecast, *_ = module(batch["share"], batch["known"])
        return pinball_loss(forecast, batch["target"], batch["target_known"])

    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        """Error and coverage on the held-out curves, and on one that was observed: renewables in Iowa."""
        years, iowa = adoption_data.iowa_renewables()
        real = {"share": iowa[None], "known": np.ones((1, len(iowa)), np.bool_)}
        return _evaluation(split.test, _forecasts(module, split.test), real, _forecasts(module, real), years)

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """The first years of a generated curve, with gaps."""
        curve = np.resize(adoption_data.generated_curves(rng, 2)[1], size)
        known = rng.random(size) > 0.15
        return {"share": np.where(known, curve, 0)[:, None].astype(np.float32), "known": known[:, None]}


class AdoptionPreprocess(PythonModel):
    """A cell of a table -> share, or that it is missing."""

    spec = ModelSpec(
        name="adoption_preprocess",
        task="preprocessing",
        summary="reads a share from text: per cent or fraction, stray characters, missing values",
        backend="python",
        inputs=(_OBSERVATION,),
        outputs=(_SHARE, _KNOWN, _ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=20.0),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Cells as people write them; of three or more, one is no share."""
        cells = _cells(rng.random(size), rng)
        return {
            "observation": text_column("twelve" if size > 2 and row == 1 else cell for row, cell in enumerate(cells))
        }

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder."""
        read = load_module("adoption_preprocess", "shares").read_shares
        share, known, errors = read(inputs["observation"].reshape(-1))
        return {"share": share, "known": known, "error": text_column(errors)}


class Adoption(EnsembleModel, Judged):
    """Cells of a table, one a request -> forecast: what an application calls, in a sequence."""

    spec = ModelSpec(
        name="adoption",
        task="forecasting",
        summary="forecasts the next five years of a share from a table's column, cell by cell",
        backend="ensemble",
        inputs=(_OBSERVATION,),
        outputs=(_FORECAST, _ERROR),
        # A request is one year of one sequence: Triton takes no batches from the callers of a stateful model.
        serving=Serving(max_batch_size=1),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=50.0),
        steps=(
            Step(
                "adoption_preprocess",
                {"observation": "observation"},
                {"share": "share", "known": "known", "error": "error"},
            ),
            Step("adoption_lstm", {"share": "share", "known": "known"}, {"forecast": "forecast"}),
        ),
    )
    card = Card(
        architecture="text -> share -> `adoption_lstm`, whose state stays on the server between a sequence's requests",
        data="see `adoption_lstm`",
        licence="see `adoption_lstm`",
        intended_use="a column of yearly shares as it stands in a CSV file, with gaps, per cent or fractions",
        limits="one observation a request, in order; an observation that cannot be read gets an error and counts for "
        "nothing: send it again, corrected or empty. A sequence that is silent for 60 s is forgotten. "
        "See `adoption_lstm`",
    )
    example = MappingProxyType({"observation": Path("examples/adoption/iowa_renewables.csv")})

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Lengths of the sequences that verification tries."""
        return _LENGTHS

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """The first years of a generated curve, as people write them."""
        curve = np.resize(adoption_data.generated_curves(rng, 2)[0], size)
        return {"observation": text_column(_cells(curve, rng))}

    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Each curve of the user's file, or each held-out one, as the cells of a table in per cent."""
        if path is not None:
            curves = adoption_data.user_curves(path)
        else:
            test = adoption_data.built_in(seed).test
            curves = {f"generated curve {row}": curve for row, curve in enumerate(test["share"])}
        return [
            Case(
                name,
                {"observation": text_column("" if np.isnan(share) else f"{100 * share:.3f} %" for share in curve)},
                curve,
            )
            for name, curve in curves.items()
        ]

    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """Error and coverage; a curve that got an error counts as if every forecast had been 0, without a band."""
        columns = adoption_data.padded({str(number): case.wanted for number, case in enumerate(cases)})
        years = columns["share"].shape[1]
        forecast = np.zeros((len(cases), years, _HORIZON, _QUANTILES), np.float32)
        for row, answer in enumerate(answers):
            if not isinstance(answer, str):
                forecast[row, : len(answer["forecast"])] = answer["forecast"]
        verdicts = [_verdict(columns, forecast, row, answer) for row, answer in enumerate(answers)]
        return _evaluation(columns, forecast), verdicts


MODELS = (AdoptionLstm(), AdoptionPreprocess(), Adoption())


def _forecasts(module: nn.Module, columns: Tensors) -> Array:
    """After every year of every curve, [curves, years, horizon, quantiles]."""
    import torch

    with torch.inference_mode():
        forecast, *_ = module(torch.from_numpy(columns["share"]), torch.from_numpy(columns["known"]))
    values: Array = forecast.numpy()
    return values


def _asked(columns: Tensors, every: int = _EVERY) -> Asked:
    return asked_of(
        columns["share"],
        columns["known"],
        least_history=adoption_data.LEAST_HISTORY,
        every=every,
        horizon=_HORIZON,
    )


def _evaluation(
    columns: Tensors,
    forecast: Array,
    real: Tensors | None = None,
    real_forecast: Array | None = None,
    years: Array | None = None,
) -> Evaluation:
    asked = _asked(columns)
    figures = scores(forecast[asked.row, asked.origin], asked)
    panels = _panels(columns, forecast)
    details = {}
    if real is not None and real_forecast is not None and years is not None:
        real_asked = _asked(real, every=1)
        real_figures = scores(real_forecast[real_asked.row, real_asked.origin], real_asked)
        figures |= {f"{name}, {adoption_data.IOWA}": value for name, value in real_figures.items()}
        details["real"] = {
            "curve": adoption_data.IOWA,
            "figures": real_figures,
            "baselines": simpler_methods(real["share"], real["known"], real_asked),
        }
        origin = len(years) - 1 - _HORIZON
        panels.append(Panel(adoption_data.IOWA, years, real["share"][0], origin, real_forecast[0, origin]))
    seen = f"MAE {figures['MAE']:.4f} on {int(asked.known.sum())} held-out shares"
    return Evaluation(
        measure="MAE",
        figures=figures,
        samples=int(asked.known.sum()),
        picture=forecasts_picture(panels, seen),
        baselines=simpler_methods(columns["share"], columns["known"], asked),
        higher_is_better=False,
        details=details,
    )


def _panels(columns: Tensors, forecast: Array) -> list[Panel]:
    """A few curves, each seen up to another year."""
    count, years = columns["share"].shape
    share = np.where(columns["known"], columns["share"], np.nan)
    shown = min(count, _SHOWN_CURVES)
    last = years - 1 - _HORIZON
    origins = np.linspace(min(adoption_data.LEAST_HISTORY, last), last, shown).astype(int)
    return [
        Panel(
            f"held-out curve {row}, {origin + 1} years seen",
            np.arange(years),
            share[row],
            origin,
            forecast[row, origin],
        )
        for row, origin in zip(range(shown), origins, strict=True)
    ]


def _verdict(columns: Tensors, forecast: Array, row: int, answer: Answer) -> Verdict:
    one = {name: column[row : row + 1] for name, column in columns.items()}
    asked = _asked(one)
    if isinstance(answer, str):
        return Verdict(badness=1.0, wanted="a forecast", got=answer)
    if not len(asked.row):
        return Verdict(badness=0.0, wanted="too short to judge", got="a forecast")
    figures = scores(forecast[row][asked.origin], asked)
    band = figures["coverage of the 10-90 % band"]
    return Verdict(
        badness=figures["MAE"],
        wanted="what came",
        got=f"off by {100 * figures['MAE']:.1f} points on average, {band:.0%} inside the band",
    )


def _cells(shares: Array, rng: np.random.Generator) -> list[str]:
    """Shares as people write them."""
    forms = ("{:.1%}", " {:.3f} ", "{:.4f}", "\N{NO-BREAK SPACE}{:.2%}", "")
    return [forms[rng.integers(len(forms))].format(share) for share in shares]
