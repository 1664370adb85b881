"""`adloom experiment`: compare policies on the users of running services, and end the comparison by rule."""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adloom.cli.options import AS_JSON, PARAMS, FiniteRange, load_context, print_json
from adloom.config.settings import Settings
from adloom.errors import AdloomError, UserError

if TYPE_CHECKING:
    from adloom.cli.experiment_metrics import ExperimentMetrics
    from adloom.config.params import Params
    from adloom.context import StageContext
    from adloom.decision_log.arm_counts import ArmCounter
    from adloom.experiments.analysis import ArmResult, ExperimentResult, RateDifference
    from adloom.experiments.definition import Action, Experiment
    from adloom.registry.base import Registry

WATCH_SECONDS = 15.0  # between two looks at the log

REASON = click.option("--reason", required=True, help="Why; the registry keeps it.")
NAME = click.argument("name")


@click.group("experiment")
def experiment() -> None:
    """
    Compare policies on the users of running services.

    Example: adloom experiment start new-policy --arms champion=80,challenger=15,control=5 --until-evidence
    """


@experiment.command("start", short_help="Split the users between arms.")
@PARAMS
@NAME
@click.option("--arms", required=True, help="NAME=PERCENT, such as champion=80,challenger=15,control=5.")
@click.option("--until-evidence", is_flag=True, help="Promote a better arm, and end the experiment, by rule.")
@click.option("--shadow", metavar="NAME", help="A policy that answers without being shown: challenger or v3.")
@click.option("--goal", type=click.Choice(["click", "conversion"]), default="click", show_default=True)
@click.option(
    "--maturity-minutes",
    type=click.IntRange(0),
    default=60,
    show_default=True,
    help="Age from which a decision counts towards the goal; later outcomes are ignored.",
)
@click.option(
    "--max-drop",
    type=FiniteRange(0, 1),
    default=0.1,
    show_default=True,
    help="Relative loss of clicks or conversions, or rise of complaints, that ends the experiment.",
)
@click.option("--rate", type=FiniteRange(0, 1, min_open=True), help="Expected goals per decision, to plan the size.")
@click.option("--effect", type=FiniteRange(0, 10, min_open=True), default=0.1, help="Relative effect to find.")
def start(
    params_path: Path,
    name: str,
    arms: str,
    until_evidence: bool,
    shadow: str | None,
    goal: str,
    maturity_minutes: int,
    max_drop: float,
    rate: float | None,
    effect: float,
) -> None:
    """
    Split the users of all services between arms, from their next refresh on.

    An arm is champion, challenger or v3 (the version of the policy that has this alias now, or version 3), control
    (uniform decisions) or holdout (no ad). A user stays in one arm; a decision without a user draws its arm.

    Example: adloom experiment start new-policy --arms champion=80,challenger=15,control=5 --until-evidence
    """
    import msgspec

    from adloom.decision_log.record import now
    from adloom.experiments.definition import Experiment, check_name, find_running, parse_arms

    registry = load_context(params_path)[1].registry
    events = registry.experiment_events()
    if running := find_running(events):
        raise UserError(f"{running.name} is running; `adloom experiment stop {running.name} --reason …` ends it")
    created = Experiment(
        name=check_name(name, events),
        key=secrets.token_hex(16),
        started=now(),
        arms=parse_arms(arms, lambda arm: _find_version(registry, arm)),
        shadow=_find_version(registry, shadow) if shadow else None,
        goal=goal,  # type: ignore[arg-type] # click allows no other
        until_evidence=until_evidence,
        maturity_seconds=maturity_minutes * 60,
        max_drop=max_drop,
    )
    if until_evidence and not created.candidates:
        raise UserError("--until-evidence: no arm to promote; name a second policy in --arms, such as challenger=15")
    if rate is not None:
        from adloom.experiments.analysis import plan_decisions

        created = msgspec.structs.replace(created, planned=plan_decisions(created, rate, effect))
    _record(registry, created, "start", "", len(events))
    for arm in created.arms:
        click.echo(f"{arm.name:12} {arm.share:6.1%}  {f'policy {arm.version}' if arm.version else arm.kind}")
    if created.planned:
        click.echo(f"about {created.planned:,} decisions until a lift of {effect:.0%} is found")


@experiment.command("status", short_help="Compare the arms so far.")
@PARAMS
@AS_JSON
def status(params_path: Path, as_json: bool) -> None:
    """
    Compare the arms of the running experiment, from the finished segments of the decision log.

    Intervals hold at all looks together, so looking often does no harm.

    Example: adloom experiment status --json
    """
    from adloom.decision_log.record import now
    from adloom.experiments.analysis import analyse

    params, context = load_context(params_path)
    running = _find_running(context.registry)
    if running is None:
        raise UserError("no experiment is running; `adloom experiment start` starts one")
    counter = _open_counter(running, params, context)
    result = analyse(running, counter.update(now()))
    if as_json:
        print_json({"experiment": running.name, **asdict(result)})
        return
    for line in describe(running, result):
        click.echo(line)


@experiment.command("stop", short_help="End it: the champion decides for all users.")
@PARAMS
@NAME
@REASON
def stop(params_path: Path, name: str, reason: str) -> None:
    """
    End the experiment. The champion decides for all users, from the next refresh on.

    Example: adloom experiment stop new-policy --reason "the campaign is over"
    """
    registry = load_context(params_path)[1].registry
    _record(registry, _require_running(registry, name, reason), "stop", reason)
    click.echo(f"{name}: ended; the champion decides for all users")


@experiment.command("promote", short_help="End it: an arm's policy becomes champion.")
@PARAMS
@NAME
@click.argument("arm", default="challenger")
@REASON
def promote(params_path: Path, name: str, arm: str, reason: str) -> None:
    """
    Make the policy of an arm the champion, and end the experiment.

    Example: adloom experiment promote new-policy challenger --reason "more conversions"
    """
    registry = load_context(params_path)[1].registry
    _promote(registry, _require_running(registry, name, reason), arm, reason)
    click.echo(f"{name}: ended; the policy of {arm} is the champion")


@experiment.command("rollback", short_help="End it, or take its promotion back.")
@PARAMS
@NAME
@REASON
def rollback(params_path: Path, name: str, reason: str) -> None:
    """
    End the experiment; if it ended with a promotion, make the previous champion the champion again.

    Example: adloom experiment rollback new-policy --reason "complaints"
    """
    from adloom.experiments.definition import decode_event
    from adloom.registry import promotion

    registry = load_context(params_path)[1].registry
    events = registry.experiment_events()
    last = decode_event(events[-1]) if events else None
    if last and last.action == "promote" and last.experiment.name == name:
        promotion.rollback(registry, "policy", reason, made_by=f"experiment {name}: ")
        _record(registry, last.experiment, "rollback", reason)
    else:
        _record(registry, _require_running(registry, name, reason), "rollback", reason)
    click.echo(f"{name}: rolled back; the champion decides for all users")


@experiment.command("watch", short_help="Follow the log, and end the experiment by its rules.")
@PARAMS
@click.option("--once", is_flag=True, help="Look once, then exit.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Port for Prometheus to scrape the analysis.")
def watch(params_path: Path, once: bool, metrics_port: int | None) -> None:
    """
    Read new segments of the decision log every 15 seconds, and end the running experiment by its rules.

    A breached guardrail rolls it back at once. With --until-evidence, a better arm is promoted. The metrics also have
    the last comparison of `adloom drift` or of the scoring pipeline.

    Example: adloom experiment watch --metrics-port 9100
    """
    from prometheus_client import CollectorRegistry, start_http_server

    from adloom.cli.drift_metrics import DriftMetrics
    from adloom.cli.experiment_metrics import ExperimentMetrics

    metrics = ExperimentMetrics(exported := CollectorRegistry())
    drift = DriftMetrics(exported)
    if metrics_port:
        start_http_server(metrics_port, registry=exported)
    params, context = load_context(params_path)
    counter: ArmCounter | None = None
    while True:
        try:
            counter = _look(params, context, counter, metrics)
            if metrics_port:
                drift.update(context.tracker)
        except AdloomError as error:
            if once:
                raise
            click.echo(f"adloom: {error}; trying again", err=True)
        if once:
            if counter is None:
                click.echo("no experiment is running", err=True)
            return
        time.sleep(WATCH_SECONDS)


def _look(
    params: "Params", context: "StageContext", counter: "ArmCounter | None", metrics: "ExperimentMetrics"
) -> "ArmCounter | None":
    """Look at the log once, act by the rules, and return the counter of the running experiment."""
    from adloom.decision_log.record import now
    from adloom.experiments.analysis import analyse

    running = _find_running(context.registry)
    if running is None:
        metrics.result = None
        return None
    if counter is None or counter.experiment != running:
        counter = _open_counter(running, params, context)
    result = analyse(running, counter.update(now()))
    metrics.name, metrics.result = running.name, result
    click.echo(json.dumps({"experiment": running.name, "verdict": result.verdict, "reason": result.reason}))
    apply_verdict(context.registry, running, result)
    return counter


def apply_verdict(registry: "Registry", running: "Experiment", result: "ExperimentResult") -> None:
    """End an experiment as its rules say."""
    if result.verdict == "promote" and result.arm:
        _promote(registry, running, result.arm, result.reason)
    elif result.verdict in ("stop", "rollback"):
        _record(registry, running, result.verdict, result.reason)


def describe(running: "Experiment", result: "ExperimentResult") -> Iterator[str]:
    """Yield the lines of a status."""
    yield f"{running.name}: {result.verdict}; {result.reason}"
    yield f"sample ratio: p = {result.sample_ratio:.3g}"
    yield f"{'arm':12} {'share':>6} {'users':>9} {'decisions':>10}    click  convers.  complts  default     slow"
    for arm in result.arms:
        rates = " ".join(f"{rate:8.3%}" for rate in arm.rates.values())
        yield f"{arm.name:12} {arm.share:6.1%} {arm.users:9,} {arm.decisions:10,} {rates}"
    for arm in result.arms:
        if arm.goal:
            yield f"{arm.name:12} {_describe_lift(arm, arm.goal)}"


def _describe_lift(arm: "ArmResult", goal: "RateDifference") -> str:
    evidence = f"{goal.value:+.4%} ({goal.low:+.4%} to {goal.high:+.4%}) of {goal.baseline:.4%}"
    more = "" if goal.low > 0 or goal.needed is None else f"; about {goal.needed:,} more decisions to be certain"
    return f"lift {evidence}{more}{f'; {arm.issue}' if arm.issue else ''}"


def _open_counter(running: "Experiment", params: "Params", context: "StageContext") -> "ArmCounter":
    from adloom.decision_log.arm_counts import ArmCounter
    from adloom.decision_log.log import find_log

    settings = Settings()
    cache = settings.home / "experiments" / f"{running.key}.npz"  # so that each command reads new segments only
    return ArmCounter(running, find_log(settings), params.project, context.store, cache)


def _find_running(registry: "Registry") -> "Experiment | None":
    from adloom.experiments.definition import find_running

    return find_running(registry.experiment_events())


def _require_running(registry: "Registry", name: str, reason: str) -> "Experiment":
    from adloom.registry.promotion import check_reason

    check_reason(reason)
    running = _find_running(registry)
    if running is None or running.name != name:
        raise UserError(f"{name}: not running; running: {running.name if running else 'none'}")
    return running


def _find_version(registry: "Registry", arm: str) -> int:
    """Return the version of an alias or of `v3`. Raises UserError unless the champion audience can serve it."""
    from adloom.registry import pairing
    from adloom.registry.base import find_alias

    versions = registry.versions(pairing.POLICY)
    number = int(arm[1:]) if arm[1:].isdecimal() else None
    named = (version for version in versions if version.version == number)
    version = next(named, None) if number else find_alias(versions, arm)
    if version is None:
        known = ", ".join(f"v{each.version}" for each in versions) or "none; `adloom run` registers one"
        raise UserError(f"{arm}: no such policy; registered: {known}")
    if companions := pairing.find_companions(registry, version):
        raise UserError(
            f"{arm}: policy {version.version} was trained with audience {companions[0].version}, which is not the "
            "champion; train it again"
        )
    return version.version


def _promote(registry: "Registry", running: "Experiment", arm: str, reason: str) -> None:
    from adloom.registry import promotion

    version = next((each.version for each in running.arms if each.name == arm), None)
    if version is None:
        policies = ", ".join(each.name for each in running.arms if each.version)
        raise UserError(f"{running.name}: {arm} has no policy to promote; expected one of {policies}")
    promotion.promote(registry, "policy", version, f"experiment {running.name}: {reason}"[: promotion.MAX_REASON])
    _record(registry, running, "promote", reason)


def _record(
    registry: "Registry", running: "Experiment", action: "Action", reason: str, known: int | None = None
) -> None:
    from adloom.decision_log.record import now
    from adloom.experiments.definition import ExperimentEvent, encode_event

    event = ExperimentEvent(at=now(), action=action, reason=reason, experiment=running)
    registry.add_experiment_event(encode_event(event).decode(), known)
