"""The registry in memory is safe for threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.tiny_models import write_generator

from adloom.registry.base import CHAMPION
from adloom.registry.memory import MemoryRegistry


def test_threads_that_register_the_same_make_one_version_and_keep_every_event(tmp_path: Path) -> None:
    registry = MemoryRegistry(tmp_path / "registry")
    write_generator(tmp_path / "gan")
    with ThreadPoolExecutor(8) as threads:
        versions = list(threads.map(lambda _: registry.register("gan", tmp_path / "gan", {}).version, range(16)))
        list(threads.map(lambda number: registry.set_alias("gan", CHAMPION, 1, str(number)), range(16)))
    assert versions == [1] * 16
    assert sorted(int(event.reason) for event in registry.alias_events("gan")) == list(range(16))
