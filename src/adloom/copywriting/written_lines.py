"""Measure lines that a model wrote: variety, copies of training lines, spelling and category."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from adloom.copywriting import verbatim_filter
from adloom.copywriting.fit import fit_category_classifier
from adloom.copywriting.lines import GUIDANCE, TEMPERATURE, TOP_P, LineRequest, LineRules, filter_lines, write_lines
from adloom.copywriting.near_duplicates import find_near_duplicates
from adloom.copywriting.tokenizer import Tokenizer
from adloom.evaluation import statistics
from adloom.evaluation.metric import Sample
from adloom.sequences.decoding import S, SequenceModel
from adloom.sequences.kneser_ney import KneserNey

MAX_LENGTH = 200  # characters or tokens of a line
WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")  # letters of any script


def measure(
    model: SequenceModel[S],
    tokenizer: Tokenizer,
    train: pd.DataFrame,
    baseline: KneserNey[str],
    count: int,
    temperature: float,
    seed: int,
) -> dict[str, Sample]:
    """
    Return the samples of `count` written lines.

    Variety and copies are those of lines drawn from the whole distribution, in the training rows' mix of categories;
    spelling, category and near copies are those of lines as they are served, as many of each category.
    """
    training = train["text"].tolist()
    rules = LineRules(known=verbatim_filter.fingerprint_lines(training))
    ours = _draw_mix(model, tokenizer, train["category"], count, temperature, seed)
    drawn = baseline.sample(count, seed, MAX_LENGTH)
    theirs = filter_lines(["".join(line) for line in drawn], LineRules())
    each = count // max(len(tokenizer.categories), 1)
    served = {
        name: write_lines(
            model,
            tokenizer,
            LineRequest(each, seed + i, name, temperature=TEMPERATURE, top_p=TOP_P, guidance=GUIDANCE, rules=rules),
        )
        for i, name in enumerate(tokenizer.categories or [None])
    }
    lines = [line for written in served.values() for line in written]
    copied, theirs_copied = (copied_sample(written, training) for written in (ours, theirs))
    samples = {
        "distinct_2": distinct_2_sample(ours),
        "kneser_ney_distinct_2": distinct_2_sample(theirs),
        "copied": copied,
        "kneser_ney_copied": theirs_copied,
        "copied_gap": gap_sample(copied, theirs_copied),
        "near_copies": Sample(
            (find_near_duplicates(lines, train["text"].unique().tolist()),), statistics.mean, "share"
        ),
        "known_words": known_words_sample(lines, training),
    }
    if train["category"].nunique() > 1:
        samples["category_agreement"] = agreement_sample(served, train)
    return {name: sample for name, sample in samples.items() if sample.defined}


def distinct_2_sample(lines: Sequence[str]) -> Sample:
    """Return the sample of distinct-2 (Li et al. 2016): new word bigrams over all word bigrams, by line."""
    seen: set[tuple[str, str]] = set()
    new, total = [], []
    for line in lines:
        bigrams = list(pairwise(line.casefold().split()))
        before = len(seen)
        seen.update(bigrams)
        new.append(len(seen) - before)
        total.append(len(bigrams))
    return Sample((np.array(new), np.array(total)), statistics.ratio, "share")


def copied_sample(lines: Sequence[str], training: Sequence[str]) -> Sample:
    """Return the sample of the share of lines that are training lines."""
    return Sample(
        (verbatim_filter.is_known(verbatim_filter.fingerprint_lines(training), lines),), statistics.mean, "share"
    )


def gap_sample(ours: Sample, theirs: Sample) -> Sample:
    """Return the sample of how much larger our share is than theirs, of as many lines of each."""
    rows = min(len(ours.columns[0]), len(theirs.columns[0]))
    share, other = (sample.columns[0][:rows].astype(np.int8) for sample in (ours, theirs))
    return Sample((share - other,), statistics.mean, "share")


def known_words_sample(lines: Sequence[str], training: Sequence[str]) -> Sample:
    """Return the sample of the share of written words that occur in a training line, by line."""
    known = {word.casefold() for line in training for word in WORD.findall(line)}
    words = [[word.casefold() in known for word in WORD.findall(line)] for line in lines]
    columns = np.array([sum(line) for line in words]), np.array([len(line) for line in words])
    return Sample(columns, statistics.ratio, "share")


def agreement_sample(served: dict[str | None, list[str]], train: pd.DataFrame) -> Sample:
    """Return the sample of the share of lines that a classifier of the training lines assigns to their category."""
    known = train[train["category"].notna()].drop_duplicates(["text", "category"])
    classifier = fit_category_classifier(known["text"].tolist(), known["category"].tolist())
    names = [name for name, lines in served.items() for _ in lines]
    lines = [line for lines in served.values() for line in lines]
    return Sample((np.array(classifier.predict(lines) == names if lines else [], np.bool_),), statistics.mean, "share")


def _draw_mix(
    model: SequenceModel[S], tokenizer: Tokenizer, categories: pd.Series, count: int, temperature: float, seed: int
) -> list[str]:
    """Return lines of the model in a mix of categories."""
    names = [None if pd.isna(name) else str(name) for name in categories]
    drawn = np.random.default_rng(seed).choice(np.array(names, object), count)
    mix = sorted(Counter(drawn).items(), key=lambda item: item[0] or "")
    requests = [
        LineRequest(n, seed + i, name, temperature=temperature, max_tokens=MAX_LENGTH)
        for i, (name, n) in enumerate(mix)
    ]
    return [line for request in requests for line in write_lines(model, tokenizer, request)]
