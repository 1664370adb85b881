"""The models that count."""

from tests.support.item_events import interact, walk_circle

from adloom.config.recommendation import Recommend
from adloom.recommendation.candidates import CLASSICAL, fit_classical
from adloom.recommendation.popularity import Popularity


def test_each_model_learns_from_at_most_users_and_popularity_from_all() -> None:
    interactions = interact(walk_circle(20, 5, 3))
    popularity = Popularity.fit(interactions)
    whole, part = Recommend(neighbours=2), Recommend(neighbours=2, users=3)
    for name in CLASSICAL[1:]:
        few = fit_classical(name, interactions, popularity, part).to_arrays()
        alone = fit_classical(name, interactions.sample(3), popularity, whole).to_arrays()
        assert {key: value.tobytes() for key, value in few.items() if hasattr(value, "tobytes")} == {
            key: value.tobytes() for key, value in alone.items() if hasattr(value, "tobytes")
        }
    assert fit_classical("popularity", interactions, popularity, part) is popularity
