"""The classical models, without a network: fitted in seconds, so that they learn from every event."""

from adloom.config.recommendation import Recommend
from adloom.recommendation.factorization import ItemFactors
from adloom.recommendation.interactions import Interactions
from adloom.recommendation.item_neighbours import ItemNeighbours
from adloom.recommendation.popularity import Popularity

CLASSICAL = ("popularity", "neighbours", "factors")
ClassicalModel = Popularity | ItemNeighbours | ItemFactors


def fit_classical(name: str, interactions: Interactions, popularity: Popularity, params: Recommend) -> ClassicalModel:
    """Fit a model of CLASSICAL; `popularity` is that of the same interactions."""
    sample = interactions.sample(params.users)
    if name == "neighbours":
        return ItemNeighbours.fit(sample, popularity.share, params.neighbours)
    if name == "factors":
        return ItemFactors.fit(sample, params.factors, params.seed)
    return popularity
