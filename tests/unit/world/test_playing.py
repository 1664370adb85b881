"""Users are played as an ad server does it: one request per impression, feedback late, nothing lost."""

import numpy as np
from tests.support.worlds import FixedService, small_world

from adloom.world.playing import Decision, Player, RequestBody
from adloom.world.simulator import concatenate_logs

IMPRESSIONS = 1250


def test_each_impression_is_a_request_and_each_click_comes_late() -> None:
    adworld = small_world()
    service = FixedService(adworld.running.ids[2])
    player = Player(adworld, service)
    log = concatenate_logs(list(player.play(IMPRESSIONS)))
    assert len(service.requests) == len(log.action) == IMPRESSIONS
    early = [body for body in service.feedback if body["kind"] == "click"]
    assert 0 < len(early) < log.clicked.sum()
    player.flush()
    clicks = [body for body in service.feedback if body["kind"] == "click"]
    assert sorted(int(body["decision_id"], 16) - 1 for body in clicks) == np.flatnonzero(log.clicked).tolist()
    assert all(count > int(identity, 16) for identity, count in service.decided_before.items())
    conversions = [body["value"] for body in service.feedback if body["kind"] == "conversion"]
    assert sorted(conversions) == sorted(log.value[np.isfinite(log.value)].tolist()) != []


def test_requests_say_what_an_ad_server_knows() -> None:
    adworld = small_world()
    service = FixedService(adworld.running.ids[0])
    [log] = Player(adworld, service).play(3)
    first, now = service.requests[0], log.contexts
    assert first == {
        "placement": f"p{now.placement[0]}",
        "candidates": adworld.running.ids,
        "user_id": f"u{now.user[0]:05}",
        "context": {"interest": f"s{now.segment[0]}"},
    }


class HoldoutService(FixedService):
    """A service that shows no ad for every third decision."""

    def decide(self, body: RequestBody) -> Decision:
        decision = super().decide(body)
        return decision if len(self.requests) % 3 else decision._replace(creative_id=None)


def test_decisions_without_an_ad_are_no_impressions() -> None:
    adworld = small_world()
    service = HoldoutService(adworld.running.ids[2])
    player = Player(adworld, service)
    log = concatenate_logs(list(player.play(300)))
    player.flush()
    assert (len(service.requests), len(log.action), int(adworld.world.views.sum())) == (300, 200, 200)
    assert {int(body["decision_id"], 16) % 3 for body in service.feedback} == {1, 2}
