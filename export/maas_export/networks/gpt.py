"""A small GPT-2 whose keys and values go in and out, so that a text can grow token by token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LAYERS = 4
HEADS = 4
WIDTH = 160


class TinyGpt(nn.Module):
    """GPT-2 as transformers builds it from a configuration; the output layer is the token embedding itself.

    Args:
        vocabulary_size: how many tokens there are.
        context: how many tokens it sees at most.
    """

    def __init__(self, vocabulary_size: int, context: int) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        config = GPT2Config(
            vocab_size=vocabulary_size,
            n_positions=context,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            attn_implementation="eager",  # type: ignore[call-arg]  # one of the options that its signature hides
        )
        self.body = GPT2Model(config)

    def forward(self, token: Tensor) -> Tensor:
        """Tokens [batch, time] from the beginning of a text -> logits [batch, time, vocabulary] of the token after."""
        hidden = self.body(input_ids=token, use_cache=False).last_hidden_state
        return self.logits(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """[batch, time, width] -> [batch, time, vocabulary]."""
        logits: Tensor = hidden @ self.body.wte.weight.T
        return logits


class CachedGpt(nn.Module):
    """The same network, for texts whose beginning it has seen already."""

    def __init__(self, network: TinyGpt) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens that follow those behind ``past``.

        Args:
            token: [batch, time].
            past: keys and values [batch, layers, 2, heads, past, width / heads]; ``past`` may be 0.

        Returns:
            logits [batch, time, vocabulary], and keys and values with ``past + time`` in place of ``past``.
        """
        outputs = self.network.body(input_ids=token, past_key_values=cache_of(past), use_cache=True)
        return self.network.logits(outputs.last_hidden_state), stacked(outputs.past_key_values)


def cache_of(past: Tensor) -> Any:
    """[batch, layers, 2, heads, past, width] as the cache that transformers takes."""
    from transformers import DynamicCache

    return DynamicCache([(past[:, layer, 0], past[:, layer, 1]) for layer in range(past.shape[1])])


def stacked(cache: Any) -> Tensor:
    """The inverse of :func:`cache_of`."""
    return torch.stack([torch.stack([layer.keys, layer.values], dim=1) for layer in cache.layers], dim=1)
