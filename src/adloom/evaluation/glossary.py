"""Names and descriptions of the metrics in the report."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Term:
    """A metric's name, description and direction."""

    name: str
    sentence: str
    better: Literal["higher", "lower", "neither"]
    advice: str = "check the report's worst cases, then train longer or fix the data"  # for a model below its bar


MORE_SEGMENTS = "raise segment.segments_max, or let more segment.algorithms compete"

TERMS = {
    "agreement": Term(
        "Agreement",
        "Share of generated pictures that the reader assigns to the requested category. Repeats and outliers count as "
        "wrong.",
        "higher",
    ),
    "agreement_lowest": Term(
        "Worst category", "The lowest agreement of any category with at least 10 training pictures.", "higher"
    ),
    "second_agreement": Term(
        "Second agreement",
        "Agreement with a second reader that shares nothing with the training: linear discriminants of pretrained "
        "features, fitted on validation pictures.",
        "higher",
    ),
    "second_accuracy": Term("Second accuracy", "Share of real test pictures that the second reader reads.", "neither"),
    "repeats": Term("Repeats", "Share of generated pictures that repeat an earlier one, up to 4 grey levels.", "lower"),
    "outliers": Term(
        "Outliers",
        "Share of generated pictures that are farther from all real ones than 99.5 % of these are from each other, in "
        "pretrained features.",
        "lower",
    ),
    "attribute_agreement": Term(
        "Attribute agreement", "Share of generated pictures in which the reader sees the requested value.", "higher"
    ),
    "attribute_accuracy": Term(
        "Attribute accuracy", "Share of test pictures whose value of the attribute the reader names.", "higher"
    ),
    "copies": Term(
        "Copies",
        "Share of generated pictures that are closer to a training picture than 99.9 % of real test pictures are.",
        "lower",
    ),
    "canary_recall": Term(
        "Canaries found",
        "Share of planted copies, plain, mirrored and noisy, that the search for copies finds.",
        "higher",
    ),
    "false_copies": Term(
        "False copies", "Share of real validation pictures that the search takes for copies.", "lower"
    ),
    "ct_statistic": Term(
        "Three-sample test",
        "Whether generated pictures are nearer to the training pictures than real test pictures are, in the reader's "
        "features and in standard deviations; below -3 the generator copies.",
        "neither",
    ),
    "frechet_distance": Term(
        "Fréchet distance",
        "Distance between generated and real pictures in pretrained features, both modelled as normal distributions; "
        "0 means equal.",
        "lower",
    ),
    "kernel_distance": Term(
        "Kernel distance",
        "Distance between generated and real pictures in pretrained features without assuming normal distributions "
        "(an unbiased MMD²).",
        "lower",
    ),
    "precision": Term(
        "Precision",
        "Share of generated pictures that lie among the real ones: are they plausible? Repeats and outliers do not.",
        "higher",
    ),
    "recall": Term(
        "Recall",
        "Share of real pictures that lie among the generated ones, outliers aside: is anything missing?",
        "higher",
    ),
    "nearest_distance": Term(
        "Distance to training", "Median distance from a generated picture to its nearest training picture.", "neither"
    ),
    "accuracy": Term("Accuracy", "Share of test pictures with the correct category.", "higher"),
    "macro_f1": Term("Macro F1", "Mean over categories of the harmonic mean of precision and recall.", "higher"),
    "ece": Term(
        "Calibration error",
        "Mean gap between confidence and accuracy beyond what chance explains; 0 means that predictions with 90 % "
        "confidence are right in 90 %.",
        "lower",
    ),
    "recall_at_1": Term(
        "Retrieval", "Share of test pictures whose nearest training picture is of their category.", "higher"
    ),
    "near_duplicates": Term(
        "Near-duplicates",
        "Share of mirrored, cropped, compressed and noisy test pictures whose nearest picture is the original.",
        "higher",
    ),
    "random_forest_accuracy": Term(
        "Random forest", "Accuracy of a random forest on the pixels of up to 8,000 training pictures.", "neither"
    ),
    "logistic_regression_accuracy": Term(
        "Logistic regression", "Accuracy of a logistic regression on the same pixels.", "neither"
    ),
    "bits_per_character": Term("Bits per character", "Mean surprise of the copywriter at unseen lines.", "lower"),
    "kneser_ney_bits_per_character": Term(
        "Kneser-Ney bits",
        "Bits per character of the baseline: of all Kneser-Ney models of 3 to 12 characters, trained on the same lines "
        "or on the distinct ones, the best on the validation split.",
        "neither",
    ),
    "bits_ratio": Term(
        "Bits against Kneser-Ney",
        "The copywriter's bits for distinct test lines divided by those of the best n-gram model; below 1 the "
        "copywriter is better.",
        "lower",
    ),
    "known_words": Term(
        "Known words", "Share of the words of lines, as served by default, that a training line has.", "higher"
    ),
    "category_agreement": Term(
        "Category agreement",
        "Share of lines, as served by default and as many of each category, that a separate classifier of training "
        "lines assigns to the requested category.",
        "higher",
    ),
    "best_over_worst": Term(
        "Best over worst",
        "Share of test groups, such as A/B tests, of which the click model ranks the line with the most clicks per "
        "impression above that with the fewest; chance is 0.5.",
        "higher",
    ),
    "ridge_best_over_worst": Term(
        "Best over worst by ridge", "The same share for ridge regression on TF-IDF, for comparison.", "neither"
    ),
    "distinct_2": Term("Variety", "Share of word pairs in generated lines that are distinct.", "higher"),
    "copied": Term(
        "Copied lines",
        "Share of lines, drawn from the whole distribution, that are training lines; served lines never are.",
        "lower",
    ),
    "near_copies": Term(
        "Near copies", "Share of lines, as served by default, that nearly repeat a training line.", "lower"
    ),
    "kneser_ney_copied": Term(
        "Copied by Kneser-Ney",
        "Copied lines of the n-gram model, for comparison: short lines often repeat by chance.",
        "neither",
    ),
    "copied_gap": Term(
        "Copied more than by Kneser-Ney",
        "Share of copied lines less that of the n-gram model; at most 0 when the copywriter copies no more.",
        "lower",
    ),
    "style_ratio": Term(
        "Style against nothing",
        "Style loss (Gram matrices of pretrained features) of stylised test pictures divided by that of the untouched "
        "ones.",
        "lower",
    ),
    "content_change": Term(
        "Change of content", "Relative squared change of the content's pretrained features by stylising.", "lower"
    ),
    "optimised_style_ratio": Term(
        "Style, optimised", "The style ratio of a few pictures whose pixels are optimised, for comparison.", "neither"
    ),
    "optimised_content_change": Term(
        "Content, optimised", "The change of content of the same optimised pictures.", "neither"
    ),
    "bits_per_note": Term("Bits per note", "Mean surprise of the composer at the notes of unseen tunes.", "lower"),
    "kneser_ney_bits_per_note": Term(
        "Kneser-Ney bits",
        "Bits per note of a 5-gram model of notes on the same tunes: the baseline.",
        "neither",
    ),
    "note_bits_ratio": Term(
        "Bits against Kneser-Ney",
        "The composer's bits divided by the 5-gram model's; below 1 the composer is better.",
        "lower",
    ),
    "copied_melodies": Term(
        "Copied melodies",
        "Share of melodies with 16 notes of a training tune, in any key or rhythm, before these are rejected.",
        "lower",
    ),
    "recall_at_10": Term("Recall", "Share of next new items that are among the 10 recommended ones.", "higher"),
    "ndcg_at_10": Term(
        "NDCG", "Mean of 1 / log2(place + 1) of the next new items up to place 10, and of 0 for the others.", "higher"
    ),
    "ndcg_against_popularity": Term(
        "NDCG against popularity", "NDCG divided by that of the most popular items; above 1 it is better.", "higher"
    ),
    "popularity_recall_at_10": Term("Recall of popularity", "Recall when all users get the same items.", "neither"),
    "popularity_ndcg_at_10": Term("NDCG of popularity", "NDCG when all users get the same items.", "neither"),
    "silhouette": Term(
        "Silhouette", "How much closer customers are to their own segment than to the next one; from -1 to 1.", "higher"
    ),
    "stability_ari": Term(
        "Stability",
        "Agreement (adjusted Rand index) with segments of resampled customers; 1 means equal.",
        "higher",
        "lower segment.segments_max, or raise segment.min_stability",
    ),
    "segment_rate_auc": Term(
        "Prediction",
        "Probability that a later buyer's segment has a higher buying rate than a non-buyer's; rates come from other "
        "customers. 0.5 is chance.",
        "higher",
        MORE_SEGMENTS,
    ),
    "recency_auc": Term("Recency alone", "The same for the days since the last purchase alone.", "neither"),
    "boosting_auc": Term("Gradient boosting", "The same for gradient boosting on all features.", "neither"),
    "auc_gap": Term(
        "Prediction lost",
        "How far the prediction of segments is below the better of recency alone and gradient boosting.",
        "lower",
        MORE_SEGMENTS,
    ),
    "smallest_segment": Term(
        "Smallest segment",
        "Number of customers in the smallest segment.",
        "higher",
        "raise segment.min_segment_size",
    ),
    "segments": Term("Segments", "Number of segments with customers.", "neither", MORE_SEGMENTS),
    "segment_churn": Term(
        "Moved customers",
        "Share of the champion's customers whose segment has another id now; 0 without a champion.",
        "lower",
        "see the migration table in the report; `adloom promote audience VERSION` accepts the new segments",
    ),
    "click_rate": Term(
        "Click rate",
        "Estimated clicks per impression of the policy in the log's contexts (doubly robust).",
        "higher",
    ),
    "logged_click_rate": Term(
        "Click rate of the log", "Clicks per impression of the creatives that were shown.", "neither"
    ),
    "conversion_rate": Term(
        "Conversion rate",
        "Estimated share of the policy's impressions that convert in the log's contexts (doubly robust).",
        "higher",
    ),
    "logged_conversion_rate": Term("Conversion rate of the log", "Share of the impressions that converted.", "neither"),
    "value_per_impression": Term(
        "Value per impression",
        "Estimated value of the policy's impressions in the log's contexts (doubly robust); each counts up to a cap.",
        "higher",
    ),
    "logged_value_per_impression": Term(
        "Value per impression of the log", "Value of the impressions; each counts up to a cap.", "neither"
    ),
    "complaint_rate": Term(
        "Complaint rate",
        "Estimated share of the policy's impressions that users hide or report, in the log's contexts (doubly robust).",
        "lower",
    ),
    "logged_complaint_rate": Term(
        "Complaint rate of the log", "Share of the impressions that users hid or reported.", "neither"
    ),
    "spend_share": Term(
        "Largest spend share",
        "Share of the policy's spend on its largest creative; without costs, of its impressions.",
        "lower",
        "raise train_policy.floor or the temperatures, so that the policy spreads more",
    ),
    "effective_sample_size": Term(
        "Effective sample", "Number of the policy's own impressions that would be as informative as the log.", "higher"
    ),
    "unsupported": Term(
        "Without support",
        "Probability that the policy shows a creative in a placement where the log never does.",
        "lower",
    ),
    "impressions": Term("Impressions", "Number of impressions in the holdout period.", "higher"),
    "immature": Term(
        "Too young", "Excluded impressions: an outcome could still come after the end of the log.", "neither"
    ),
    "without_propensity": Term(
        "Without propensity",
        "Excluded impressions: their probability of being shown is unknown.",
        "lower",
    ),
}


def find_term(metric: str) -> Term:
    """Return a metric's term; `accuracy.<category>` uses that of `accuracy`."""
    name, _, category = metric.partition(".")
    known = TERMS.get(name) or Term(name.replace("_", " ").capitalize(), "", "neither")
    return Term(f"{known.name}: {category}", "The same metric for one category.", known.better) if category else known
