"""`adloom world`: play the users of a simulated world against a service."""

import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from adloom.cli.options import check_outputs, load_context
from adloom.config.settings import Settings
from adloom.context import open_store
from adloom.errors import DataError
from adloom.registry.base import find_digest

if TYPE_CHECKING:
    from adloom.arrays import UInt8Array
    from adloom.storage.base import Store
    from adloom.world.adworld import AdWorld
    from adloom.world.playing import Player
    from adloom.world.results import Results
    from adloom.world.simulator import Log


PARAMS_FILE = Path("params.yaml")


@click.group("world")
def world() -> None:
    """
    Play the users of a simulated world against a service.

    Example: adloom world run --url http://localhost:3000
    """


@world.command("run", short_help="Ask a service for decisions, and report clicks late.")
@click.option("--url", required=True, help="Service, such as http://localhost:3000.")
@click.option("--impressions", type=click.IntRange(1), default=20_000, show_default=True, help="Decisions to ask for.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=7, show_default=True, help="Seed of the world.")
@click.option(
    "--plot", type=Path, metavar="FILE.png", help="Draw the regret, and estimates with their truth, over time."
)
def run(url: str, impressions: int, seed: int, plot: Path | None) -> None:
    """
    Play the users of a simulated world against a running service, as an ad server does.

    Clicks and conversions are reported late. The click rate of people is compared with uniform decisions and with an
    oracle that knows the world, and with the policy's own estimate if the registry of the working folder's project has
    it. ADLOOM_TOKEN is the token, if the service needs one. Ctrl-C stops early, reports the pending clicks and prints
    the results so far.

    Example: adloom world run --url http://localhost:3000 --impressions 20000 --plot regret.png
    """
    from adloom.serving.ad_client import AdClient
    from adloom.world.figures import draw_results
    from adloom.world.playing import Player
    from adloom.world.results import Results

    check_outputs([plot])
    settings = Settings()
    token = settings.token.get_secret_value() if settings.token else None
    with AdClient(url, token) as service:
        player = Player(open_adworld(open_store(settings), seed), service)
        logs, interrupted = play(player, impressions, progress=not settings.quiet)
    results = Results.from_logs(logs, player.adworld.world.config.bots)
    if not len(results.clicked):
        raise DataError(f"{url}: no ad was shown to people; ask for more impressions, or end an experiment's holdout")
    for line in describe(results, player.tiers, find_estimate(player.policies)):
        click.echo(line)
    if plot:
        plot.write_bytes(draw_results(results))
        click.echo(f"regret over time: {plot}")
    if interrupted:
        raise click.Abort


def open_adworld(store: "Store", seed: int) -> "AdWorld":
    """Return the world of a seed, with the catalogue's pictures and lines."""
    from adloom.world.adworld import create_adworld

    return create_adworld(*read_world(store), seed)


def read_world(store: "Store") -> "tuple[list[str], list[str], UInt8Array, list[str]]":
    """Return the ids, categories and pixels of the catalogue's pictures, and its lines."""
    from adloom.catalogue.download import read_parts
    from adloom.catalogue.entries import ADWORLD, ENTRIES
    from adloom.catalogue.formats import read_world_parts

    with tempfile.TemporaryDirectory() as scratch:
        return read_world_parts(read_parts(ADWORLD, ENTRIES, lambda part: store.fetch(part, Path(scratch))))


def play(player: "Player", impressions: int, *, progress: bool) -> "tuple[list[Log], bool]":
    """Return the logs of blocks of impressions, with all their feedback sent, and whether a person interrupted it."""
    logs: list[Log] = []
    with (
        postpone_interrupt() as interrupted,
        tqdm(total=impressions, desc="world run", unit="impression", delay=1, disable=not progress) as bar,
    ):
        for log in player.play(impressions):
            logs.append(log)
            bar.update(len(log.action))
            if interrupted.is_set():
                break
        player.flush()
    return logs, interrupted.is_set()


@contextmanager
def postpone_interrupt() -> Iterator[Event]:
    """Set an event at the first Ctrl-C; the second interrupts."""
    interrupted, previous = Event(), signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


def find_estimate(policies: Counter[str]) -> float | None:
    """Return the click rate that the gate expected of the policy that decided most; None if it is not registered."""
    if not policies or not PARAMS_FILE.exists():
        return None
    from adloom.registry import promotion

    [(digest, _)] = policies.most_common(1)
    version = find_digest(load_context(PARAMS_FILE)[1].registry.versions("policy"), digest)
    return promotion.read_numbers(version).get("click_rate") if version else None


def describe(results: "Results", tiers: list[str], expected: float | None) -> Iterator[str]:
    """Yield the lines of a summary; `expected` is the policy's own estimate."""
    value, low, high = results.click_rate
    uniform, best, estimate = results.uniform.mean(), results.best.mean(), results.estimate_uniform()
    counts = ", ".join(f"{tier} {count}" for tier, count in Counter(tiers).most_common())
    yield f"impressions         {len(results.clicked):,} of people; decided by {counts}"
    yield f"click rate          {value:.3%} ({low:.3%} to {high:.3%}), true rate {results.shown.mean():.3%}"
    if expected is not None:
        yield f"policy's estimate   {expected:.3%}, by which the gate judged it"
    yield f"uniform decisions   {uniform:.3%}, estimated from this log {estimate.value:.3%}"
    yield f"                    ({estimate.low:.3%} to {estimate.high:.3%})"
    yield f"oracle              {best:.3%}"
    yield f"lift over uniform   {results.lift:+.1%}, {results.share_of_best:z.0%} of the oracle's gain"
