"""`adloom drift`: compare recent tables with those that the models learned from."""

from pathlib import Path

import click

from adloom.cli.options import AS_JSON, PARAMS, load_context, print_json


@click.command("drift")
@click.argument("reference", metavar="REFERENCE")
@click.argument("current", metavar="CURRENT")
@click.option(
    "--report", default="reports/drift", show_default=True, metavar="PATH|s3://…", help="The report's folder."
)
@click.option("--retrain", is_flag=True, help="On an alarm, ask the trigger server of ADLOOM_TRIGGER_URL to retrain.")
@PARAMS
@AS_JSON
def drift(reference: str, current: str, report: str, retrain: bool, params_path: Path, as_json: bool) -> None:
    """
    Compare two folders of tables, and report what has drifted in a page and in JSON.

    A folder has the prepared tables events, impressions and creatives below it, or is one of them; it may also be the
    impressions that `adloom log to-impressions` wrote.

    Example: adloom drift data/dataset s3://shop/recent
    """
    from adloom.config.settings import Settings
    from adloom.kubeflow.retraining import request_retraining
    from adloom.stages import runner

    params, context = load_context(params_path)
    paths = {"reference": reference, "current": current, "report": report}
    result = dict(runner.run_stage("drift", paths, params.drift, context))
    if retrain:
        result["retraining"] = request_retraining(str(result["reason"]), params.drift, Settings(), context.tracker)
    if as_json:
        print_json({**result, "report": report})
        return
    for alarm in filter(None, str(result["reason"]).split("; ")):
        click.echo(f"drift: {alarm}")
    for skipped in str(result["not_compared"]).splitlines():
        click.echo(f"not compared: {skipped}")
    click.echo(
        f"{result['alarms']:.0f} of {result['features']:.0f} features have drifted; {report}/report.html shows all"
    )
    if retrain:
        click.echo(f"retraining: {result['retraining']}")
