"""The compiled pipelines match their sources and dvc.yaml: the same stages, edges and parameters."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format  # type: ignore[import-untyped]
from kfp import dsl
from tests.parity import ARTIFACTS
from tests.support import artifact_inputs, workflow_size

from adloom.cli.stages import STAGES
from adloom.config import params
from adloom.config.resources import COMPONENTS, Pipeline, PodResources, Toleration
from adloom.kubeflow import compiled_pipelines
from adloom.kubeflow.compiled_pipelines import CompiledPipeline, stage_name
from pipelines.__main__ import compile_pipelines

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / compiled_pipelines.FOLDER
DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
OUTSIDE = {"snapshot", "register", "finish", "drift"}  # they depend on other systems, so DVC does not run them
SNAPSHOTS = {"sources.lock", "models/audience.champion"}  # in the pipeline, the digests of `snapshot`
TUNING = {"propose_trials", "tune_trial", "summarize_trials"}  # `adloom tune` on a laptop
FUSED = {  # {task: stages that it runs}
    "prepare": {"ingest", "prepare"},
    "segment": {"segment", "recommend"},
    "evaluate": {"evaluate", "report"},
}
NETWORKED = {"snapshot", "prepare", "register", "score", "drift"}
PATHS = {(task.removesuffix("-1"), output): path for path, (task, output) in ARTIFACTS.items()}


def list_tasks(pipeline: CompiledPipeline) -> dict[str, Any]:
    """Return the tasks inside the exit handler and its loops, by name."""
    dags = [c["dag"]["tasks"] for c in pipeline.pipeline["components"].values() if "dag" in c]
    return {name: task for dag in dags for name, task in dag.items() if "parameterIterator" not in task}


def read_dvc_edges() -> dict[str, tuple[set[str], set[str]]]:
    """Return the inputs and params blocks of each task, derived from its stages in dvc.yaml."""
    result: dict[str, tuple[set[str], set[str]]] = {}
    outputs: dict[str, set[str]] = {}
    for name, stage in list_stages().items():
        task = next((task for task, fused in FUSED.items() if name.partition("@")[0] in fused), name)
        reads, blocks = result.setdefault(task, (set(), set()))
        reads |= {dep.removesuffix("/manifest.json") for dep in stage["deps"] if dep not in SNAPSHOTS}
        blocks |= set(stage["params"])
        outputs.setdefault(task, set()).update(
            next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]
        )
    return {task: (reads - outputs[task], blocks) for task, (reads, blocks) in result.items()}


def list_stages() -> dict[str, Any]:
    """Return the stages of dvc.yaml; evaluate is one stage per model."""
    result = {name: stage for name, stage in DVC.items() if name != "evaluate"}
    each = DVC["evaluate"]
    for model, row in each["foreach"].items():
        text = yaml.safe_dump(each["do"]).replace("${key}", model)
        for key, value in row.items():
            text = text.replace(f"${{item.{key}}}", value)
        result[f"evaluate@{model}"] = yaml.safe_load(text)
    return result


def read_kubeflow_edges() -> dict[str, tuple[set[str], set[str]]]:
    """Return the same for the compiled training pipeline, with the prepare tasks merged."""
    result: dict[str, tuple[set[str], set[str]]] = {}
    for name, task in list_tasks(compiled_pipelines.load_pipeline("training", FOLDER)).items():
        stage = stage_name(name)
        if stage in OUTSIDE:
            continue
        reads, blocks = result.setdefault(stage, (set(), set()))
        sources = [artifact["taskOutputArtifact"] for artifact in task["inputs"].get("artifacts", {}).values()]
        reads |= {PATHS[source["producerTask"], source["outputArtifactKey"]] for source in sources}
        channels = [p.get("componentInputParameter", "") for p in task["inputs"]["parameters"].values()]
        arguments = [name.removeprefix("pipelinechannel--") for name in channels if name]
        found_blocks = {re.sub(r"_(params|creatives|copy|events|impressions|tunes)$", "", name) for name in arguments}
        blocks |= {"gate" if block == "report" else block for block in found_blocks - {"project"}}
    return result


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return compile_pipelines()


@pytest.mark.parametrize("name", compiled_pipelines.NAMES)
def test_compiled_pipelines_are_up_to_date(texts: dict[str, str], name: str) -> None:
    assert (FOLDER / f"{name}.yaml").read_text(encoding="utf-8") == texts[name], "run `make fmt`"


def test_dvc_and_kubeflow_have_the_same_stages_edges_and_parameters() -> None:
    assert read_kubeflow_edges() == read_dvc_edges()


def test_every_component_is_a_stage_or_an_external_task() -> None:
    files = {path.stem for path in (ROOT / "components").glob("*.py") if not path.stem.startswith("_")}
    inner = {stage for task, fused in FUSED.items() for stage in fused - {task}}
    assert files == {name.replace("-", "_") for name in STAGES} - inner | OUTSIDE | TUNING
    assert files == COMPONENTS
    used = set().union(
        *(compiled_pipelines.load_pipeline(name, FOLDER).stage_names() for name in compiled_pipelines.NAMES)
    )
    assert used == files


@pytest.mark.parametrize("name", compiled_pipelines.NAMES)
def test_the_arguments_are_the_pipelines_parameters(name: str) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["score"] = {"events": {"uri": "cdnow"}, "to": "s3://shop/scored"}
    arguments = compiled_pipelines.build_arguments(name, params.Params.model_validate(values), None)
    parameters = compiled_pipelines.load_pipeline(name, FOLDER).pipeline["root"]["inputDefinitions"]["parameters"]
    assert arguments.keys() | {"reason"} == parameters.keys()  # the reason is set when a run starts
    assert set(arguments.values()) & {"null"} == set()


def find_source_digests(task: str, everything: dict[str, Any]) -> set[str]:
    """Return the source digests that a task depends on, directly or not."""
    inputs = everything[task]["inputs"]
    references = [p["taskOutputParameter"] for p in inputs.get("parameters", {}).values() if "taskOutputParameter" in p]
    own = {p["outputParameterKey"] for p in references if p["producerTask"] == "snapshot"}
    producers = [a["taskOutputArtifact"]["producerTask"] for a in inputs.get("artifacts", {}).values()]
    return own.union(*(find_source_digests(producer, everything) for producer in producers))


def test_new_orders_and_a_new_key_never_retrain_the_gan() -> None:
    everything = list_tasks(compiled_pipelines.load_pipeline("training", FOLDER))
    assert find_source_digests("train-gan", everything) == find_source_digests("train-cnn", everything) == {"creatives"}
    assert find_source_digests("train-lstm", everything) == {"copy"}
    assert find_source_digests("segment", everything) == {"events", "privacy", "champion"}
    assert find_source_digests("train-policy", everything) == {
        *("impressions", "events", "creatives", "copy", "privacy", "champion"),
    }


@pytest.mark.parametrize("name", compiled_pipelines.NAMES)
def test_no_task_receives_one_artifact_twice(name: str) -> None:
    assert artifact_inputs.find_repeated(compiled_pipelines.load_pipeline(name, FOLDER).pipeline) == []


def test_an_artifact_that_reaches_a_task_by_two_paths_is_reported() -> None:
    @dsl.component(base_image="python")  # type: ignore[untyped-decorator]
    def make(model: dsl.Output[dsl.Model]) -> None: ...

    @dsl.component(base_image="python")  # type: ignore[untyped-decorator]
    def take(model: dsl.Input[dsl.Model], judge: dsl.Input[dsl.Model]) -> None: ...

    @dsl.pipeline  # type: ignore[untyped-decorator]
    def inner(model: dsl.Input[dsl.Model], judge: dsl.Input[dsl.Model]) -> dsl.Model:
        take(model=model, judge=judge)
        return make().outputs["model"]

    @dsl.pipeline  # type: ignore[untyped-decorator]
    def outer() -> None:
        producer = make()
        nested = inner(model=producer.outputs["model"], judge=producer.outputs["model"])
        take(model=nested.output, judge=producer.outputs["model"])

    repeated = artifact_inputs.find_repeated(json_format.MessageToDict(outer.pipeline_spec))
    assert repeated == ["take takes make/model as judge and model"]


def test_an_uncached_run_stays_below_the_server_limit() -> None:
    shipped = params.load(ROOT / "params.yaml")
    compiled = compiled_pipelines.load_pipeline("training", FOLDER).with_resources(shipped.pipeline)
    sizes = workflow_size.tasks(compiled, compiled_pipelines.build_arguments("training", shipped, None))
    assert workflow_size.estimate(sizes.values()) <= workflow_size.LIMIT


def test_the_size_estimate_matches_a_measured_run() -> None:
    record = json.loads((ROOT / "tests" / "data" / "measured_run.json").read_text(encoding="utf-8"))
    sizes = {name: workflow_size.Task(*row) for name, row in record["tasks"].items()}
    run, measured = sizes.values(), record["measured"]
    assert workflow_size.NODES * sum(task.runs for task in run) + workflow_size.AROUND == measured["nodes"]
    for part in ("component", "container"):
        size = workflow_size.DRIVERS * sum(getattr(task, part) for task in run)
        assert size == pytest.approx(measured[part], rel=0.01)
    patches = workflow_size.PATCHES * sum(task.patch for task in run)
    assert patches == pytest.approx(measured["pod-spec-patch"], rel=0.01)
    assert sizes["register"].patch == pytest.approx(measured["patch of register"], rel=0.16)
    spec = workflow_size.SPEC * sum(task.component + task.container + task.pod for task in run)
    assert spec == pytest.approx(measured["spec"], rel=0.01)
    assert workflow_size.estimate(run) == pytest.approx(measured["object"], rel=0.01)


@pytest.mark.parametrize("name", compiled_pipelines.NAMES)
def test_only_tasks_without_external_state_are_cached(name: str) -> None:
    pipeline = compiled_pipelines.load_pipeline(name, FOLDER)
    everything = {**list_tasks(pipeline), **pipeline.pipeline["root"]["dag"]["tasks"]}
    fresh = {stage_name(n) for n, task in everything.items() if not task.get("cachingOptions", {}).get("enableCache")}
    last = {"training": {"register"}, "scoring": {"score", "drift"}, "tuning": set()}
    assert fresh - {"exit_handler"} == {"snapshot", "finish", *last[name]}


@pytest.mark.parametrize("name", compiled_pipelines.NAMES)
def test_tasks_that_need_the_network_are_retried(name: str) -> None:
    for task_name, task in list_tasks(compiled_pipelines.load_pipeline(name, FOLDER)).items():
        retries = task.get("retryPolicy", {})
        networked = stage_name(task_name) in {
            *NETWORKED,
            "train_gan",
            "train_cnn",
            "train_lstm",
            "train_style",
            "train_music",
            "tune_trial",
        }
        assert bool(retries) == networked
        assert not networked or (retries["maxRetryCount"], retries["backoffDuration"]) == (3, "30s")


@pytest.mark.parametrize("name", compiled_pipelines.NAMES)
def test_secrets_are_referenced_by_name_only(name: str) -> None:
    pipeline = compiled_pipelines.load_pipeline(name, FOLDER)
    pods = pipeline.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    with_key = {
        label
        for label, pod in pods.items()
        for secret in pod.get("secretAsEnv", [])
        for key in secret["keyToEnv"]
        if key["envVar"] == "ADLOOM_PSEUDONYM_KEY"
    }
    lanes = {
        "training": ("exec-prepare-3", "exec-prepare-4", "exec-segment"),
        "scoring": ("exec-prepare-2", "exec-prepare-3"),
        "tuning": (),
    }  # tables of users, and the noise of profiles
    assert with_key == {"exec-snapshot", *lanes[name]}
    assert all("env" not in e["container"] for e in pipeline.pipeline["deploymentSpec"]["executors"].values())


def test_a_small_pod_waits_for_a_distributed_training() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["train_gan"]["nodes"] = 2
    values["pipeline"]["stages"]["train_gan"] = {"cpu": "8", "gpu": 1, "timeout_minutes": 90}
    run_params = params.Params.model_validate(values)
    assert compiled_pipelines.distributed_stages(run_params) == {"train_gan"}
    pipeline = compiled_pipelines.load_pipeline("training", FOLDER).with_resources(
        run_params.pipeline, compiled_pipelines.distributed_stages(run_params)
    )
    executors = pipeline.pipeline["deploymentSpec"]["executors"]
    pods = pipeline.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    variables = {entry["name"]: entry["value"] for entry in executors["exec-train-gan"]["container"]["env"]}
    assert variables["ADLOOM_IMAGE"] == run_params.pipeline.image
    assert params.parse(PodResources, variables["ADLOOM_PLACE"]) == run_params.pipeline.resources_for("train_gan")
    assert executors["exec-train-gan"]["container"]["resources"]["resourceCpuLimit"] == "1"
    assert "accelerator" not in executors["exec-train-gan"]["container"]["resources"]
    assert pods["exec-train-gan"]["activeDeadlineSeconds"] == str((90 + compiled_pipelines.SCHEDULING_MINUTES) * 60)
    assert "env" not in executors["exec-train-cnn"]["container"]


def test_stages_have_the_resources_of_the_params() -> None:
    resources = PodResources(
        cpu="4",
        memory="16Gi",
        gpu=1,
        node_selector={"pool": "gpu"},
        tolerations=[Toleration(key="gpu"), Toleration(key="team", value="ads", effect="NoExecute")],
        timeout_minutes=90,
    )
    pipeline_block = Pipeline(image="registry.example/train@sha256:0", stages={"train_gan": resources})
    pipeline = compiled_pipelines.load_pipeline("training", FOLDER).with_resources(pipeline_block)
    executors = pipeline.pipeline["deploymentSpec"]["executors"]
    pods = pipeline.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {"registry.example/train@sha256:0"}
    known = [{"name": "ADLOOM_IMAGE_DIGEST", "value": "sha256:0"}]
    assert all(e["container"]["env"] == known for e in executors.values())
    assert executors["exec-train-gan"]["container"]["resources"] == {
        "resourceCpuRequest": "4",
        "resourceCpuLimit": "4",
        "resourceMemoryRequest": "16Gi",
        "resourceMemoryLimit": "16Gi",
        "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "1"},
    }
    gan = pods["exec-train-gan"]
    assert (gan["activeDeadlineSeconds"], gan["nodeSelector"]) == ("5400", {"labels": {"pool": "gpu"}})
    assert gan["tolerations"] == [
        {"key": "gpu", "effect": "NoSchedule", "operator": "Exists"},
        {"key": "team", "effect": "NoExecute", "operator": "Equal", "value": "ads"},
    ]
    assert "nodeSelector" not in pods["exec-evaluate"]
    assert pipeline.with_resources(Pipeline()) == compiled_pipelines.load_pipeline("training", FOLDER).with_resources(
        Pipeline()
    )


def test_the_exit_task_can_read_runs_and_delete_trainjobs() -> None:
    keys = {"ADLOOM_KFP_ENDPOINT", "MLFLOW_TRACKING_URI", "ADLOOM_WEBHOOK_URL"}
    for name, more in (("training", {"ADLOOM_CHECKPOINT_URI", "AWS_SECRET_ACCESS_KEY"}), ("scoring", set[str]())):
        compiled = compiled_pipelines.load_pipeline(name, ROOT / compiled_pipelines.FOLDER)
        pod = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-finish"]
        sources = [*pod["configMapAsEnv"], *pod["secretAsEnv"]]
        assert keys | more <= {pair["envVar"] for source in sources for pair in source["keyToEnv"]}
