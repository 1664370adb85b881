"""The words of the report: a name and a sentence for every metric."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Term:
    """A metric in plain words."""

    name: str
    sentence: str
    better: Literal["higher", "lower", "neither"]


_TERMS = {
    "agreement": Term(
        "Agreement", "Share of drawn pictures that the reader takes for the category asked for.", "higher"
    ),
    "agreement_lowest": Term(
        "Worst category", "The lowest such share of any one category: no category may be given up.", "higher"
    ),
    "copies": Term(
        "Copies",
        "Share of drawn pictures nearer to a training picture than all but 0.1 % of real test pictures are.",
        "lower",
    ),
    "frechet_distance": Term(
        "Fréchet distance",
        "How far the drawn pictures lie from the real ones in the reader's features, as two normal distributions; "
        "0 is the same.",
        "lower",
    ),
    "kernel_distance": Term(
        "Kernel distance", "The same question without assuming normal distributions (an unbiased MMD²).", "lower"
    ),
    "precision": Term("Precision", "Share of drawn pictures among the real ones: are they plausible?", "higher"),
    "recall": Term("Recall", "Share of real pictures among the drawn ones: is anything missing?", "higher"),
    "nearest_distance": Term(
        "Distance to training", "Median distance from a drawn picture to its nearest training picture.", "neither"
    ),
    "accuracy": Term("Accuracy", "Share of test pictures whose category is read correctly.", "higher"),
    "macro_f1": Term(
        "Macro F1", "Mean over the categories of the balance between finding all and claiming none wrongly.", "higher"
    ),
    "ece": Term(
        "Calibration error",
        "How far the stated confidence is from how often it is right, on average; 0 means a 90 % is a 90 %.",
        "lower",
    ),
    "bits_per_character": Term("Bits per character", "How surprised the copywriter is by lines it never saw.", "lower"),
    "kneser_ney_bits_per_character": Term(
        "Kneser-Ney bits", "The same for a classic n-gram model of the same training text: the one to beat.", "neither"
    ),
    "bits_ratio": Term(
        "Bits against Kneser-Ney", "The copywriter's bits over the n-gram model's; below 1 it wins.", "lower"
    ),
    "distinct_2": Term("Variety", "Share of word pairs in the drawn lines that had not been drawn before.", "higher"),
    "copied": Term("Copied lines", "Share of drawn lines that stand word for word in the training text.", "lower"),
    "kneser_ney_copied": Term(
        "Copied by Kneser-Ney", "The same for the n-gram model's lines: short lines repeat by themselves.", "neither"
    ),
    "silhouette": Term(
        "Silhouette", "How much nearer a customer is to their own segment than to the next; from -1 to 1.", "higher"
    ),
    "stability_ari": Term(
        "Stability",
        "Agreement (adjusted Rand index) of the segments with those found in resampled customers; 1 is the same.",
        "higher",
    ),
    "segment_rate_auc": Term(
        "Prediction",
        "Chance that a later buyer's segment has the higher buying rate than a non-buyer's, the rates taken from other "
        "customers; 0.5 is guessing.",
        "higher",
    ),
    "smallest_segment": Term("Smallest segment", "Customers in the smallest segment.", "higher"),
    "click_rate": Term(
        "Click rate",
        "Clicks per impression that the policy would have had in the log's own situations (doubly robust estimate).",
        "higher",
    ),
    "logged_click_rate": Term("Click rate of the log", "Clicks per impression of what was really shown.", "neither"),
    "effective_sample_size": Term(
        "Effective sample", "How many impressions of the policy's own the log is worth for judging it.", "higher"
    ),
    "unsupported": Term(
        "Without support",
        "How often the policy would show a creative in a placement where the log never shows it.",
        "lower",
    ),
    "impressions": Term("Impressions", "How many impressions of the holdout period count.", "higher"),
    "immature": Term(
        "Too young", "Impressions that do not count: when the log ends, a click may still come.", "neither"
    ),
    "without_propensity": Term(
        "Without propensity",
        "Impressions that do not count: with which probability they were shown is not known.",
        "lower",
    ),
    "segments": Term("Segments", "How many segments there are.", "neither"),
}


def find_term(metric: str) -> Term:
    """Return a metric's term; `accuracy.<category>` is that of one category, and one nobody described is its name."""
    name, _, category = metric.partition(".")
    known = _TERMS.get(name) or Term(name.replace("_", " ").capitalize(), "", "neither")
    return Term(f"{known.name}: {category}", "The same, for this category alone.", known.better) if category else known
