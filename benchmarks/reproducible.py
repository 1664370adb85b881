"""Run the pipeline twice with the same data, params and seed, and compare the digest of every artifact.

    python benchmarks/reproducible.py            # the shipped params, about 15 minutes on 2 cores
    python benchmarks/reproducible.py --small    # two epochs of everything, about 4 minutes

Prints one row per artifact: the digests of both runs, and whether they are equal.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from adloom.storage import manifest

ROOT = Path(__file__).parents[1]
ADLOOM = Path(sys.executable).parent / "adloom"
SMALL = {
    "train_gan": {"epochs": 2, "steps_per_epoch": 20},
    "train_cnn": {"epochs": 1, "steps_per_epoch": 40},
    "train_lstm": {"epochs": 2, "steps_per_epoch": 20},
}


def run(folder: Path, small: bool) -> dict[str, str]:
    """Run all stages in a folder; return {artifact path: digest}."""
    subprocess.run([ADLOOM, "init", folder], check=True, stdout=subprocess.DEVNULL)
    home = ROOT / ".adloom" / "downloads"
    if home.is_dir():
        shutil.copytree(home, folder / ".adloom" / "downloads")
    if small:
        params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
        for block, values in SMALL.items():
            params[block] |= values
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    subprocess.run([ADLOOM, "run"], cwd=folder, check=True)
    artifacts = sorted(
        path.parent for top in ("data", "models", "reports") for path in (folder / top).rglob("manifest.json")
    )
    return {str(path.relative_to(folder)): manifest.digest(path) for path in artifacts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="train two epochs of everything")
    small = parser.parse_args().small
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first, second = run(Path(one), small), run(Path(two), small)
    print(f"\n{'artifact':28} {'first':14} {'second':14} equal")
    for artifact in sorted(first | second):
        digests = [run.get(artifact, "—") for run in (first, second)]
        print(f"{artifact:28} {digests[0][:12]:14} {digests[1][:12]:14} {'yes' if digests[0] == digests[1] else 'NO'}")
    sys.exit(first != second)


if __name__ == "__main__":
    main()
