"""The models that count: fitted in seconds, so that they learn from every event."""

from adloom.config.recommendation import Recommend
from adloom.recommendation.factorization import ItemFactors
from adloom.recommendation.interactions import Interactions
from adloom.recommendation.item_neighbours import ItemNeighbours
from adloom.recommendation.popularity import Popularity

COUNTING = ("popularity", "neighbours", "factors")
Counting = Popularity | ItemNeighbours | ItemFactors


def fit_counting(name: str, interactions: Interactions, popularity: Popularity, params: Recommend) -> Counting:
    """Fit a model of COUNTING; `popularity` is that of the same interactions."""
    sample = interactions.sample(params.users)
    if name == "neighbours":
        return ItemNeighbours.fit(sample, popularity.share, params.neighbours)
    if name == "factors":
        return ItemFactors.fit(sample, params.factors, params.seed)
    return popularity
