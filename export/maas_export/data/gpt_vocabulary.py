"""Makes the vocabulary of ``tiny_gpt_text``, which is committed beside its code.

It is made once: a network knows its tokens by number, so weights, whatever they were trained on, need the same one.
``python -m maas_export.data.gpt_vocabulary`` writes it anew; all weights must be trained again then.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from maas_core.files import write_atomic
from maas_core.layout import python_models_dir
from maas_export.data.gpt import VOCABULARY_FILE, parts_of, standard_library
from maas_export.python_models import load_module

SIZE = 1024
_CHARACTERS_AT_ONCE = 100_000


def trained_vocabulary(texts: Iterable[str]) -> str:
    """The JSON of a byte-level BPE of ``SIZE`` tokens, the first of which ends a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[load_module("tiny_gpt_text", "vocabulary").END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_parts(texts), trainer)
    return str(tokenizer.to_str())


def _parts(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        yield from (text[start : start + _CHARACTERS_AT_ONCE] for start in range(0, len(text), _CHARACTERS_AT_ONCE))


if __name__ == "__main__":
    train, _ = parts_of(standard_library(), seed=0)
    write_atomic(python_models_dir() / "tiny_gpt_text" / VOCABULARY_FILE, trained_vocabulary(train.values()) + "\n")
