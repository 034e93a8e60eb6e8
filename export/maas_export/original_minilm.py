"""all-MiniLM-L6-v2 as its authors say to use it, to hold ours against: transformers' own classes, text by text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maas_core.golden import Array
from maas_export.data.sentence import WEIGHTS_FILE, package_file


def original_embeddings(texts: Sequence[str]) -> Array:
    """[texts, 384], by the recipe of the model's card ("Usage (HuggingFace Transformers)")."""
    import torch
    from torch.nn import functional
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it without types
    folder = package_file(WEIGHTS_FILE).parent
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    vectors = []
    with torch.inference_mode():
        for text in texts:
            encoded = tokenizer(text, truncation=True, max_length=256, padding=False, return_tensors="pt")
            mean = model(**encoded).last_hidden_state.mean(dim=1)
            vectors.append(functional.normalize(mean, dim=1).numpy())
    return np.concatenate(vectors)
