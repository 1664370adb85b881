"""Measure content credentials: their size and time, and how often a stripped picture is found again.

    python benchmarks/credentials.py IDX ICONS      # about 4 minutes

IDX is Fashion-MNIST's folder (the download of `fashion-mnist`, in ADLOOM_HOME/downloads), ICONS a folder of PNGs such
as img/twitter/64 of npm's emoji-datasource-twitter. Half of the icons and ISSUED pictures of Fashion-MNIST's training
part are issued, and QUERIES of each are changed and searched. Pictures that were not issued, of the test part and the
other half, tell how often a match is false. Equal pictures are used once.

--fit prints the share of other pictures by distance, from which credentials/perceptual_index.py has its constants.
"""

import argparse
import gzip
import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from adloom.creatives.pictures import encode_pngs
from adloom.credentials import perceptual_index
from adloom.credentials.keys import create_local_key
from adloom.credentials.origin import COMPOSITE, Origin
from adloom.credentials.perceptual_index import PerceptualIndex, compute_fingerprints, decode_picture
from adloom.credentials.sidecar import sign_content, verify_content
from adloom.credentials.signer import Ingredient, PictureSigner
from adloom.credentials.verification import PictureVerifier
from adloom.serving.creatives.issued_pictures import IssuedPictures

ISSUED, QUERIES, STRANGERS = 20_000, 300, 1000
REPEATS, ROUNDS = 100, 5
ORIGIN = Origin("gan", 3, "a" * 64, "b" * 64, seed=7, number=1, facts={"category": "Bag"})
rng = np.random.default_rng(0)


def save(picture: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue()))


def scale(picture: Image.Image, factor: float) -> Image.Image:
    size = round(picture.width * factor), round(picture.height * factor)
    return picture.resize(size, Image.Resampling.BICUBIC)


def crop(picture: Image.Image, wide: float, high: float) -> Image.Image:
    width, height = round(picture.width * wide), round(picture.height * high)
    left, top = (int(rng.integers(0, room + 1)) for room in (picture.width - width, picture.height - height))
    return picture.crop((left, top, left + width, top + height))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "metadata stripped": lambda picture: picture,
    "saved as lossless WebP": lambda picture: picture.convert("RGB"),
    "JPEG 50": lambda picture: save(picture, 50),
    "half the size": lambda picture: scale(picture, 0.5),
    "twice the size": lambda picture: scale(picture, 2),
    "screenshot (1.5 times, JPEG 80)": lambda picture: save(scale(picture, 1.5), 80),
    "crop 10 % of one side": lambda picture: crop(picture, 0.9, 1),
    "crop 10 % of both": lambda picture: crop(picture, 0.9, 0.9),
    "crop 20 % of both": lambda picture: crop(picture, 0.8, 0.8),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def read_idx(folder: Path, part: str) -> np.ndarray:
    (path,) = folder.rglob(f"{part}-images-idx3-ubyte*")
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28, 1)


def read_icons(folder: Path) -> np.ndarray:
    icons = [decode_picture(path.read_bytes()) for path in sorted(folder.glob("*.png"))]
    distinct = np.unique(np.stack([icon for icon in icons if icon.shape == (64, 64, 3)]), axis=0)
    return np.random.default_rng(1).permutation(distinct)


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    return decode_picture(encode_pngs(pixels.transpose(2, 0, 1)[None])[0])


def time_call(call: Callable[[], object]) -> float:
    """Return the median milliseconds of processor time of one call."""
    call()
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(REPEATS):
            call()
        rounds.append((time.process_time() - start) / REPEATS * 1000)
    return median(rounds)


def measure_costs(fashion: np.ndarray, icons: np.ndarray) -> Iterator[tuple[str, str]]:
    key = create_local_key(datetime.now(UTC))
    signer, verifier, issued = PictureSigner(key), PictureVerifier(key), IssuedPictures()
    (small,), (icon,) = encode_pngs(fashion[:1].transpose(0, 3, 1, 2)), encode_pngs(icons[:1].transpose(0, 3, 1, 2))
    signed = signer.sign_picture(small, ORIGIN)
    layers = [Ingredient("picture", signed, "componentOf"), Ingredient("logo", icon, "componentOf")]
    composite = Origin("composer", source_type=COMPOSITE)
    sidecar = sign_content(b"Lovely warm coat", ORIGIN, key)
    yield "bytes added to a PNG of 28x28", f"{len(signed) - len(small)}"
    yield (
        "bytes with a signed and an unsigned layer",
        f"{len(signer.sign_picture(icon, composite, layers)) - len(icon)}",
    )
    yield "bytes of a line's sidecar", f"{len(sidecar.model_dump_json())}"
    yield "ms to sign", f"{time_call(lambda: signer.sign_picture(small, ORIGIN)):.2f}"
    yield "ms to sign with two layers", f"{time_call(lambda: signer.sign_picture(icon, composite, layers)):.2f}"
    yield "ms to add to the index", f"{time_call(lambda: issued.add([signed], [ORIGIN])):.2f}"
    yield "ms to verify", f"{time_call(lambda: verifier.verify(signed)):.2f}"
    yield "ms to sign a line", f"{time_call(lambda: sign_content(b'Lovely warm coat', ORIGIN, key)):.2f}"
    yield "ms to verify a line", f"{time_call(lambda: verify_content(b'Lovely warm coat', sidecar, key)):.2f}"


def measure_recovery(pictures: np.ndarray, strangers: np.ndarray) -> Iterator[tuple[str, str]]:
    index = PerceptualIndex()
    index.add([str(i) for i in range(len(pictures))], np.stack([compute_fingerprints(to_rgb(one)) for one in pictures]))
    queries = rng.choice(len(pictures), QUERIES, replace=False)
    for name, change in CHANGES.items():
        right = wrong = 0
        for number in queries:
            pixels = pictures[number]
            picture = change(Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels))
            match = index.search(np.asarray(picture.convert("RGB")))
            right += match is not None and match.id == str(number)
            wrong += match is not None and match.id != str(number)
        yield name, f"{right / QUERIES:.1%} | {wrong / QUERIES:.1%}"
    false = sum(index.search(to_rgb(one)) is not None for one in strangers[:STRANGERS])
    yield "not issued, and matched", f"{false / len(strangers[:STRANGERS]):.1%}"
    start = time.process_time()
    index.search(to_rgb(strangers[0]))
    yield f"ms to search {len(index)} without a match", f"{(time.process_time() - start) * 1000:.0f}"


def print_fit(pictures: np.ndarray, strangers: np.ndarray) -> None:
    """Fit the share of pairs within a distance by a power of it, from one in a million to one in ten thousand."""
    issued = np.stack([compute_fingerprints(to_rgb(one)) for one in pictures]).astype(np.float32)
    whole, crops = [(0.0, 0.0, 1.0, 1.0)], perceptual_index.list_crops(perceptual_index.FINE)
    for kind, column, boxes, number in (("whole", 0, whole, 2000), ("cropped", 1, crops, 200)):
        distances = []
        for pixels in strangers[:number]:
            picture = Image.fromarray(to_rgb(pixels)).convert("YCbCr")
            queries = perceptual_index._compute_fingerprints(picture, boxes)
            distances.append(1 - (issued[:, column] @ queries.T).max(1))
        ordered = np.sort(np.concatenate(distances))
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        tail = (share >= 1e-6) & (share <= 1e-4) & (ordered > 0)
        exponent, offset = np.polyfit(np.log(ordered[tail]), np.log(share[tail]), 1)
        print(f"{kind}: scale {np.exp(-offset / exponent):.3f}, exponent {exponent:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idx", type=Path)
    parser.add_argument("icons", type=Path)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    fashion, test, icons = read_idx(options.idx, "train"), read_idx(options.idx, "t10k"), read_icons(options.icons)
    if options.fit:
        print_fit(fashion[:8000], test)
        return
    for name, value in measure_costs(fashion, icons):
        print(f"{name} | {value}")
    for title, issued, strangers in (
        ("Fashion-MNIST", fashion[:ISSUED], test),
        ("icons", icons[: len(icons) // 2], icons[len(icons) // 2 :]),
    ):
        print(f"{title}: {len(issued)} issued; found | another found")
        for name, value in measure_recovery(issued, strangers):
            print(f"{name} | {value}", flush=True)


if __name__ == "__main__":
    main()
