"""The network that forecasts how a technology spreads, from one share a year."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

UNITS = 128
HORIZON = 5
QUANTILES = (0.1, 0.5, 0.9)
_FEATURES = 3
_EDGE = 1e-3
"""Shares of 0 and 1 have the log-odds of this and of its complement: their own would be infinite."""

State = tuple[Tensor, Tensor]
"""Hidden and cell state of the LSTM, [batch, UNITS] each."""


class AdoptionLstm(nn.Module):
    """An LSTM over the log-odds of the shares; after each year a linear layer tells the quantiles of the next five."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_FEATURES, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, HORIZON * len(QUANTILES))

    def forward(self, share: Tensor, known: Tensor) -> tuple[Tensor, Tensor, State]:
        """A whole history at once.

        Args:
            share: [batch, years], 0 to 1; any number where not known.
            known: [batch, years], BOOL.

        Returns:
            forecast [batch, years, HORIZON, quantiles], the LSTM's sequence [batch, years, UNITS], and its last state.
        """
        log_odds = _log_odds(share, known)
        sequence, (hidden, cell) = self.lstm(_features(log_odds, known))
        return self.forecast(sequence, log_odds), sequence, (hidden[0], cell[0])

    def forecast(self, sequence: Tensor, log_odds: Tensor) -> Tensor:
        """[..., UNITS] and the log-odds of the latest share [...] -> quantiles of the next years [..., HORIZON, 3].

        The layer tells how far the median is from the latest share, and how far the outer quantiles are from the
        median, so they never cross.
        """
        raw = self.head(sequence).unflatten(-1, (HORIZON, len(QUANTILES)))
        middle = log_odds[..., None] + raw[..., 1]
        below, above = functional.softplus(raw[..., 0]), functional.softplus(raw[..., 2])
        return _share(torch.stack([middle - below, middle, middle + above], dim=-1))


class AdoptionStep(nn.Module):
    """One year of the same network, written out in plain operations.

    ``nn.LSTM`` exports as a loop over time, which one step does not need, and its export spoils the next one in the
    same process (PyTorch 2.13). The equations are those of the documentation of ``torch.nn.LSTM``.
    """

    def __init__(self, network: AdoptionLstm) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, share: Tensor, known: Tensor, cell: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One observation.

        Args:
            share: [batch, 1], 0 to 1; any number where not known.
            known: [batch, 1], BOOL.
            cell: [batch, UNITS], zero at first.
            hidden: likewise.

        Returns:
            forecast [batch, HORIZON, quantiles], the LSTM's output [batch, UNITS], and the next cell and hidden state.
        """
        weights = dict(self.network.lstm.named_parameters())
        log_odds = _log_odds(share, known)
        gates = functional.linear(_features(log_odds, known)[:, 0], weights["weight_ih_l0"], weights["bias_ih_l0"])
        gates = gates + functional.linear(hidden, weights["weight_hh_l0"], weights["bias_hh_l0"])
        enter, forget, candidate, leave = gates.split(UNITS, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        hidden = torch.sigmoid(leave) * torch.tanh(cell)
        # A state and an output of one name each: two names of one tensor would be one output of the graph.
        return self.network.forecast(hidden, log_odds[:, 0]), hidden + 0.0, cell, hidden


def pinball_loss(forecast: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """The mean pinball loss of all quantiles (Koenker and Bassett, 1978) over the targets that are known.

    Args:
        forecast: [batch, years, HORIZON, quantiles].
        target: [batch, years]: year ``t + 1 + h`` is what ``forecast[:, t, h]`` is held against.
        known: [batch, years], BOOL.
    """
    ahead, counts = (_ahead(column) for column in (target, known))
    quantiles = torch.tensor(QUANTILES)
    miss = ahead[..., None] - forecast
    losses = torch.maximum(quantiles * miss, (quantiles - 1) * miss)
    return losses[counts].mean()


def _ahead(column: Tensor) -> Tensor:
    """[batch, years] -> the HORIZON years after each, [batch, years, HORIZON]; zero (False) behind the last."""
    return functional.pad(column, (0, HORIZON))[:, 1:].unfold(1, HORIZON, 1)


def _log_odds(share: Tensor, known: Tensor) -> Tensor:
    """0 where not known."""
    odds = torch.logit(_EDGE + (1 - 2 * _EDGE) * share.clamp(0, 1))
    return torch.where(known, odds, torch.zeros_like(odds))


def _share(log_odds: Tensor) -> Tensor:
    """The inverse, so that a quantile can be 0 or 1 itself: before a technology begins, its share is exactly 0."""
    return ((torch.sigmoid(log_odds) - _EDGE) / (1 - 2 * _EDGE)).clamp(0, 1)


def _features(log_odds: Tensor, known: Tensor) -> Tensor:
    """What the LSTM sees of each year, [batch, years, features]: half the log-odds, the share, whether it is known."""
    flag = known.to(log_odds.dtype)
    return torch.stack([log_odds / 2, _share(log_odds) * flag, flag], dim=-1)
