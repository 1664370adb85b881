"""The closed loop in the simulated world: serve, log, train, pass the gate, swap the policy, and measure its lift."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import yaml

from adloom.cli.decision_log import convert_log
from adloom.cli.world import open_adworld, play
from adloom.config.base import ConfigModel
from adloom.config.params import Params
from adloom.context import StageContext
from adloom.data.privacy import PUBLISHED_KEY
from adloom.errors import ExternalServiceError
from adloom.registry.verdict import Outcome
from adloom.storage import manifest

if TYPE_CHECKING:
    from adloom.world.playing import Player
    from adloom.world.simulator import Config, Log

PROJECT, SEED = "adworld", 7
EXPLORED, MEASURED = 8000, 4000  # impressions; with 6,000 explored, the gate promoted in 20 worlds of 20
ROTATION = 1  # seconds after which the service finishes a file of its log
LOG_ATTEMPTS = 20
MATURITY = 4  # mean delays of a click

T = TypeVar("T")


def close_loop(params: Params, context: StageContext) -> list[str]:
    """Return two lines about the loop; a repeated call with the same parameters returns those of the first."""
    folder = context.home / "world"
    result, key = folder / "result.json", _digest(params)
    if result.is_file() and (known := json.loads(result.read_text(encoding="utf-8")))["key"] == key:
        return list(known["lines"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = list(_run(params, context, folder.absolute()))
    result.write_text(json.dumps({"key": key, "lines": lines}, ensure_ascii=False), encoding="utf-8")
    return lines


def _digest(params: Params) -> str:
    parts = [params.train_policy.digest(), params.register.digest(), str((SEED, EXPLORED, MEASURED))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _run(params: Params, context: StageContext, folder: Path) -> Iterator[str]:
    from adloom.serving.ad_client import AdClient
    from adloom.serving.api.schemas import REFRESH
    from adloom.serving.client import ask, serving
    from adloom.world.playing import Player
    from adloom.world.results import Results

    served = folder / "params.yaml"
    _write_params(served, params)
    environment = _build_environment(folder)
    arguments = ("--app", "decide", "--params", str(served))
    with serving(*arguments, log=folder / "serve.log", environment=environment) as url, AdClient(url) as service:
        player = Player(open_adworld(context.store, SEED), service)
        config = player.adworld.world.config
        logs = _play(player, EXPLORED, context)
        before = Results.from_logs(logs, config.bots)
        table = folder / "impressions"
        _convert_whole_log(folder / "service" / "decisions", table, context)
        outcome, estimate = _train(_adapt_params(params, table, config), context, folder)
        yield describe_gate(before.click_rate[0], outcome, estimate)
        if outcome.champion is None:
            yield "  explores evenly, so that evidence accrues; `adloom run` on a longer log trains again"
            return
        ask(url + REFRESH, {})
        logs = _play(player, MEASURED, context)
        yield describe_lift(Results.from_logs(logs, config.bots), player.tiers[EXPLORED:])


def _play(player: "Player", impressions: int, context: StageContext) -> "list[Log]":
    """Return the logs of all these impressions. Raises KeyboardInterrupt when a person stops them."""
    logs, interrupted = play(player, impressions, progress=context.progress)
    if interrupted:
        raise KeyboardInterrupt
    return logs


def _build_environment(folder: Path) -> dict[str, str]:
    """Return the service's variables: everything is below the folder, and nobody else reaches it."""
    return {
        "ADLOOM_HOME": str(folder / "service"),
        "ADLOOM_AUTH": "off",
        "ADLOOM_TOKENS_FILE": "",
        "ADLOOM_LOG_URI": "",
        "ADLOOM_PSEUDONYM_KEY": "",
        "ADLOOM_PSEUDONYM_KEY_FILE": "",
        "ADLOOM_LOG_SEGMENT_SECONDS": str(ROTATION),
        "ADLOOM_SERVE_WITHOUT_MODEL": "ready",
        "MLFLOW_TRACKING_URI": _locate_registry(folder),
    }


def _locate_registry(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def _write_params(path: Path, params: Params) -> None:
    """Write params.yaml for the service, which reads the project's name."""
    values = params.model_copy(update={"project": PROJECT}).model_dump(mode="json", by_alias=True)
    path.write_text(yaml.safe_dump(values), encoding="utf-8")


def _convert_whole_log(log: Path, table: Path, context: StageContext) -> None:
    """Convert the log once all decisions are in finished files. Raises ExternalServiceError if some are missing."""
    for _ in range(LOG_ATTEMPTS):
        time.sleep(2 * ROTATION)
        if (report := convert_log([str(log)], str(table), context.store)).impressions >= EXPLORED:
            return
    raise ExternalServiceError(
        f"{log}: {report.impressions} of {EXPLORED} decisions; serve.log in the folder above says why"
    )


def _adapt_params(params: Params, table: Path, config: "Config") -> Params:
    """Return the params for a table of explored impressions, of which the second half is held out."""
    days = [pd.read_parquet(day, columns=["timestamp"]) for day in table.glob("*.parquet")]
    times = pd.concat(days)["timestamp"].sort_values()
    seconds_per_impression = (times.iloc[-1] - times.iloc[0]).total_seconds() / len(times)
    delay = config.delay_hours * config.per_hour * seconds_per_impression  # the world's clock is faster than ours
    values = params.model_dump(mode="json", by_alias=True)
    values["ingest"] = {"impressions": {"uri": str(table), "format": "parquet", "licence": "simulated by adloom"}}
    middle, end = times.iloc[len(times) // 2], times.iloc[-1] + pd.Timedelta(days=1)
    values["prepare"]["impressions"] = {"holdout_start": middle.isoformat(), "end": end.isoformat()}
    values["train_policy"]["maturity_hours"] = MATURITY * delay / 3600
    return Params.model_validate(values)


def _train(params: Params, context: StageContext, folder: Path) -> tuple[Outcome, float | None]:
    """Prepare the table, train and measure a policy, and let the gate judge it; return its estimated click rate."""
    from adloom.evaluation.sections import read_metrics
    from adloom.registry.mlflow import MlflowRegistry
    from adloom.stages import evaluate, ingest, prepare, sources_lock, train_policy
    from adloom.stages.register import default_candidate, register
    from adloom.tracking.memory import MemoryTracker

    context = replace(
        context,
        tracker=MemoryTracker(),
        registry=MlflowRegistry(_locate_registry(folder), PROJECT),
        pseudonym_key=PUBLISHED_KEY,  # simulated users are public
        home=folder,
    )
    sources_lock.save(sources_lock.scan_table(params.ingest, None, context), folder / sources_lock.LOCK)
    ingest.run(relocate(ingest.Inputs, folder), relocate(ingest.Outputs, folder), params.ingest, context)
    prepare.run(relocate(prepare.Inputs, folder), relocate(prepare.Outputs, folder), params.prepare, context)
    for model in ("audience", "cnn"):
        manifest.skip(folder / "models" / model, "world", ConfigModel(), "the world's demo trains the policy alone")
    train_policy.run(
        relocate(train_policy.Inputs, folder), relocate(train_policy.Outputs, folder), params.train_policy, context
    )
    candidate = default_candidate("policy", folder)
    inputs = evaluate.Inputs(candidate.model, candidate.table, candidate.judge)
    evaluate.run(inputs, evaluate.Outputs(candidate.report), params.evaluate, context)
    rate = read_metrics(candidate.report).get("click_rate")
    return register(candidate, params.register, context), rate.value if rate else None


def relocate(paths: type[T], folder: Path) -> T:
    """Return the default paths of a stage below a folder."""
    defaults: dict[str, Any] = {field.name: field.default for field in fields(paths)}  # type: ignore[arg-type]
    return paths(**{name: folder / path for name, path in defaults.items()})


def describe_gate(rate: float, outcome: Outcome, estimate: float | None) -> str:
    """Return a line about the uniform decisions and the verdict on the policy that learned from them."""
    verdict = "promotes a policy" if outcome.champion else f"holds the policy: {outcome.reasons[-1]}"
    expected = f", estimated {estimate:.1%}" if estimate is not None else ""
    return f"  {EXPLORED:,} uniform decisions: click rate {rate:.1%}; the gate {verdict}{expected}"


def describe_lift(results: Any, tiers: list[str]) -> str:
    """Return a line about the measured policy."""
    value, low, high = results.click_rate
    by_policy = tiers.count("model") / len(tiers)
    return (
        f"  {MEASURED:,} decisions after the swap, {by_policy:.0%} by the policy: click rate {value:.1%} "
        f"({low:.1%} to {high:.1%}), uniform {results.uniform.mean():.1%}, oracle {results.best.mean():.1%}; "
        f"lift {results.lift:+.0%}"
    )
