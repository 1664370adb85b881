"""Run all checks concurrently; a check that raises or hangs is a finding."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from adloom.doctor.checks import docker, folder, key, kfp, library, machine, mlflow, place, python, s3
from adloom.doctor.context import Check, DoctorContext
from adloom.doctor.finding import Finding, Kind, State
from adloom.errors import AdloomError, UserError

TIMEOUT = 30  # seconds for all checks
CHECKS: Mapping[str, Check] = {
    "params": folder.check_params,
    "settings": folder.check_settings,
    "python": python.check,
    "disk": machine.check_disk,
    "memory": machine.check_memory,
    "cpu": machine.check_cpus,
    "precision": machine.check_precision,
    "key": key.check,
    "docker": docker.check,
    "place": place.check,
    "library": library.check,
    "s3": s3.check,
    "mlflow": mlflow.check,
    "kfp": kfp.check,
}


@dataclass
class RunningCheck:
    """A check in a daemon thread."""

    name: str
    check: Check
    context: DoctorContext
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"check-{self.name}", daemon=True)
        self.thread.start()

    def wait(self, until: float) -> list[Finding]:
        """Return the findings at a time of the clock, with another one if the check still runs."""
        self.thread.join(max(0, until - time.monotonic()))
        findings = [*self.findings]
        if self.thread.is_alive():
            last = f" after {findings[-1].name}" if findings else ""
            advice = "a server does not answer; repair that, then check again"
            findings.append(Kind.CHECK_SLOW(f"{self.name}: not done in time{last}", advice, self.name))
        return findings

    def _run(self) -> None:
        try:
            for finding in self.check(self.context):
                self.findings.append(finding)  # one by one, in case the rest hangs
        except Exception as error:  # noqa: BLE001 - whatever a check suffers from, the others go on
            message = f"{self.name}: unexpected {type(error).__name__}: {error}"
            self.findings.append(Kind.CHECK_FAILED(message, "report this as a defect of adloom", self.name))


def run_checks(
    context: DoctorContext, checks: Mapping[str, Check] = CHECKS, seconds: float = TIMEOUT
) -> Iterator[Finding]:
    """Yield the findings of all checks in order, as soon as they are ready."""
    until = time.monotonic() + seconds
    running = [RunningCheck(name, check, context) for name, check in checks.items()]
    for each in running:
        yield from (redact_secrets(finding, context) for finding in each.wait(until))


def exit_code(findings: list[Finding]) -> int:
    """Return 0 if nothing is broken, 2 if the user can fix it, 1 for a defect of adloom."""
    broken = {finding.name for finding in findings if finding.state is State.BROKEN}
    if not broken:
        return 0
    return AdloomError.exit_code if broken == {Kind.CHECK_FAILED.value[0]} else UserError.exit_code


def redact_secrets(finding: Finding, context: DoctorContext) -> Finding:
    """Remove keys and passwords, which another program's message may contain."""
    settings = context.settings
    secrets = [
        settings.library_url,
        settings.pseudonym_key,
        settings.kfp_token,
        settings.webhook_url,
        settings.trigger_token,
    ]
    texts = [secret.get_secret_value() for secret in secrets if secret and secret.get_secret_value()]

    def clean(text: str) -> str:
        for secret in texts:
            text = text.replace(secret, "…")
        return " ".join(re.sub(r"//[^/@\s]*@", "//…@", text).split())

    return replace(finding, found=clean(finding.found), next_step=clean(finding.next_step))
