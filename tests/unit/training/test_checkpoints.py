"""Checkpoints: discarded once the artifact is where it belongs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from adloom.context import StageContext
from adloom.training import checkpoints


def test_stages_that_discard_at_the_same_time_do_not_disturb_each_other(context: StageContext, tmp_path: Path) -> None:
    artifact = tmp_path / "models" / "net"
    for key in range(300):
        checkpoints.mark_finished(checkpoints.checkpoint_path(context.home, "train_net", str(key)), artifact)
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda _: checkpoints.discard_finished(context, artifact), range(4))] == [None] * 4
    assert [*tmp_path.rglob("finished")] == []
