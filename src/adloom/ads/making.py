"""Make ads: compose, render and check them."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process

import numpy as np
from PIL import Image

from adloom.ads.brand import Brand
from adloom.ads.composition import AdContent, Design, compose
from adloom.ads.lint import Drawing, Finding, check_ad
from adloom.ads.placements import Placement
from adloom.ads.rendering import ENCODERS, ImageFormat, render_svg
from adloom.ads.svg import write_svg
from adloom.errors import UnavailableError

CREDENTIALS_BYTES = 14_000  # of a file, kept free for its origin


@dataclass(frozen=True)
class AdRequest:
    """An ad to make."""

    content: AdContent
    placement: Placement
    design: Design
    format: ImageFormat = "png"


@dataclass(frozen=True)
class Ad:
    """A finished ad, without its origin, and what is wrong with it."""

    request: AdRequest
    svg: str
    file: bytes  # PNG or WebP
    findings: tuple[Finding, ...]


def make_ad(request: AdRequest, brand: Brand) -> Ad:
    """Return an ad; equal arguments give equal bytes."""
    composition = compose(request.content, request.placement, brand, request.design)
    svg, graphics, texts = (write_svg(composition, brand, part) for part in ("all", "graphics", "texts"))
    below, above = render_svg(graphics, []), render_svg(texts, brand.typefaces.paths)
    whole = np.asarray(Image.alpha_composite(Image.fromarray(below), Image.fromarray(above)))  # faster than a third one
    file = ENCODERS[request.format](whole, request.placement.max_bytes - CREDENTIALS_BYTES)
    drawing = Drawing(below, above, len(file) + CREDENTIALS_BYTES)
    return Ad(request, svg, file, tuple(check_ad(composition, brand, drawing)))


def make_ads(requests: Iterable[AdRequest], brand: Brand, processes: int) -> Iterator[Ad]:
    """
    Yield ads in order. Raises UnavailableError when a process is killed.

    The renderer holds Python's lock, so that other threads wait less for a process.
    """
    make: Callable[[AdRequest], Ad] = partial(make_ad, brand=brand)
    try:
        with ProcessPoolExecutor(processes, get_context("spawn"), _watch_parent) as pool:
            yield from pool.map(make, requests, chunksize=4)
    except BrokenProcessPool:
        raise UnavailableError("a process that renders ads was killed; check the memory limit, and try again") from None


def _watch_parent() -> None:
    """Start a thread that ends this process when its parent was killed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        signal.raise_signal(signal.SIGKILL)
