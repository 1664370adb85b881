"""
Evaluate the copywriter: bits per character against the best Kneser-Ney model, and the lines it writes.

Bits per character include line ends, and every distinct line counts once. Both models spread probability 1 over all
possible lines, so their numbers compare.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from adloom.arrays import UInt64Array
from adloom.config.params import Evaluate
from adloom.copywriting import baseline, click_evaluation, verbatim_filter, written_lines
from adloom.copywriting.baseline import FittedBaseline
from adloom.copywriting.click_model import ClickModel
from adloom.copywriting.lines import GUIDANCE, TEMPERATURE, TOP_P, LineRequest, LineRules, write_lines
from adloom.copywriting.near_duplicates import find_near_duplicates
from adloom.copywriting.scoring import line_bits
from adloom.copywriting.sentences import list_sentences
from adloom.copywriting.tokenizer import Tokenizer
from adloom.errors import DataError
from adloom.evaluation import figures, statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Lines, Metric, Sample, Section, Table
from adloom.sequences.decoding import SequenceModel
from adloom.sequences.mixture import Mixture

Metrics = Mapping[str, Metric]

SHOWN = 8  # lines in a section
WORST_CHARACTERS = 5  # the worst cases leave out shorter lines, where one odd character decides
REPORT_ONLY = ("no_category", "network", "kneser_ney_distinct_2")  # for the report's table only
CURVES = "The loss in bits per character; the model is that of the epoch with the lowest on the validation split."


def evaluate(
    model: SequenceModel[Any],
    tokenizer: Tokenizer,
    rows: pd.DataFrame,
    categories: list[str],
    params: Evaluate,
    history: History,
    clicks: ClickModel | None = None,
) -> Evaluation:
    """
    Measure a copywriter on `rows` with columns text, category, split and perhaps group, impressions and clicks.

    The Kneser-Ney models learn from split train, the best of split validation is the baseline, and both are scored on
    split test. Raises DataError when a split has no line.
    """
    train, validation, test = (_select_lines(rows, split) for split in ("train", "validation", "test"))
    ranked = click_evaluation.measure(clicks, train, test) if clicks else {}
    known = verbatim_filter.fingerprint_lines([*train["text"], *list_sentences(train)])
    test = _drop_known(test, known)
    candidates = baseline.fit_candidates(train["text"].tolist(), validation["text"].drop_duplicates().tolist())
    best = baseline.choose_best(candidates)
    scored = _score_lines(model, tokenizer, test, best)
    samples = _bits_samples(scored) | written_lines.measure(
        model, tokenizer, train, best.model, params.lstm_samples, params.temperature, params.seed
    )
    samples |= ranked
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    reported = {name: metric for name, metric in metrics.items() if name not in REPORT_ONLY}
    sections: list[Section] = [
        _tabulate_comparison(metrics, best, scored, train),
        _tabulate_orders(candidates, best, scored),
        Figure("Learning curves", CURVES, partial(figures.draw_learning_curves, history)),
        *(
            _list_sample_lines(model, tokenizer, name, params.seed + i, LineRules(known=known))
            for i, name in enumerate([*categories, None])
        ),
        _tabulate_worst(scored),
    ]
    return Evaluation(reported, {name: samples[name] for name in reported}, sections)


def _select_lines(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    lines = rows[rows["split"] == split]
    if lines.empty:
        raise DataError(
            f"copy: 0 lines in split {split}, expected at least 1; add lines to ingest.copy or leave it out"
        )
    return lines


def _drop_known(test: pd.DataFrame, known: UInt64Array) -> pd.DataFrame:
    """Return the test lines that no training line equals; those of other groups may."""
    is_known = verbatim_filter.is_known(known, test["text"].tolist())
    if is_known.all():
        raise DataError(
            f"copy: all {len(test)} lines of split test are training lines too; add lines to ingest.copy, or name "
            "the column of what they share in prepare.copy.group"
        )
    return test[~is_known]


def _score_lines(
    model: SequenceModel[Any], tokenizer: Tokenizer, test: pd.DataFrame, best: FittedBaseline
) -> pd.DataFrame:
    """
    Return the distinct test lines with their group, characters and the bits of each model.

    The bits of a line of several categories are a mean over its rows.
    """
    counted = test.assign(category=test["category"].fillna("")).groupby(["text", "category"]).size().reset_index()
    texts, names = counted["text"].tolist(), [name or None for name in counted["category"]]
    models = {"copywriter": model} | ({"network": model.network} if isinstance(model, Mixture) else {})
    bits = counted.assign(**{name: line_bits(one, tokenizer, texts, names) for name, one in models.items()})
    share = bits[0] / bits.groupby("text")[0].transform("sum")
    lines = bits[[*models]].mul(share, axis=0).groupby(bits["text"]).sum()
    first = test.drop_duplicates("text").set_index("text").loc[lines.index]
    texts = lines.index.tolist()
    group = first["group"] if "group" in first else pd.Series(None, first.index, "str")
    return lines.assign(
        category=first["category"],
        group=group.fillna(lines.index.to_series()),
        characters=[len(line) + 1 for line in texts],
        no_category=line_bits(model, tokenizer, texts, [None] * len(texts)),
        kneser_ney=best.model.line_bits(texts),
    ).reset_index()


def _bits_samples(scored: pd.DataFrame) -> dict[str, Sample]:
    """Return the samples of bits, a row per group: its lines are not independent."""
    names = [name for name in ("copywriter", "network", "no_category", "kneser_ney") if name in scored]
    sums = scored.groupby("group")[[*names, "characters"]].sum()
    columns = {name: sums[name].to_numpy(np.float64) for name in sums}
    metric = {"copywriter": "bits_per_character", "kneser_ney": "kneser_ney_bits_per_character"}
    samples = {
        metric.get(name, name): Sample((columns[name], columns["characters"]), statistics.ratio, "bits")
        for name in names
    }
    return samples | {"bits_ratio": Sample((columns["copywriter"], columns["kneser_ney"]), statistics.ratio, "ratio")}


def _tabulate_comparison(metrics: Metrics, best: FittedBaseline, scored: pd.DataFrame, train: pd.DataFrame) -> Table:
    models = {
        "copywriter": ("bits_per_character", "distinct_2", "copied"),
        "its network alone": ("network", "", ""),
        "copywriter, not told the category": ("no_category", "", ""),
        f"Kneser-Ney, {best.order} characters": (
            "kneser_ney_bits_per_character",
            "kneser_ney_distinct_2",
            "kneser_ney_copied",
        ),
    }
    rows: list[list[str | float | int]] = [
        [model, *(f"{m.value:.3f} [{m.low:.3f}, {m.high:.3f}]" if m else "" for m in map(metrics.get, names))]
        for model, names in models.items()
        if names[0] in metrics
    ]
    unseen = sum(character not in best.model.alphabet for line in scored["text"] for character in line)
    similar = int(find_near_duplicates(scored["text"].tolist(), train["text"].drop_duplicates().tolist()).sum())
    caption = (
        f"Both learned from the same lines and are scored on the same characters of the {len(scored)} distinct test "
        f"lines, ends of line included; {unseen} of these characters are in no training line, and {similar} of these "
        f"lines nearly repeat one. Copied: the share of lines drawn without rules that trained it; served lines never "
        "do."
    )
    return Table("Against Kneser-Ney", caption, ["model", "bits per character", "distinct-2", "copied"], rows)


def _tabulate_orders(candidates: Sequence[FittedBaseline], best: FittedBaseline, scored: pd.DataFrame) -> Table:
    texts, characters = scored["text"].tolist(), scored["characters"].sum()
    rows: list[list[str | float | int]] = [
        [
            f"{candidate.order} characters{' (the baseline)' if candidate is best else ''}",
            candidate.training,
            round(candidate.bits, 3),
            round(float(candidate.model.line_bits(texts).sum() / characters), 3),
        ]
        for candidate in candidates
    ]
    caption = "The baseline is the model with the fewest bits on the validation split."
    return Table("Kneser-Ney by order", caption, ["n-grams of up to", "trained on", "validation", "test"], rows)


def _list_sample_lines(
    model: SequenceModel[Any], tokenizer: Tokenizer, category: str | None, seed: int, rules: LineRules
) -> Lines:
    request = LineRequest(SHOWN, seed, category, temperature=TEMPERATURE, top_p=TOP_P, guidance=GUIDANCE, rules=rules)
    caption = "As served by default: readable, and no verbatim copy of a training line."
    return Lines(f"Sample lines: {category or 'any'}", caption, write_lines(model, tokenizer, request))


def _tabulate_worst(scored: pd.DataFrame) -> Table:
    long = scored[scored["characters"] > WORST_CHARACTERS]
    each = long[["copywriter", "kneser_ney"]].div(long["characters"], axis=0).round(2)
    worst = each.sort_values("copywriter", ascending=False, kind="stable").index[:SHOWN]
    categories = long["category"].astype(object).where(long["category"].notna(), "")
    rows = [[long.at[i, "text"], categories[i], *each.loc[i].tolist()] for i in worst]
    caption = f"The test lines, of {WORST_CHARACTERS} characters or more, that the copywriter expected least."
    return Table("Worst cases", caption, ["line", "category", "bits per character", "Kneser-Ney"], rows)
