"""Sentences of the bodies of copy, such as the reviews that lines head, for the copywriter to learn from."""

import re

import pandas as pd

from adloom.data import splits

SENTENCE_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|[\r\n]+")


def keep_training_sentences(rows: pd.DataFrame) -> pd.Series:
    """
    Return the sentences of bodies of split train, one per line and written as lines of copy are; else missing.

    A sentence that would be in another split as a line of its own is left out, so no line of those splits is learned.
    """
    kept = pd.Series(None, rows.index, "str")
    known = rows["body"].notna() & (rows["split"] == "train")
    kept[known] = [_select_sentences(text) or None for text in rows["body"][known]]
    return kept


def _select_sentences(text: str) -> str:
    sentences = [_format(part) for part in SENTENCE_END.split(text)]
    hashes = [splits.hash_content(splits.normalise_text(sentence).encode()) for sentence in sentences]
    pairs = zip(sentences, splits.split_by_hash(hashes), strict=True)
    return "\n".join(sentence for sentence, split in pairs if sentence and split == "train")


def _format(sentence: str) -> str:
    """Return a sentence with a capital and without its full stop; an ellipsis stays."""
    text = sentence.strip()
    text = text[:-1] if text.endswith(".") and not text.endswith("..") else text
    return text[:1].upper() + text[1:]
