"""Tiny folders as Hugging Face's libraries save them: random weights, or a configuration alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "a", "cat", "sat", "on", "the", "mat", "and", "very")
_BERT: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
_PICTURES = {
    "do_resize": True,
    "size": {"height": 32, "width": 32},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.25, 0.3],
}


def text_classifier(folder: Path) -> Path:
    """BERT with weights and a vocabulary."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, **_BERT, id2label={0: "no", 1: "yes"})
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer()))
    return folder


def picture_classifier(folder: Path) -> Path:
    """ResNet as a configuration alone, with a processor."""
    _config(
        folder,
        model_type="resnet",
        architectures=["ResNetForImageClassification"],
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        id2label={"0": "cat", "1": "dog", "2": "bird"},
        label2id={"cat": 0, "dog": 1, "bird": 2},
    )
    (folder / "preprocessor_config.json").write_text(json.dumps(_PICTURES))
    return folder


def generator(folder: Path) -> Path:
    """GPT-2 as a configuration alone."""
    return _config(
        folder,
        model_type="gpt2",
        vocab_size=50,
        n_positions=64,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )


def speech(folder: Path) -> Path:
    """Whisper as a configuration alone."""
    return _config(
        folder,
        model_type="whisper",
        **_ENCODER_DECODER,
        num_mel_bins=8,
        max_source_positions=20,
        max_target_positions=32,
        encoder_layers=1,
    )


def translator(folder: Path) -> Path:
    """Marian as a configuration alone."""
    return _config(folder, model_type="marian", **_ENCODER_DECODER, max_position_embeddings=64, encoder_layers=1)


def detector(folder: Path) -> Path:
    """YOLOS as a configuration alone, with a processor that keeps proportions."""
    _config(
        folder,
        model_type="yolos",
        **_BERT,
        image_size=[32, 48],
        patch_size=8,
        num_detection_tokens=5,
        id2label={"0": "cat", "1": "dog"},
        label2id={"cat": 0, "dog": 1},
    )
    processor = {**_PICTURES, "size": {"shortest_edge": 800, "longest_edge": 1333}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


_ENCODER_DECODER: dict[str, Any] = {
    "vocab_size": 50,
    "d_model": 16,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _config(folder: Path, **values: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def _tokenizer() -> dict[str, Any]:
    """One piece a word, as BERT's: [CLS] words [SEP]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    numbers = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))  # noqa: S106  # a token of text
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    found: dict[str, Any] = json.loads(tokenizer.to_str())
    return found
