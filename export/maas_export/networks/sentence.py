"""The architecture of all-MiniLM-L6-v2: BERT (Devlin et al. 2018), the mean over its tokens, a vector of length 1.

Written out, as tracing transformers' own class takes twice as long and its attention makes the larger graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

# The figures of the package's config.json.
_VOCABULARY = 30522
_WIDTH = 384
_LAYERS = 6
_HEADS = 12
_INNER_WIDTH = 1536
_MOST_TOKENS = 512
_TYPES = 2
_NORM_EPS = 1e-12

_LEAST_TOKENS = 1e-9
_HIDDEN_SCORE = -1e9
"""What padding gets before the softmax: its weight becomes 0, and a row of nothing but padding stays a number."""

_NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
    "encoder.layer": "layers",
    "attention.self.": "",
    "attention.output.dense": "gathered",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "widen",
    "output.dense": "narrow",
    "output.LayerNorm": "linear_norm",
}
"""What parts are called in files that transformers wrote, and here; an earlier entry goes before a later one."""


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a file of transformers under the names of :class:`SentenceEncoder`."""
    found = {}
    for name, weight in weights.items():
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        found[name] = weight
    return found


class _Layer(nn.Module):
    """Attention and two linear layers, each added to what came in and normalised after it."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.gathered = (nn.Linear(_WIDTH, _WIDTH) for _ in range(4))
        self.attention_norm, self.linear_norm = (nn.LayerNorm(_WIDTH, eps=_NORM_EPS) for _ in range(2))
        self.widen, self.narrow = nn.Linear(_WIDTH, _INNER_WIDTH), nn.Linear(_INNER_WIDTH, _WIDTH)

    def forward(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        """[batch, tokens, width] -> the same; ``hidden`` [batch, 1, 1, tokens] is added to the scores."""
        query, key, value = (
            part(tokens).unflatten(-1, (_HEADS, _WIDTH // _HEADS)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        weights = (query @ key.transpose(-2, -1) / math.sqrt(_WIDTH // _HEADS) + hidden).softmax(dim=-1)
        tokens = self.attention_norm(tokens + self.gathered((weights @ value).transpose(1, 2).flatten(2)))
        result: Tensor = self.linear_norm(tokens + self.narrow(functional.gelu(self.widen(tokens))))
        return result


class SentenceEncoder(nn.Module):
    """Word pieces in, one unit vector for each text out; weights are fresh."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(_VOCABULARY, _WIDTH)
        self.positions = nn.Embedding(_MOST_TOKENS, _WIDTH)
        self.types = nn.Embedding(_TYPES, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=_NORM_EPS)
        self.layers = nn.ModuleList(_Layer() for _ in range(_LAYERS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[batch, tokens] each (the mask is 0 for padding) -> [batch, 384] of length 1; 0 for a row of padding only."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        # One text, never a pair: all pieces are of the first type.
        tokens = self.norm(self.words(input_ids) + self.positions(places) + self.types.weight[0])
        present = attention_mask[..., None].to(tokens.dtype)
        hidden = (1 - present.transpose(1, 2)[:, None]) * _HIDDEN_SCORE
        for layer in self.layers:
            tokens = layer(tokens, hidden)
        mean = (tokens * present).sum(dim=1) / present.sum(dim=1).clamp(min=_LEAST_TOKENS)
        return functional.normalize(mean, dim=-1)
