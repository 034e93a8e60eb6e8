"""Three networks that tell the language of a few words from their letters.

All take ``tokens`` [batch, characters], the numbers of the letters, 0 behind the end of a text, and give ``logits``
[batch, languages].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_PADDING = 0
_HIDDEN_SCORE = -1e9
"""What padding gets before the softmax: its weight becomes 0, and a row of nothing but padding stays a number."""


class LetterEmbedding(nn.Module):
    """A vector for each letter: its own, and those of the pairs, triples and quadruples of letters that it stands in.

    These groups have no table of their own but share ``buckets`` rows, chosen by a hash (Bojanowski et al. 2017,
    "Enriching Word Vectors with Subword Information"); they are in lower case.

    Args:
        lower_case: the number of the same letter in lower case, by number.
        width: of the vectors.
        buckets: rows of the shared table.
    """

    lower_case: Tensor

    def __init__(self, lower_case: Sequence[int], width: int, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.register_buffer("lower_case", torch.tensor(lower_case), persistent=False)
        self.letters = nn.Embedding(len(lower_case), width, padding_idx=_PADDING)
        self.groups = nn.Embedding(buckets, width)
        for table in (self.letters, self.groups):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, characters] -> [batch, characters, width]."""
        count = tokens.shape[1]
        padded = functional.pad(self.lower_case[tokens], (1, 2))
        before, here, next_, after = (padded[:, shift : shift + count] for shift in range(4))
        pairs = before * len(self.lower_case) + here
        triples = pairs * len(self.lower_case) + next_
        quadruples = triples * len(self.lower_case) + after
        # A small prime and a large one spread the groups over the rows; 3·n, 3·n+1 and 3·n+2 keep the lengths apart.
        groups = torch.stack([3 * pairs, 3 * triples + 1, 3 * quadruples + 2], dim=-1)
        rows = groups * 7919 % 1_000_003 % self.buckets
        vectors: Tensor = self.letters(tokens) + self.groups(rows).sum(dim=-2)
        return vectors


class LanguageRnn(nn.Module):
    """Embedding, two layers of gated recurrent units, and a linear layer on what they hold at the last letter."""

    def __init__(
        self, lower_case: Sequence[int], languages: int, *, width: int, units: int, buckets: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = LetterEmbedding(lower_case, width, buckets)
        self.recurrent = nn.GRU(width, units, num_layers=2, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units, languages)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, characters] -> logits [batch, languages]."""
        states, _ = self.recurrent(self.dropout(self.embedding(tokens)))
        last = ((tokens != _PADDING).sum(dim=1) - 1).clamp(min=0)
        # Padding lies behind the text, so it has not touched the state at the last letter.
        at_end = states.gather(1, last[:, None, None].expand(-1, 1, states.shape[-1])).squeeze(1)
        logits: Tensor = self.output(self.dropout(at_end))
        return logits


class MultiHeadAttention(nn.Module):
    """softmax(Q Kᵀ / √d_k) V in several heads (Vaswani et al. 2017, "Attention Is All You Need", section 3.2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = width // heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, letters: Tensor, is_letter: Tensor) -> tuple[Tensor, Tensor]:
        """What each letter gathers from the others, and from where.

        Args:
            letters: [batch, characters, width].
            is_letter: [batch, characters], false for padding.

        Returns:
            [batch, characters, width], and the weights [batch, heads, characters, characters]: from each letter (third
            axis) to each letter (fourth), which sum to 1, with 0 for padding.
        """
        query, key, value = (
            part(letters).unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_width)
        weights = scores.masked_fill(~is_letter[:, None, None, :], _HIDDEN_SCORE).softmax(dim=-1)
        gathered = (weights @ value).transpose(1, 2).flatten(2)
        return self.output(gathered), weights


class EncoderLayer(nn.Module):
    """Attention and two linear layers, each beside a path that leaves the letters as they are."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads)
        self.attention_norm, self.linear_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.linear = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, letters: Tensor, is_letter: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, characters, width] -> the same shape, and the attention's weights."""
        gathered, weights = self.attention(self.attention_norm(letters), is_letter)
        letters = letters + self.dropout(gathered)
        return letters + self.dropout(self.linear(self.linear_norm(letters))), weights


class _Attending(nn.Module):
    """Embedding, sinusoidal positions, encoder layers, the mean over the letters, and a linear layer."""

    positions: Tensor

    def __init__(
        self,
        lower_case: Sequence[int],
        languages: int,
        *,
        most_characters: int,
        width: int,
        heads: int,
        layers: int,
        buckets: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = LetterEmbedding(lower_case, width, buckets)
        # As small as the vectors of the letters are at first.
        self.register_buffer("positions", 0.1 * sinusoidal_positions(most_characters, width), persistent=False)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, languages)

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, characters] -> logits [batch, languages], and the weights of the last layer's attention."""
        is_letter = tokens != _PADDING
        letters = self.dropout(self.embedding(tokens) + self.positions[: tokens.shape[1]])
        weights = letters
        for layer in self.layers:
            letters, weights = layer(letters, is_letter)
        present = is_letter[..., None].to(letters.dtype)
        mean = (self.norm(letters) * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        return self.output(self.dropout(mean)), weights


class LanguageAttention(_Attending):
    """One layer of attention, whose weights it gives beside the logits."""

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, characters] -> logits [batch, languages], weights [batch, heads, characters, characters]."""
        return self.encode(tokens)


class LanguageTransformer(_Attending):
    """The encoder of a transformer."""

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, characters] -> logits [batch, languages]."""
        return self.encode(tokens)[0]


def sinusoidal_positions(count: int, width: int) -> Tensor:
    """[count, width]: sines and cosines of falling frequency (Vaswani et al. 2017, section 3.5)."""
    places = torch.arange(count)[:, None]
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    table = torch.zeros(count, width)
    table[:, 0::2], table[:, 1::2] = torch.sin(places * frequencies), torch.cos(places * frequencies)
    return table
