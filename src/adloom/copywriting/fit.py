"""Fit the models that lines are compared with: a classifier of categories, and ridge regression of click rates."""

from collections.abc import Sequence
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline, make_union

from adloom.arrays import Float64Array


def fit_category_classifier(lines: Sequence[str], categories: Sequence[str]) -> Any:
    """Fit logistic regression on TF-IDF of words and characters; rare categories count as much as frequent ones."""
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    classifier = LogisticRegression(C=4, class_weight="balanced", max_iter=300)
    return make_pipeline(make_union(characters, _weigh_words()), classifier).fit(lines, categories)


def fit_click_rates(lines: Sequence[str], rates: Float64Array) -> Any:
    """Fit ridge regression on TF-IDF of words: the usual first attempt."""
    return make_pipeline(_weigh_words(), Ridge()).fit(lines, rates)


def _weigh_words() -> TfidfVectorizer:
    return TfidfVectorizer(tokenizer=str.split, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True)
