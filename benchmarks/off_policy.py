"""Off-policy evaluation in simulations with known truth and on the Open Bandit log.

    python benchmarks/off_policy.py [LOGS]    # LOGS per cell, by default 2,000

Prints the coverage of 95 % intervals (in brackets: truth below, truth above) next to the normal interval and the
percentile bootstrap, the error of doubly robust relative to inverse propensity scoring, how often worse and better
policies are promoted over 20 looks, the accuracy of `needed`, and random → bts on the Open Bandit log.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray
from adloom.catalogue import entries
from adloom.config.settings import Settings
from adloom.config.sources import Source
from adloom.context import open_store
from adloom.data import contracts
from adloom.data.reading.source import SourceReader
from adloom.policy.ope import estimators
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.log_evaluation import LogColumns, evaluate_log
from adloom.policy.ope.promotion_test import decide_lift
from adloom.policy.ope.reward_model import CrossFit, Rates, cross_fit
from adloom.world.simulator import Config, Log, World

ROWS = 10_000
RATES = (0.005, 0.02, 0.05)
LOGGING = ("uniform", "mild", "skewed")
TARGETS = ("near", "better", "far", "other")
ESTIMATORS = ("ips", "snips", "dr")
PEERS = ("normal", "bootstrap")
DRAWS = 200  # of the bootstrap
LOOKS = 20
MIN_RELIABLE = 100  # reliable intervals; with fewer, their coverage is not printed
Interval = tuple[float, float]


def softmax(logits: AnyArray) -> AnyArray:
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def apply_floor(policy: AnyArray, floor: float) -> AnyArray:
    return np.asarray((1 - floor) * policy + floor / policy.shape[-1])


def create_logging_policies(world: World, rng: np.random.Generator) -> dict[str, AnyArray]:
    """Return policies that write logs, each a table (segments, placements, creatives)."""
    shape = world.rates.shape
    return {
        "uniform": np.full(shape, 1 / shape[-1]),
        "mild": apply_floor(softmax(rng.normal(0, 1, shape)), 0.1),
        "skewed": apply_floor(softmax(rng.normal(0, 2, shape)), 0.05),
    }


def create_target_policies(world: World, logging: AnyArray, rng: np.random.Generator) -> dict[str, AnyArray]:
    """Return policies to evaluate, from near the logging policy to far from it."""
    better = apply_floor(softmax(4 * np.log(world.rates)), 0.05)
    best = np.eye(world.rates.shape[-1])[world.rates.argmax(-1)]
    return {
        "near": 0.7 * logging + 0.3 * better,
        "better": better,
        "far": apply_floor(best, 0.1),
        "other": apply_floor(softmax(rng.normal(0, 2, world.rates.shape)), 0.05),
    }


def compute_estimates(log: Log, probabilities: AnyArray, predicted: CrossFit) -> dict[str, Estimate]:
    rows, actions = probabilities.shape
    target = probabilities[np.arange(rows), log.action]
    expected = sum(probabilities[:, a] * predicted.predict(np.full(rows, a)) for a in range(actions))
    return {
        "ips": estimators.ips(log.reward, log.propensity, target),
        "snips": estimators.snips(log.reward, log.propensity, target),
        "dr": estimators.doubly_robust(
            log.reward, log.propensity, target, predicted.predict(log.action), np.asarray(expected)
        ),
    }


def normal_interval(terms: AnyArray) -> Interval:
    error = float(terms.std() / np.sqrt(len(terms)))
    return float(terms.mean()) - 1.96 * error, float(terms.mean()) + 1.96 * error


def bootstrap_interval(terms: AnyArray, rng: np.random.Generator) -> Interval:
    """Return the percentile bootstrap interval of a mean; draws of rare clicks are nearly Poisson."""
    clicked = terms[terms != 0]
    low, high = np.quantile(rng.poisson(1.0, (DRAWS, len(clicked))) @ clicked / len(terms), [0.025, 0.975])
    return float(low), float(high)


def measure_log(task: tuple[float, str, int, int]) -> AnyArray:
    """Return per target: low miss, high miss, squared error and reliability per estimator; misses per peer."""
    rate, name, rows, seed = task
    world, rng = World(Config(rate=rate), seed), np.random.default_rng([seed, 1])
    logging = create_logging_policies(world, rng)[name]
    log = world.log(lambda contexts: contexts.look_up(logging), rows)
    cell = log.contexts.segment * world.config.placements + log.contexts.placement
    predicted = cross_fit(Rates(cell, log.action, log.reward, world.config.creatives))
    result = []
    for policy in create_target_policies(world, logging, rng).values():
        probabilities = log.contexts.look_up(policy)
        truth = log.true_value(probabilities)
        estimates = compute_estimates(log, probabilities, predicted).values()
        line = [x for e in estimates for x in (e.low > truth, e.high < truth, (e.value - truth) ** 2, e.trustworthy)]
        terms = probabilities[np.arange(rows), log.action] / log.propensity * log.reward
        peers = (normal_interval(terms), bootstrap_interval(terms, rng))
        result.append([*line, *(x for low, high in peers for x in (low > truth, high < truth))])
    return np.array(result, float)


def format_coverage(low: AnyArray, high: AnyArray) -> str:
    """Format the coverage, and the shares of truths below and above."""
    return f"{100 * (1 - low.mean() - high.mean()):5.1f} ({100 * low.mean():3.1f}, {100 * high.mean():3.1f})"


def print_coverage(pool: Any, rows: int, logs: int) -> None:
    print(f"\ncoverage of 95 % intervals (truth below, truth above), {logs:,} logs of {rows:,} rows per line")
    header = " ".join(f"{name:>17}" for name in (*ESTIMATORS, *(f"ips, {peer}" for peer in PEERS)))
    print(f"{'rate':>5} {'log':8} {'policy':7} {header}  {'reliable':>8} {'ips, reliable':>17} {'dr error/ips':>12}")
    reliable: list[AnyArray] = []
    ratios = []
    for rate in RATES:
        for name in LOGGING:
            tasks = [(rate, name, rows, seed) for seed in range(logs)]
            result = np.array(pool.map(measure_log, tasks, chunksize=25))  # (logs, targets, numbers)
            for index, target in enumerate(TARGETS):
                line = result[:, index]
                is_reliable = line[:, 3] == 1
                reliable.append(
                    np.stack([line[is_reliable, 4 * e] + line[is_reliable, 4 * e + 1] for e in range(3)], 1)
                )
                ratios.append(float(np.sqrt(line[:, 10].mean() / line[:, 2].mean())))
                tail = f"{is_reliable.mean():8.0%} {_format_reliable(line, is_reliable)} {ratios[-1]:12.3f}"
                print(f"{rate:5} {name:8} {target:7} {_format_cells(line)}  {tail}", flush=True)
    pooled, every = 1 - np.concatenate(reliable).mean(0), len(ratios) * logs
    shares = ", ".join(f"{name} {share:.1%}" for name, share in zip(ESTIMATORS, pooled, strict=True))
    print(f"reliable: {sum(map(len, reliable)) / every:.0%} of all intervals, with coverage {shares}")
    print(f"root mean squared error, dr over ips: {min(ratios):.3f} to {max(ratios):.3f}")


def _format_cells(line: AnyArray) -> str:
    columns = [4 * e for e in range(len(ESTIMATORS))] + [12 + 2 * p for p in range(len(PEERS))]
    return " ".join(f"{format_coverage(line[:, c], line[:, c + 1]):>17}" for c in columns)


def _format_reliable(line: AnyArray, is_reliable: AnyArray) -> str:
    return (
        f"{format_coverage(line[is_reliable, 0], line[is_reliable, 1]):>17}"
        if is_reliable.sum() >= MIN_RELIABLE
        else f"{'-':>17}"
    )


Task = tuple[float, str, str, str, int, int]


def measure_growing_log(task: Task) -> tuple[int, int, float]:
    """
    Return the look at promotion (0: never), the look at prediction (0: promoted earlier), and the predicted looks.

    For "worse" the margin is the candidate's true loss, so a promotion is an error; otherwise it is 0.
    """
    rate, name, champion_name, candidate_name, rows, seed = task
    world, rng = World(Config(rate=rate, wear_out=0.0, drift=0.0), seed), np.random.default_rng([seed, 1])
    logging = create_logging_policies(world, rng)[name]
    policies = create_target_policies(world, logging, rng)
    champion = logging if champion_name == "logging" else policies[champion_name]
    worst = apply_floor(np.eye(world.rates.shape[-1])[world.rates.argmin(-1)], 0.1)
    candidate = {"worse": worst, "nearly worse": 0.8 * champion + 0.2 * worst, **policies}[candidate_name]
    margin = max(world.exact_value(champion) - world.exact_value(candidate), 0.0)
    log = world.log(lambda contexts: contexts.look_up(logging), rows)
    index = np.arange(rows)
    champion_target, candidate_target = (
        log.contexts.look_up(table)[index, log.action] for table in (champion, candidate)
    )
    step, predicted_at, predicted_looks = rows // LOOKS, 0, np.inf
    for look in range(1, LOOKS + 1):
        so_far = slice(look * step)
        lift = decide_lift(
            log.reward[so_far], log.propensity[so_far], candidate_target[so_far], champion_target[so_far], margin
        )
        if lift.verdict == "promote":
            return look, predicted_at, predicted_looks
        if look == LOOKS // 4:
            predicted_at, predicted_looks = look, np.inf if lift.needed is None else lift.needed / step
    return 0, predicted_at, predicted_looks


def print_repeated_looks(pool: Any, logs: int) -> None:
    print(f"\nGate: {LOOKS} looks at a log that grows to 20,000 rows, {logs:,} logs per line")
    print(
        f"{'rate':>5} {'log':8} {'champion':9} {'candidate':13} {'promoted':>8} {'median rows':>11}  predicted at 5,000"
    )
    errors = []
    for candidate in ("worse", "nearly worse", "near", "better", "far"):
        for rate in RATES:
            for name, champion in (("uniform", "logging"), ("skewed", "logging"), ("mild", "better")):
                if champion == "better" and "worse" not in candidate:
                    continue
                tasks = [(rate, name, champion, candidate, 20_000, seed) for seed in range(logs)]
                result = np.array(pool.map(measure_growing_log, tasks, chunksize=10))
                errors += [result[:, 0] > 0] if "worse" in candidate else []
                print(
                    f"{rate:5} {name:8} {champion:9} {candidate:13} {_format_growth(result, 'worse' not in candidate)}"
                )
    worst = max(error.mean() for error in errors)
    share = f"{np.mean(errors):.2%} of {np.size(errors):,} logs, at most {worst:.1%} of a line"
    print(f"worse by the margin but promoted: {share}")


def _format_growth(result: AnyArray, better: bool) -> str:
    looks = np.where(result[:, 0] > 0, result[:, 0], np.inf)
    was_predicted = result[:, 1] > 0
    text = f"{(result[:, 0] > 0).mean():8.1%} {_format_rows(np.median(looks)):>11}"
    if not better or not was_predicted.any():
        return text
    predicted = np.median(result[was_predicted, 1] + result[was_predicted, 2])
    actual = _format_rows(np.median(looks[was_predicted]))
    return f"{text}  {_format_rows(predicted)}, actual {actual} ({was_predicted.sum()} logs)"


def _format_rows(looks: float) -> str:
    return f"{looks * 1000:,.0f}" if np.isfinite(looks) else "more"


def read_open_bandit() -> pd.DataFrame:
    """Return the Open Bandit log as an impressions table."""
    with tempfile.TemporaryDirectory() as scratch:
        location = open_store(Settings(quiet=True)).fetch("open-bandit", Path(scratch))
        source = entries.complete_source(Source(uri="open-bandit"))
        paths = [file.path for file in entries.ENTRIES["open-bandit"].files]
        reader = SourceReader(location, paths, source, "impressions")
        raw = pd.concat(reader.read_chunks(), ignore_index=True)
    rows, reasons = contracts.validate(raw, "impressions")
    assert (reasons == "").all()
    return rows.assign(clicked=rows["clicked"].astype(float), position=rows["position"].astype(int))


def logged_shares(bts: pd.DataFrame) -> Callable[[pd.DataFrame, tuple[str, ...]], AnyArray]:
    """Return bts's distribution over items per position."""

    def policy(rows: pd.DataFrame, actions: tuple[str, ...]) -> AnyArray:
        shown = pd.crosstab(bts["position"], bts["creative_id"], normalize="index").reindex(
            columns=list(actions), fill_value=0
        )
        return np.asarray(shown.loc[rows["position"]].to_numpy(float))

    return policy


def print_open_bandit() -> None:
    print("\nOpen Bandit: bts estimated from the random log, and the bts log's own click rate (%, 95 % interval)")
    columns = LogColumns("creative_id", "clicked", "propensity", ("position",), "position")
    log = read_open_bandit()
    heads = f"{'estimate':>24} {'bts own':>24} {'ESS':>6} {'top 1 %':>7}  reliable"
    print(f"{'campaign':9} {'clicks':>6} {'estimator':14} {heads}")
    for campaign, rows in log.groupby("placement"):
        random, bts = (rows[rows["logging_policy"] == name] for name in ("random", "bts"))
        names = sorted(rows["creative_id"].unique())
        value = evaluate_log(random, columns, logged_shares(bts), names)
        one = np.ones(len(bts))
        own = estimators.ips(bts["clicked"].to_numpy(), one, one)
        for name, result in {"(log's own)": value.logged, **value.estimates}.items():
            _print_line(str(campaign), int(random["clicked"].sum()), name, result, own)
        back = evaluate_log(bts, columns, lambda r, actions: np.full((len(r), len(actions)), 1 / len(actions)), names)
        _print_line(str(campaign), int(bts["clicked"].sum()), "bts → random", back.estimates["snips"], value.logged)
        print(f"{'':16} random → bts: {value.support}; bts → random: {back.support}")


def _print_line(campaign: str, clicks: int, name: str, result: Estimate, own: Estimate) -> None:
    reliability = f"{result.effective_sample_size:6.0f} {result.top_share:7.2f}  {result.reliability_issue or 'yes'}"
    print(f"{campaign:9} {clicks:6} {name:14} {_format_percent(result):>24} {_format_percent(own):>24} {reliability}")


def _format_percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.3f} ({100 * estimate.low:.3f} to {100 * estimate.high:.3f})"


def run_timed(steps: Iterable[tuple[str, Callable[[], None]]]) -> None:
    for name, run in steps:
        start = time.perf_counter()
        run()
        print(f"[{name}: {time.perf_counter() - start:.0f} s]", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="?", type=int, default=2000, metavar="LOGS")
    logs = parser.parse_args().logs
    with Pool(2, threadpool_limits, (1,)) as pool:
        run_timed(
            [
                ("coverage, 10,000 rows", lambda: print_coverage(pool, ROWS, logs)),
                ("coverage, 2,000 rows", lambda: print_coverage(pool, ROWS // 5, logs // 4)),
                ("looks", lambda: print_repeated_looks(pool, logs // 10)),
                ("open bandit", print_open_bandit),
            ]
        )


if __name__ == "__main__":
    main()
