"""Writes the tokenizer fixtures: a tiny vocabulary and what Hugging Face's fast CLIP tokenizer makes of many texts.

Run with a Python that has transformers (5) and tokenizers (0.23):
    python make_tokenizers.py CLIP_FOLDER           # CLIP_FOLDER holds the real vocab.json and merges.txt
    python make_tokenizers.py CLIP_FOLDER --fuzz 20000 FILE   # one large random file for a single check
The real vocabulary is not stored; clip.json holds only texts and ids.
"""

import collections
import json
import pathlib
import random
import shutil
import sys
import tempfile

from transformers import CLIPTokenizerFast

HERE = pathlib.Path(__file__).parent
START, END = "<|startoftext|>", "<|endoftext|>"
CORPUS = """a photo of a cat and a dog on the table in the garden with three red apples left of the house
an astronaut riding a horse on the moon highly detailed digital painting trending art station sharp focus
the quick brown fox jumps over the lazy dog it's don't we're they've i'm she'll he'd portrait of a woman
two cats and a tree on a green background a blue car under the yellow sun near the old stone bridge at night
"""


def byte_characters():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def train(count):
    """Byte-pair encoding over CORPUS: tokens and merges."""
    table = byte_characters()
    alphabet = sorted(table.values())
    words = collections.Counter()
    for word in CORPUS.split():
        symbols = [table[b] for b in word.encode()]
        symbols[-1] += "</w>"
        words[tuple(symbols)] += 1
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        merged = collections.Counter()
        for word, times in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i : i + 2] == best:
                    out.append(best[0] + best[1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            merged[tuple(out)] += times
        words = merged
    tokens = alphabet + [c + "</w>" for c in alphabet] + [a + b for a, b in merges] + [START, END]
    return {t: i for i, t in enumerate(dict.fromkeys(tokens))}, merges


def added(content, normalized, **more):
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False, **more}


BASE = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "tokenizer_class": "CLIPTokenizer"}
STABLE_DIFFUSION = {
    **BASE, "model_max_length": 77, "pad_token": END,
    "bos_token": {"__type": "AddedToken", **added(START, True)},
    "eos_token": {"__type": "AddedToken", **added(END, True)},
    "unk_token": {"__type": "AddedToken", **added(END, True)},
}


def variants(start, end):
    """Configurations as repositories have them: (name, tokenizer_config.json, special_tokens_map.json)."""
    specials = {"bos_token": added(START, True), "eos_token": added(END, True), "unk_token": added(END, True)}
    return [
        ("plain", None, None),
        ("sd15", STABLE_DIFFUSION, {**specials, "pad_token": END}),
        ("sd21", STABLE_DIFFUSION, {**specials, "pad_token": "!"}),
        ("decoder", {
            **BASE, "model_max_length": 20, "bos_token": START, "eos_token": END, "unk_token": END, "pad_token": "!",
            "added_tokens_decoder": {
                "0": added("!", False, special=True),
                str(start): added(START, True, special=True),
                str(end): added(END, False, special=True),
                str(end + 1): added("<my Style>", True, special=False),
            },
        }, {**specials, "pad_token": "!"}),
    ]


def tokenizer(vocabulary, merges, configuration, specials):
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "vocab.json").write_text(vocabulary)
    (folder / "merges.txt").write_text(merges)
    if configuration is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(configuration))
    if specials is not None:
        (folder / "special_tokens_map.json").write_text(json.dumps(specials))
    result = CLIPTokenizerFast.from_pretrained(str(folder))
    shutil.rmtree(folder)
    return result


SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\x0b", "\x1c", "\x85", "\u200b", "\ufeff"]
WORDS = ["a", "cat", "The", "QUICK", "don't", "it'S", "we're", "'s", "''s", "!'s", "x'll", "'re", "100", "3.14", "4k", "hello,world",
         "...", "!!!", "#1", "(red:1.2)", "[blue]", "&amp;", "&lt;b&gt;", "<b>", "C++", "e-mail@x.org", "snake_case", "naïve",
         "Straße", "ẞ", "İstanbul", "ΟΔΟΣ", "Σ", "ς", "ǅ", "ﬁ", "Å", "Å", "é", "e\u0301", "e\u0323\u0301", "ộ",
         "한국어", "\u1112\u1161\u11ab", "日本語", "图片", "नमस्ते", "สวัสดี", "עִבְרִית", "العربية", "😀", "👨‍👩‍👧‍👦", "🇩🇪", "❤️", "½", "Ⅷ", "٣", "१२",
         "①", "²", "\u0000", "\u0007", "\u007f", "\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\u0345", "\u0f77", "\u2126",
         START, END, "<|ENDOFTEXT|>", "<|startoftext|", END + "!!", "!!" + START, "<my Style>", "<MY STYLE>", "<my\tStyle>"]
RANGES = [(0x20, 0x7E), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x1FFF), (0x2000, 0x2BFF), (0x3000, 0xD7FF),
          (0xE000, 0xFFFF), (0x10000, 0x1FFFF), (0x20000, 0x10FFFF), (0xAC00, 0xD7A3), (0x1100, 0x11FF), (0x1F300, 0x1FAFF)]


def texts(count, seed):
    rng = random.Random(seed)
    yield from ["", " ", *WORDS, " ".join(WORDS[:30]), "a " * 100, "x" * 300, "ab1" * 40]
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 7)):
            kind = rng.random()
            if kind < 0.5:
                parts.append(rng.choice(WORDS))
            elif kind < 0.85:
                low, high = rng.choice(RANGES)
                parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 4))))
            else:
                parts.append("".join(rng.choice("abcdeABC'<|>!s 0") for _ in range(rng.randint(1, 6))))
            if rng.random() < 0.6:
                parts.append(rng.choice(SPACES) if rng.random() < 0.4 else " ")
        yield "".join(parts)


def record(tokenizer, samples, length):
    cases = []
    for text in samples:
        ids = tokenizer(text).input_ids
        cases.append([text, ids[1:-1]])
    padded = []
    for text in list(samples)[:: max(1, len(samples) // 40)]:
        out = tokenizer(text, padding="max_length", max_length=length, truncation=True)
        padded.append([text, out.input_ids, out.attention_mask])
    return {"cases": cases, "padded": padded, "length": length}


def main():
    clip = pathlib.Path(sys.argv[1])
    vocabulary, merges = (clip / "vocab.json").read_text(), (clip / "merges.txt").read_text()
    if "--fuzz" in sys.argv:
        count, path = int(sys.argv[3]), sys.argv[4]
        fast = tokenizer(vocabulary, merges, *variants(49406, 49407)[1][1:])
        pathlib.Path(path).write_text(json.dumps({"sd15": record(fast, list(texts(count, 99)), 77)}))
        return
    tokens, pairs = train(180)
    tiny_vocabulary = json.dumps(tokens, ensure_ascii=False, separators=(",", ":"))
    tiny_merges = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in pairs)
    folder = HERE / "tiny"
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(tiny_vocabulary + "\n")
    (folder / "merges.txt").write_text(tiny_merges)
    expected, configurations = {}, {}
    for index, (name, configuration, specials) in enumerate(variants(tokens[START], tokens[END])):
        configurations[name] = {"tokenizer_config.json": configuration, "special_tokens_map.json": specials}
        fast = tokenizer(tiny_vocabulary, tiny_merges, configuration, specials)
        expected[name] = record(fast, list(texts(250, index)), 20)
    (HERE / "tiny.json").write_text(
        json.dumps({"configurations": configurations, "expected": expected}, separators=(",", ":")) + "\n")
    expected, configurations = {}, {}
    for index, (name, configuration, specials) in enumerate(variants(49406, 49407)):
        configurations[name] = {"tokenizer_config.json": configuration, "special_tokens_map.json": specials}
        fast = tokenizer(vocabulary, merges, configuration, specials)
        expected[name] = record(fast, list(texts(850 if name == "sd15" else 200, 10 + index)), 77)
    (HERE / "clip.json").write_text(
        json.dumps({"configurations": configurations, "expected": expected}, separators=(",", ":")) + "\n")
    for name in ["tiny.json", "clip.json"]:
        print(name, (HERE / name).stat().st_size)


main()
