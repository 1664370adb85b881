import hashlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.brands import BRAND, HEADLINE, draw_bag, draw_photo

from adloom.ads.artwork import Treatment
from adloom.ads.composition import AdContent, Design
from adloom.ads.making import CREDENTIALS_BYTES, Ad, AdRequest, make_ad, make_ads
from adloom.ads.placements import PLACEMENTS
from adloom.ads.rendering import render_svg
from adloom.errors import UnavailableError


def request(size: str = "300x250", treatment: Treatment = "print", template: int = 0) -> AdRequest:
    picture = draw_photo() if treatment == "photo" else draw_bag()
    return AdRequest(
        AdContent(picture, HEADLINE, "Shop now", "Bag"), PLACEMENTS[size], Design(template, "dark", treatment)
    )


def digest(ad: Ad) -> str:
    return hashlib.sha256(ad.file + ad.svg.encode()).hexdigest()


@pytest.mark.slow
def test_other_processes_give_the_same_bytes_in_order() -> None:
    requests = [request(size, treatment) for size in ("300x250", "728x90") for treatment in ("print", "dots", "photo")]
    here = [digest(make_ad(each, BRAND)) for each in requests]
    assert [digest(ad) for ad in make_ads(requests, BRAND, processes=2)] == here
    assert len(set(here)) == 6


@pytest.mark.parametrize("treatment", ["dots", "photo"])
def test_the_file_shows_the_svg(treatment: Treatment) -> None:
    for template in range(2):
        ad = make_ad(request("300x250", treatment, template), BRAND)
        drawn = np.asarray(Image.open(io.BytesIO(ad.file)).convert("RGB")).astype(int)
        assert np.abs(drawn - render_svg(ad.svg, BRAND.typefaces.paths)[:, :, :3]).max() <= 2


@pytest.mark.slow
def test_a_killed_command_leaves_no_process() -> None:
    command = [sys.executable, "-c", "from tests.unit.ads.test_making import wait; wait()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
        try:
            process.communicate(timeout=30)  # ends when the worker does, which has the same stdout
        except subprocess.TimeoutExpired:
            os.kill(worker, signal.SIGKILL)
            raise


class Killer:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


@pytest.mark.slow
def test_a_killed_process_is_one_line() -> None:
    with pytest.raises(UnavailableError, match="a process that renders ads was killed"):
        list(make_ads([request()], Killer(), processes=1))  # type: ignore[arg-type]


def wait() -> None:
    """Print the id of a process that makes ads, and wait to be killed."""
    next(ads := make_ads([request()], BRAND, processes=1))
    print(multiprocessing.active_children()[0].pid, flush=True)
    signal.pause()
    ads.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", ["300x250", "970x250"])
def test_a_noisy_photo_stays_below_the_limit_with_its_credentials(size: str) -> None:
    ad = make_ad(request(size, "photo"), BRAND)
    assert ad.findings == ()
    assert len(ad.file) + CREDENTIALS_BYTES <= 150_000
    assert Image.open(io.BytesIO(ad.file)).size == (PLACEMENTS[size].width, PLACEMENTS[size].height)


def test_an_ad_that_breaks_a_rule_has_its_reasons() -> None:
    broken = AdRequest(AdContent(draw_bag(), "The best bag", "Shop now"), PLACEMENTS["300x250"], Design())
    assert [finding.rule for finding in make_ad(broken, BRAND).findings] == ["banned words"]
