"""
Check that three runners write the same bytes: DVC, and Kubeflow's components in processes and in containers.

All runners run the pipeline of a small shop at once, each in its own folder; then every artifact is compared. The
segments of a shop with fewer customers are the champion, so that the new ones keep its ids and report the changes.
Only DVC keeps raw tables, so their digests are taken from the prepared tables.

Example: python tests/parity.py            (all three; the image is built by `make image`)
         python tests/parity.py dvc process
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402
from tests.support import shop  # noqa: E402

from adloom import context  # noqa: E402
from adloom.config import params  # noqa: E402
from adloom.config.models import MODELS  # noqa: E402
from adloom.config.params import TABLES  # noqa: E402
from adloom.config.resources import Pipeline  # noqa: E402
from adloom.config.settings import Settings, read_kernel_variables  # noqa: E402
from adloom.errors import ArtifactError  # noqa: E402
from adloom.kubeflow import compiled_pipelines  # noqa: E402
from adloom.registry.base import CHAMPION  # noqa: E402
from adloom.stages import sources_lock  # noqa: E402
from adloom.storage import manifest  # noqa: E402

IMAGE = Pipeline().image
KEY = "0123456789abcdef0123456789abcdef"
CHAMPION_MODEL = Path("champion/models/audience")  # below the scratch folder
ARTIFACTS = {  # {path in DVC: (task in the pipeline, name of its output)}
    **{f"data/dataset/{table}": (f"prepare-{n}", "rows") for n, table in enumerate(TABLES, 1)},
    "models/gan": ("train-gan", "gan"),
    "models/cnn": ("train-cnn", "cnn"),
    "models/lstm": ("train-lstm", "lstm"),
    "models/style": ("train-style", "style"),
    "models/music": ("train-music", "music"),
    "models/audience": ("segment", "audience"),
    "models/recommender": ("segment", "recommender"),
    "models/policy": ("train-policy", "policy"),
    **{f"reports/{name}": ("evaluate", f"reports/{name}") for name in (*MODELS, "report")},
}


def make_champion(folder: Path) -> None:
    """Segment a shop with fewer customers."""
    folder.mkdir()
    values = shop.write_shop(folder, users=120)
    shop.write_params(folder, values | {"ingest": {"events": values["ingest"]["events"]}})
    for stage in ("snapshot", "ingest", "prepare", "segment"):
        command = [Path(sys.executable).with_name("adloom"), stage]
        subprocess.run(
            command, cwd=folder, env=os.environ | _environment(folder), check=True, stdout=subprocess.DEVNULL
        )


def register_champion(model: Path, folder: Path) -> None:
    """Make a model the champion in a runner's registry."""
    registry = context.build_context(Settings(), params.load(folder / "params.yaml").project).registry
    version = registry.register("audience", model, {})
    registry.set_alias("audience", CHAMPION, version.version, "made from fewer customers")


def run_dvc(folder: Path, image: str) -> dict[str, Path]:
    """Run DVC; return the folder of each artifact."""
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run([Path(sys.executable).with_name("adloom"), "run"], check=True)
    return {artifact: folder / artifact for artifact in ARTIFACTS}


def run_processes(folder: Path, image: str) -> dict[str, Path]:
    """Run the compiled pipeline, each task in a process of its own."""
    from kfp import local

    return _pipeline(folder, image, local.SubprocessRunner(use_venv=False))


def run_containers(folder: Path, image: str) -> dict[str, Path]:
    """Run the compiled pipeline, each task in a container without privileges that can write only the folder."""
    from kfp import local

    runner = local.DockerRunner(
        environment=read_kernel_variables()
        | {name: os.environ[name] for name in _environment(folder).keys() - {"ADLOOM_HOME"}},
        mounts=[{"Type": "bind", "Source": str(folder), "Target": str(folder)}],
        working_dir=str(folder),
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": "exec"},
        user=f"{os.getuid()}:{os.getgid()}",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )
    return _pipeline(folder, image, runner)


RUNNERS: dict[str, Callable[[Path, str], dict[str, Path]]] = {
    "dvc": run_dvc,
    "process": run_processes,
    "container": run_containers,
}


def _pipeline(folder: Path, image: str, runner: object) -> dict[str, Path]:
    from kfp import components, local

    arguments = params.load(folder / "params.yaml")
    lock = sources_lock.scan(arguments, context.build_context(Settings(), arguments.project))
    pipeline = compiled_pipelines.load_pipeline("training", ROOT / compiled_pipelines.FOLDER).with_resources(
        arguments.pipeline.model_copy(update={"image": image})
    )
    run = components.load_component_from_text(pipeline.to_yaml())
    local.init(runner, pipeline_root=str(folder / "kfp"), raise_on_error=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the local runner ignores resources
        run(**compiled_pipelines.build_arguments("training", arguments, lock))
    tasks = next((folder / "kfp").iterdir())
    return {artifact: _task(tasks, task) / output for artifact, (task, output) in ARTIFACTS.items()}


def _task(tasks: Path, name: str) -> Path:
    """Return the folder of a task; the first of several tasks of a kind has no number."""
    return tasks / name.removesuffix("-1")


def find_differences(folders: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """Return the differences between runners in order of creation: artifact, file, first byte."""
    differing = []
    for artifact in ARTIFACTS:
        for one, other in combinations(folders, 2):
            here, there = folders[one][artifact], folders[other][artifact]
            if manifest.digest(here) != manifest.digest(there):
                differing.append(
                    f"{artifact}: {one} and {other} differ in {_where(here, there)}{_variables(here, there)}"
                )
    return differing


def raw_digests(folders: Mapping[str, Path]) -> dict[str, str]:
    """Return the digest of each raw table from its prepared table. Raises ArtifactError if DVC's differs."""
    digests = {}
    for table in TABLES:
        prepared = folders[f"data/dataset/{table}"]
        digests[table] = manifest.read(prepared).inputs["raw"]
        raw = prepared.parents[1] / "raw" / table
        if raw.is_dir() and manifest.digest(raw) != digests[table]:
            raise ArtifactError(f"{raw}: has another digest than {prepared} was made from")
    return digests


def _read_past(artifacts: Mapping[str, Path]) -> str | None:
    """Return the digest of the champion that a runner's segments are compared with."""
    migration = (artifacts["models/audience"] / "migration.json").read_text(encoding="utf-8")
    champion: str | None = json.loads(migration)["champion"]
    return champion


def _where(here: Path, there: Path) -> str:
    ours, theirs = manifest.verify(here).files, manifest.verify(there).files
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            if name not in ours or name not in theirs:
                return f"{name}, which only one has"
            pairs = zip((here / name).read_bytes(), (there / name).read_bytes(), strict=False)
            return f"{name}, byte {next((i for i, (a, b) in enumerate(pairs) if a != b), 'count')}"
    return manifest.MANIFEST


def _variables(here: Path, there: Path) -> str:
    """Describe the KERNELS variables that differ between two artifacts, for a message."""
    ours, theirs = manifest.read(here).environment, manifest.read(there).environment
    names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    differing = [f"{name} is {ours.get(name, 'unset')} and {theirs.get(name, 'unset')}" for name in names]
    return "".join(f"; {difference}" for difference in differing)


def _environment(folder: Path) -> dict[str, str]:
    settings = {"ADLOOM_HOME": str(folder / ".adloom"), "ADLOOM_PSEUDONYM_KEY": KEY, "CI": "true"}
    return settings | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "HOME": "/tmp", "OMP_NUM_THREADS": "1"}


def _begin(runner: str, folder: Path, image: str) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    shop.write_params(folder, shop.write_shop(folder))
    command = [sys.executable, __file__, "--run", runner, "--image", image]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=os.environ | _environment(folder), stdout=log, stderr=log)


def compare(runners: list[str], image: str) -> int:
    """Run the runners at once, print the table, and return 0 when all artifacts are equal."""
    with tempfile.TemporaryDirectory(prefix="adloom-parity-") as scratch:
        start = time.monotonic()
        make_champion(Path(scratch) / "champion")
        processes = {runner: _begin(runner, Path(scratch) / runner, image) for runner in runners}
        failed = [runner for runner, process in processes.items() if process.wait() != 0]
        if failed:
            print((Path(scratch) / failed[0] / "log").read_text(encoding="utf-8")[-6000:])
            print(f"parity: {failed[0]} failed; its last lines are above")
            return 1
        folders = {r: yaml.safe_load((Path(scratch) / r / "places.yaml").read_text(encoding="utf-8")) for r in runners}
        artifacts = {runner: {name: Path(path) for name, path in paths.items()} for runner, paths in folders.items()}
        print(f"{'artifact':26}" + "".join(f"{runner:14}" for runner in runners))
        for artifact in ARTIFACTS:
            print(f"{artifact:26}" + "".join(f"{manifest.digest(artifacts[r][artifact])[:12]:14}" for r in runners))
        raw = {runner: raw_digests(paths) for runner, paths in artifacts.items()}
        for table in TABLES:
            print(f"{f'raw digest of {table}':26}" + "".join(f"{raw[r][table][:12]:14}" for r in runners))
        other = [f"raw {table} differs" for table in TABLES if len({raw[r][table] for r in runners}) > 1]
        other += find_differences(artifacts)
        champion = manifest.digest(Path(scratch) / CHAMPION_MODEL)
        other += [f"{r}: segment did not read the champion" for r in runners if _read_past(artifacts[r]) != champion]
        print("\n".join(other) or f"all {len(ARTIFACTS)} artifacts equal, {time.monotonic() - start:.0f} s")
        return bool(other)


def main() -> int:
    """Compare the runners, or run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runners", nargs="*", metavar="runner", help=f"of {', '.join(RUNNERS)}; default: all")
    parser.add_argument("--image", default=IMAGE, help="image of the containers")
    parser.add_argument("--run", choices=RUNNERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.runners) - RUNNERS.keys():
        parser.error(f"no such runner: {', '.join(unknown)}")
    if arguments.run:
        register_champion(Path.cwd().parent / CHAMPION_MODEL, Path.cwd())
        folders = RUNNERS[arguments.run](Path.cwd(), arguments.image)
        Path("places.yaml").write_text(yaml.safe_dump({name: str(path) for name, path in folders.items()}))
        return 0
    return compare(arguments.runners or list(RUNNERS), arguments.image)


if __name__ == "__main__":
    sys.exit(main())
