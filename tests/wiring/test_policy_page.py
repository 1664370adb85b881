"""The page on policies: its example runs."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "policy.md"


def test_the_example_prints_an_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(example, {})
    printed = capsys.readouterr().out
    assert printed.startswith("Estimate(value=0.09")  # 10 % of the rows with banner b have a click
    assert printed.endswith("reliability_issue='') the log has every action of the policy {}\n")
