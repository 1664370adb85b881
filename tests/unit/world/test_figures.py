"""The results are drawn as a picture of the same bytes."""

from tests.support.worlds import FixedService, small_world

from adloom.world.figures import draw_results
from adloom.world.playing import Player
from adloom.world.results import Results


def test_equal_results_draw_equal_pictures() -> None:
    adworld = small_world()
    logs = list(Player(adworld, FixedService(adworld.running.ids[0])).play(200))
    results = Results.from_logs(logs, 2)
    assert draw_results(results) == draw_results(results)
    assert draw_results(results).startswith(b"\x89PNG")
