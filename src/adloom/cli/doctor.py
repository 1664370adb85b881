"""The command `adloom doctor`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from adloom.cli.options import AS_JSON, PARAMS
from adloom.doctor.context import read_context
from adloom.doctor.finding import Finding, Kind, State
from adloom.doctor.runner import exit_code, run_checks

SIGNS = {State.OK: "✓", State.WARNING: "!", State.BROKEN: "✗", State.NOT_ASKED: "-"}
WIDTH = max(len(kind.value[0]) for kind in Kind)


@click.command("doctor")
@PARAMS
@AS_JSON
def doctor(params_path: Path, as_json: bool) -> None:
    """
    Check this environment: Python and packages, disk and memory, keys, Docker, S3, MLflow and Kubeflow Pipelines.

    ✓ is fine, ! may become a problem, ✗ is broken, - was not checked; docs/how-to/doctor.md explains each name. Test
    files are deleted again. The exit code is 2 if something is broken that you can fix.

    Example: adloom doctor --json
    """
    findings = []
    for finding in run_checks(read_context(params_path)):
        findings.append(finding)
        for line in () if as_json else format_finding(finding):
            click.echo(line)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    sys.exit(exit_code(findings))


def format_finding(finding: Finding) -> list[str]:
    """Return a line, and below it the next step if there is one."""
    line = f"{SIGNS[finding.state]} {finding.name:{WIDTH}}  {finding.found}"
    return [line, f"  {'':{WIDTH}}  → {finding.next_step}"] if finding.next_step else [line]
