"""The architecture of all-MiniLM-L6-v2: BERT, the mean over its tokens, a vector of length 1."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

_LEAST_TOKENS = 1e-9


class SentenceEncoder(nn.Module):
    """Word pieces in, one unit vector for each text out; weights are fresh."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        # The figures of the package's config.json.
        config = BertConfig(
            vocab_size=30522,
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
            max_position_embeddings=512,
            layer_norm_eps=1e-12,
        )
        make: Any = BertModel._from_config
        # "eager": attention written out, which gives the smaller graph.
        self.bert = make(config, attn_implementation="eager", add_pooling_layer=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[batch, tokens] each (the mask is 0 for padding) -> [batch, 384] of length 1; 0 for a row of padding only."""
        tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        present = attention_mask[..., None].to(tokens.dtype)
        mean = (tokens * present).sum(dim=1) / present.sum(dim=1).clamp(min=_LEAST_TOKENS)
        return functional.normalize(mean, dim=-1)
