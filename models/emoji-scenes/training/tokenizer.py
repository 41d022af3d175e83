"""Learns the tokenizer from the captions: CLIP's byte-level byte-pair encoding with a small vocabulary."""

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from render import load_scenes

MAX_LENGTH = 24
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
# The word pattern of CLIP's tokenizer.
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def learn_merges(captions, vocabulary_size):
    """Returns the merges, in order, as pairs of symbols."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=WORD_END, continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        end_of_word_suffix=WORD_END,
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in merges]


def write_tokenizer(folder, merges):
    """Writes the four files of a CLIP tokenizer. The 512 byte symbols come first, the special tokens last."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    symbols = alphabet + [symbol + WORD_END for symbol in alphabet] + ["".join(merge) for merge in merges]
    vocabulary = {symbol: index for index, symbol in enumerate(dict.fromkeys(symbols))}
    for special in (START, END):
        vocabulary[special] = len(vocabulary)
    specials = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    configuration = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": MAX_LENGTH,
        "tokenizer_class": "CLIPTokenizer",
        **specials,
    }
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2"] + [" ".join(merge) for merge in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(specials, indent=2) + "\n")


def load_tokenizer(folder):
    return CLIPTokenizer.from_pretrained(str(folder))


def tokenize(tokenizer, captions):
    """Returns int64 (len(captions), MAX_LENGTH), padded with the end token."""
    encoded = tokenizer(captions, padding="max_length", max_length=MAX_LENGTH, truncation=True)
    return torch.tensor(encoded["input_ids"])


def attention_mask(ids, end_id):
    """1 from the start token to the first end token, 0 on padding; int64, the shape of `ids`."""
    ended = (ids == end_id).cumsum(1) - (ids == end_id).long()
    return (ended == 0).long()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="folder written by render.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary-size", type=int, default=1500)
    arguments = parser.parse_args()
    captions = [scene.caption for scene in load_scenes(arguments.scenes / "scenes.jsonl")]
    write_tokenizer(arguments.out, learn_merges(captions, arguments.vocabulary_size))
    tokenizer = load_tokenizer(arguments.out)
    lengths = [len(ids) for ids in tokenizer(captions[:2000])["input_ids"]]
    print(f"{len(tokenizer)} tokens; longest caption {max(lengths)} tokens: {tokenizer.tokenize(captions[0])}")


if __name__ == "__main__":
    main()
