"""Three networks that tell the language of a few words from their letters.

Each is deep and wide (Cheng et al. 2016, "Wide & Deep Learning"): what it makes of the letters in their order, beside
it a linear vote of the groups of letters, and how often each language has each group. What the three say is added up;
the first two are trained, each on its own, the third is counted.

All take ``tokens`` [batch, characters], the numbers of the letters, 0 behind the end of a text, and give ``logits``
[batch, languages].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_PADDING = 0
_HIDDEN_SCORE = -1e9
"""What padding gets before the softmax: its weight becomes 0, and a row of nothing but padding stays a number."""

_GROUP_SHARE = 0.3
"""Slows the rows of the groups down: at the rate of the rest, rare groups are learned by heart."""
_VOTE_SHARE = 4.0
"""Lets the votes reach as far, in as many steps, as logistic regression on the same groups goes."""
_COUNT_SHARE = 0.15
"""Groups overlap, so naive Bayes is far too sure of itself beside the other two."""
_LONGEST_COUNTED = 5
_COUNTED_ROWS = 120_011
"""Twice as many groups as the other parts know, and the counts blur where two share a row."""
_UNSEEN = 0.5
"""As often does every language count as having every group, before the first text."""


def group_rows(tokens: Tensor, vocabulary: int, rows: int, longest: int = 4) -> Tensor:
    """In which rows of a table the groups of 2 to ``longest`` letters stand that begin one before each letter.

    The groups have no table of their own but share its rows, chosen by a hash (Bojanowski et al. 2017, "Enriching Word
    Vectors with Subword Information").

    Args:
        tokens: [batch, characters].
        vocabulary: how many letters are numbered.
        rows: of the table.
        longest: at most 5, or the numbers of the groups outgrow 64 bits.

    Returns:
        [batch, characters, longest - 1].
    """
    count, lengths = tokens.shape[1], longest - 1
    padded = functional.pad(tokens, (1, longest - 2))
    group, found = padded[:, :count], []
    for further in range(1, longest):
        group = group * vocabulary + padded[:, further : further + count]
        # n times the number of lengths, plus which of them it is: groups of different length never meet by design.
        found.append(lengths * group + further - 1)
    # A small prime and a large one spread the groups over the rows.
    return torch.stack(found, dim=-1) * 7919 % 1_000_003 % rows


class LetterEmbedding(nn.Module):
    """A vector for each letter: its own, and those of the groups of letters that it stands in.

    The rows of the groups begin at zero, so that one that training hardly saw says nothing rather than noise.
    """

    def __init__(self, vocabulary: int, width: int, rows: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(vocabulary, width, padding_idx=_PADDING)
        self.groups = nn.Embedding(rows, width)
        nn.init.normal_(self.letters.weight, std=0.1)
        nn.init.zeros_(self.groups.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, characters] -> [batch, characters, width]."""
        groups = self.groups(group_rows(tokens, self.letters.num_embeddings, self.groups.num_embeddings))
        vectors: Tensor = self.letters(tokens) + _GROUP_SHARE * groups.sum(dim=-2)
        return vectors


class GroupVotes(nn.Module):
    """What each letter and each group says for each language, added up: a linear model of character n-grams."""

    def __init__(self, vocabulary: int, languages: int, rows: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(vocabulary, languages)
        self.groups = nn.Embedding(rows, languages)
        for table in (self.letters, self.groups):
            nn.init.zeros_(table.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, characters] -> [batch, languages]."""
        groups = self.groups(group_rows(tokens, self.letters.num_embeddings, self.groups.num_embeddings))
        present = (tokens != _PADDING)[..., None].to(groups.dtype)
        votes = ((self.letters(tokens) + groups.sum(dim=-2)) * present).sum(dim=1)
        # By the root of their number, so that a long text is surer than a short one, but not in proportion.
        logits: Tensor = _VOTE_SHARE * votes / present.sum(dim=1).clamp(min=1).sqrt()
        return logits


class GroupCounts(nn.Module):
    """Naive Bayes on the groups of letters (McCallum and Nigam 1998, "A comparison of event models").

    Nothing here is trained by gradients: :meth:`count` adds what each batch holds.
    """

    counts: Tensor
    totals: Tensor

    def __init__(self, vocabulary: int, languages: int, rows: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.register_buffer("counts", torch.zeros(rows, languages))
        self.register_buffer("totals", torch.zeros(languages))

    def count(self, tokens: Tensor, labels: Tensor) -> None:
        """Adds the groups of the texts [batch, characters] to those of their languages [batch]."""
        languages = self.counts.shape[1]
        groups = self._rows_of(tokens)
        is_letter = (tokens != _PADDING)[..., None].expand_as(groups)
        cells = (groups * languages + labels[:, None, None])[is_letter]
        self.counts.view(-1).index_add_(0, cells, torch.ones(len(cells)))
        self.totals += torch.bincount(cells % languages, minlength=languages)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, characters] -> [batch, languages]: log-probabilities, but for what all languages have in common."""
        present = (tokens != _PADDING)[..., None].to(self.counts.dtype)
        seen = torch.log1p(self.counts[self._rows_of(tokens)] / _UNSEEN).sum(dim=-2)
        sizes = self.totals + _UNSEEN * self.counts.shape[0]
        # Nothing that grows and is the same for all languages: beside it their differences would lose digits.
        votes = seen - seen.mean(dim=-1, keepdim=True) - (_LONGEST_COUNTED - 1) * torch.log(sizes / sizes.mean())
        logits: Tensor = _COUNT_SHARE * (votes * present).sum(dim=1)
        return logits

    def _rows_of(self, tokens: Tensor) -> Tensor:
        return group_rows(tokens, self.vocabulary, self.counts.shape[0], _LONGEST_COUNTED)


class DeepAndWide(nn.Module):
    """A deep part that a subclass brings, the votes of the groups, and their counts."""

    def __init__(self, vocabulary: int, languages: int, rows: int) -> None:
        super().__init__()
        self.votes = GroupVotes(vocabulary, languages, rows)
        self.counts = GroupCounts(vocabulary, languages, _COUNTED_ROWS)

    def deep(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, characters] -> logits [batch, languages], and what else the deep part gives."""
        raise TypeError(f"{type(self).__name__} has no deep part")

    def opinions(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [batch, languages] of the two parts that are trained."""
        return self.deep(tokens)[0], self.votes(tokens)

    def forward(self, tokens: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """[batch, characters] -> logits [batch, languages]."""
        deep, wide = self.opinions(tokens)
        logits: Tensor = deep + wide + self.counts(tokens)
        return logits


class LanguageRnn(DeepAndWide):
    """Embedding, two layers of gated recurrent units, and a linear layer on what they hold at the last letter."""

    def __init__(self, vocabulary: int, languages: int, *, width: int, units: int, rows: int, dropout: float) -> None:
        super().__init__(vocabulary, languages, rows)
        self.embedding = LetterEmbedding(vocabulary, width, rows)
        self.recurrent = nn.GRU(width, units, num_layers=2, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units, languages)

    def deep(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, characters] -> logits [batch, languages], and the states [batch, characters, units]."""
        states, _ = self.recurrent(self.dropout(self.embedding(tokens)))
        last = ((tokens != _PADDING).sum(dim=1) - 1).clamp(min=0)
        # Padding lies behind the text, so it has not touched the state at the last letter.
        at_end = states.gather(1, last[:, None, None].expand(-1, 1, states.shape[-1])).squeeze(1)
        return self.output(self.dropout(at_end)), states


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


class _Attending(DeepAndWide):
    """Embedding, sinusoidal positions, encoder layers, the mean over the letters, and a linear layer."""

    positions: Tensor

    def __init__(
        self,
        vocabulary: int,
        languages: int,
        *,
        most_characters: int,
        width: int,
        heads: int,
        layers: int,
        rows: int,
        dropout: float,
    ) -> None:
        super().__init__(vocabulary, languages, rows)
        self.embedding = LetterEmbedding(vocabulary, width, rows)
        # As small as the vectors of the letters are at first.
        self.register_buffer("positions", 0.1 * sinusoidal_positions(most_characters, width), persistent=False)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, languages)

    def deep(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
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
        deep, weights = self.deep(tokens)
        return deep + self.votes(tokens) + self.counts(tokens), weights


class LanguageTransformer(_Attending):
    """The encoder of a transformer."""


def sinusoidal_positions(count: int, width: int) -> Tensor:
    """[count, width]: sines and cosines of falling frequency (Vaswani et al. 2017, section 3.5)."""
    places = torch.arange(count)[:, None]
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    table = torch.zeros(count, width)
    table[:, 0::2], table[:, 1::2] = torch.sin(places * frequencies), torch.cos(places * frequencies)
    return table
