"""
Evaluate the copywriter: bits per character against Kneser-Ney, variety, and copying.

Bits per character include line ends. Both models spread probability 1 over all possible lines, so their numbers
compare.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from adloom.config.params import Evaluate
from adloom.copywriting import verbatim_filter
from adloom.copywriting.lines import LineRequest, LineRules, filter_lines, write_lines
from adloom.copywriting.scoring import line_bits
from adloom.copywriting.tokenizer import Tokenizer
from adloom.errors import DataError
from adloom.evaluation import figures, statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Lines, Metric, Sample, Section, Table
from adloom.sequences import kneser_ney
from adloom.sequences.decoding import S, SequenceModel

Metrics = Mapping[str, Metric]

MAX_LENGTH = 200  # characters or tokens of a sampled line
SHOWN = 8  # lines in a section
WORST_CHARACTERS = 5  # the worst cases leave out shorter lines, where one odd character decides


def evaluate(
    model: SequenceModel[S],
    tokenizer: Tokenizer,
    rows: pd.DataFrame,
    categories: list[str],
    params: Evaluate,
    history: History,
) -> Evaluation:
    """
    Measure a copywriter on `rows` with columns text, category and split.

    The Kneser-Ney model learns from split train; both are scored on split test. Raises DataError when there is no test
    line.
    """
    train, test = (rows[rows["split"] == split] for split in ("train", "test"))
    if test.empty:
        raise DataError("copy: 0 lines in split test, expected at least 1; add lines to ingest.copy or leave it out")
    baseline = kneser_ney.fit(train["text"].tolist(), params.ngram_order)
    scored = _score_lines(model, tokenizer, test, baseline)
    samples = _bits_samples(scored) | _measure_written_lines(model, tokenizer, train, baseline, params)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    reported = {name: metric for name, metric in metrics.items() if name not in REPORT_ONLY}
    unseen = sum(character not in baseline.alphabet for line in test["text"] for character in line)
    sections: list[Section] = [
        _tabulate_comparison(metrics, params.ngram_order, unseen),
        Figure("Learning curves", CURVES, figures.draw_learning_curves(history)),
        *(_list_sample_lines(model, tokenizer, name, params, i) for i, name in enumerate([*categories, None])),
        _tabulate_worst(scored),
    ]
    return Evaluation(reported, {name: samples[name] for name in reported}, sections)


REPORT_ONLY = ("no_category_bits_per_character", "kneser_ney_distinct_2")  # for the report's table only
CURVES = "The loss in bits per character; the model is that of the epoch with the lowest on the validation split."


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


def _score_lines(
    model: SequenceModel[S], tokenizer: Tokenizer, test: pd.DataFrame, baseline: kneser_ney.KneserNey[str]
) -> pd.DataFrame:
    """Return the test rows with characters and the bits of each model."""
    lines = test["text"].tolist()
    return test.assign(
        characters=[len(line) + 1 for line in lines],
        lstm=line_bits(model, tokenizer, lines, _list_categories(test)),
        no_category=line_bits(model, tokenizer, lines, [None] * len(lines)),
        kneser_ney=baseline.line_bits(lines),
    )


def _bits_samples(scored: pd.DataFrame) -> dict[str, Sample]:
    lstm, without, theirs, characters = (
        scored[name].to_numpy(np.float64) for name in ("lstm", "no_category", "kneser_ney", "characters")
    )
    return {
        "bits_per_character": Sample((lstm, characters), statistics.ratio, "bits"),
        "kneser_ney_bits_per_character": Sample((theirs, characters), statistics.ratio, "bits"),
        "no_category_bits_per_character": Sample((without, characters), statistics.ratio, "bits"),
        "bits_ratio": Sample((lstm, theirs), statistics.ratio, "ratio"),
    }


def _measure_written_lines(
    model: SequenceModel[S],
    tokenizer: Tokenizer,
    train: pd.DataFrame,
    baseline: kneser_ney.KneserNey[str],
    params: Evaluate,
) -> dict[str, Sample]:
    """Return the samples of generated lines, in the training rows' mix of categories."""
    training = train["text"].tolist()
    names = np.random.default_rng(params.seed).choice(np.array(_list_categories(train), object), params.lstm_samples)
    mix = sorted(Counter(names).items(), key=lambda item: item[0] or "")
    ours = [line for i, (name, n) in enumerate(mix) for line in _write_category(model, tokenizer, name, n, params, i)]
    drawn = baseline.sample(params.lstm_samples, params.seed, MAX_LENGTH)
    theirs = filter_lines(["".join(line) for line in drawn], LineRules())
    samples = {
        "distinct_2": distinct_2_sample(ours),
        "kneser_ney_distinct_2": distinct_2_sample(theirs),
        "copied": copied_sample(ours, training),
        "kneser_ney_copied": copied_sample(theirs, training),
    }
    return {name: sample for name, sample in samples.items() if sample.defined}


def _write_category(
    model: SequenceModel[S], tokenizer: Tokenizer, category: str | None, n: int, params: Evaluate, number: int
) -> list[str]:
    """Write n lines; `number` varies the seed between categories."""
    request = LineRequest(n, params.seed + number, category, temperature=params.temperature, max_tokens=MAX_LENGTH)
    return write_lines(model, tokenizer, request)


def _tabulate_comparison(metrics: Metrics, order: int, unseen: int) -> Table:
    models = {
        "copywriter": ("bits_per_character", "distinct_2", "copied"),
        "copywriter, not told the category": ("no_category_bits_per_character", "", ""),
        f"Kneser-Ney, {order} characters": (
            "kneser_ney_bits_per_character",
            "kneser_ney_distinct_2",
            "kneser_ney_copied",
        ),
    }
    rows: list[list[str | float | int]] = [
        [model, *(f"{m.value:.3f} [{m.low:.3f}, {m.high:.3f}]" if m else "" for m in map(metrics.get, names))]
        for model, names in models.items()
    ]
    caption = (
        f"Both learned from the same lines and are scored on the same characters of the test split, ends of line "
        f"included; {unseen} of these are in no training line. Copied: the share of sampled lines that trained it."
    )
    return Table("Against Kneser-Ney", caption, ["model", "bits per character", "distinct-2", "copied"], rows)


def _list_sample_lines(
    model: SequenceModel[S], tokenizer: Tokenizer, category: str | None, params: Evaluate, number: int
) -> Lines:
    caption = f"As drawn at temperature {params.temperature:g}, with no rule but that a line is readable."
    lines = _write_category(model, tokenizer, category, SHOWN, params, number)
    return Lines(f"Sample lines: {category or 'any'}", caption, lines)


def _tabulate_worst(scored: pd.DataFrame) -> Table:
    long = scored[scored["characters"] > WORST_CHARACTERS]
    long = long.assign(category=[category or "" for category in _list_categories(long)])
    each = long[["lstm", "kneser_ney"]].div(long["characters"], axis=0).round(2)
    worst = each.sort_values("lstm", ascending=False, kind="stable").index[:SHOWN]
    rows = [[long.at[i, "text"], long.at[i, "category"], *each.loc[i].tolist()] for i in worst]
    caption = f"The test lines, of {WORST_CHARACTERS} characters or more, that the copywriter expected least."
    return Table("Worst cases", caption, ["line", "category", "bits per character", "Kneser-Ney"], rows)


def _list_categories(rows: pd.DataFrame) -> list[str | None]:
    return [None if pd.isna(category) else str(category) for category in rows["category"]]
