"""Regressions: of rewards on creatives, categories and their context interactions; of scores on contents."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, RidgeCV
from threadpoolctl import ThreadpoolController

from adloom.arrays import AnyArray, Float64Array, Int64Array
from adloom.evaluation.statistics import mean
from adloom.policy.content_model import ContentModel
from adloom.policy.feature_space import FeatureSpace
from adloom.policy.impressions import Impressions
from adloom.policy.models import Categories, build_policy
from adloom.policy.row_groups import group_rows
from adloom.policy.scorer import Policy
from adloom.policy.thompson import Variances

LIBRARIES = ThreadpoolController()  # finding them for every fit takes longer than a fit
PENALTIES: tuple[float, ...] = tuple(
    10.0 ** (step / 2) for step in range(-9, 5)
)  # inverse strength: smaller shrinks creatives more
MIN_CREATIVES = 5  # with history; fewer teach nothing about content
CONTENT_PENALTIES = np.logspace(0, 6, 13)  # of ridge regression; smaller ones fit the noise of few creatives


@dataclass(frozen=True)
class Design:
    """The coefficient blocks."""

    space: FeatureSpace
    categories: Categories
    creatives: tuple[str, ...]

    def blocks(self, data: Impressions) -> list[tuple[Int64Array, int]]:
        """Return per block each row's column and the number of columns."""
        category, groups = self.categories.indices(self.creatives), len(self.categories.names) + 1
        items = [(data.shown.astype(np.int64), len(self.creatives)), (category[data.shown], groups)]
        rows, sizes = self.space.row_indices(data), [len(values) + 1 for values in self.space.values]
        crossed = [
            (row * width + item, size * width)
            for row, size in zip(rows, sizes, strict=True)
            for item, width in [(np.zeros_like(row), 1), *items]
        ]
        return [*items, *crossed]

    def matrix(self, data: Impressions) -> sparse.csr_matrix:
        """Return the design matrix (rows, columns)."""
        blocks = self.blocks(data)
        starts = np.cumsum([0, *(width for _, width in blocks)])
        columns = np.empty((len(data), len(blocks)), np.int32)
        for i, (column, _) in enumerate(blocks):
            columns[:, i] = column + starts[i]
        pointers = np.arange(0, columns.size + 1, len(blocks))
        return sparse.csr_matrix((np.ones(columns.size), columns.ravel(), pointers), (len(data), starts[-1]))

    def merge(self, data: Impressions) -> Impressions:
        """Return a row of reward 0 and one of 1 per distinct row of the design, weighted to the same mean."""
        group, first = group_rows([data.shown, *self.space.row_indices(data)])
        parts = [np.bincount(group, data.weight * values) for values in (1 - data.reward, data.reward)]
        weight, reward = np.concatenate(parts).astype(np.float64), np.repeat([0.0, 1.0], len(first))
        used = np.flatnonzero(weight > 0)
        return replace(data.select(np.tile(first, 2)[used]), weight=weight[used], reward=reward[used])

    def fold(self, columns: Float64Array) -> tuple[Float64Array, list[Float64Array], Float64Array]:
        """Return a policy's bias, weights and prior as sums of columns, without those that all creatives share."""
        creatives, groups = len(self.creatives), len(self.categories.names) + 1
        category = self.categories.indices(self.creatives)
        own, by_category, rest = np.split(columns, [creatives, creatives + groups])
        weights = []
        for values in self.space.values:
            size = len(values) + 1
            _, item, group, rest = np.split(rest, np.cumsum([size, size * creatives, size * groups]))
            weights.append(item.reshape(size, creatives) + group.reshape(size, groups)[:, category])
        return own + by_category[category], weights, by_category


@dataclass(frozen=True)
class LinearModel:
    """A fitted regression."""

    design: Design
    coefficients: Float64Array  # (columns,)
    intercept: float
    penalty: float  # the variance of a coefficient without data

    def estimate_variances(self, data: Impressions) -> Variances:
        """Return the variances of the scores: Laplace's approximation without covariances (Chapelle and Li 2011)."""
        rows = self.design.merge(data)
        matrix = self.design.matrix(rows)
        chance = expit(matrix @ self.coefficients + self.intercept)
        information = matrix.T @ (rows.weight * chance * (1 - chance))
        bias, weights, prior = self.design.fold(1 / (1 / self.penalty + information))
        unknown = prior + self.penalty * (1 + len(weights))
        return Variances(
            bias.astype(np.float32), tuple(values.astype(np.float32) for values in weights), unknown.astype(np.float32)
        )

    def log_loss(self, data: Impressions) -> float:
        """Return the mean log loss of rewards, in nats."""
        rows = self.design.merge(data)
        logit = self.design.matrix(rows) @ self.coefficients + self.intercept
        return mean(np.logaddexp(0, logit) - rows.reward * logit, rows.weight)

    def to_policy(self, data: Impressions) -> Policy:
        """Return the regression as a policy, without terms that all creatives share."""
        return build_policy(data, self.design.categories, self.design.space, *self.design.fold(self.coefficients))


def fit_linear(data: Impressions, categories: Categories, penalty: float) -> LinearModel:
    """Fit rewards in [0, 1] (fractional logit, Papke and Wooldridge 1996); `penalty` is the inverse ridge strength."""
    design = Design(FeatureSpace.from_impressions(data), categories, data.creatives)
    rows = design.merge(data)
    matrix = design.matrix(rows)
    used = np.unique(matrix.indices)  # the coefficients of other columns stay 0
    with LIBRARIES.limit(limits=1):
        regression = LogisticRegression(C=penalty, tol=1e-6, max_iter=1000).fit(
            matrix[:, used], rows.reward, rows.weight
        )
    coefficients = np.zeros(matrix.shape[1])
    coefficients[used] = regression.coef_[0]
    return LinearModel(design, coefficients, float(regression.intercept_[0]), penalty)


def fit_content(category: Int64Array, features: AnyArray, excess: Float64Array, categories: int) -> ContentModel:
    """
    Fit what scores have in excess of their categories' scores (creatives,) by ridge regression; NaN is unknown.

    Generalised cross-validation over the creatives chooses the penalty (Golub, Heath and Wahba 1979).
    """
    overall = _average_known(features, np.zeros(features.shape[1]))
    means = np.array([_average_known(features[category == i], overall) for i in range(categories + 1)])
    if len(excess) < MIN_CREATIVES:
        return ContentModel(means, np.zeros(len(overall)))
    differences = np.nan_to_num(features - means[category])
    regression = RidgeCV(CONTENT_PENALTIES, fit_intercept=False).fit(differences, excess)
    return ContentModel(means, regression.coef_)


def _average_known(features: AnyArray, default: Float64Array) -> Float64Array:
    """Return the mean of each feature over the creatives where it is not NaN; the default where there are none."""
    count = (~np.isnan(features)).sum(0)
    return np.where(count, np.nan_to_num(features).sum(0, np.float64) / np.maximum(count, 1), default)
