"""
Fill the pages below docs/reference from the code when the documentation is built; mkdocs.yml names this file as a hook.

A line `{{ name }}` of a page is replaced by the result of that function in TABLES.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import click
import jupytext
import msgspec
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from pydantic import AliasChoices

from adloom import errors
from adloom.cli.drift_metrics import DriftMetrics
from adloom.cli.experiment_metrics import ExperimentMetrics
from adloom.cli.main import cli
from adloom.config.params import Params
from adloom.config.settings import KERNEL_VARIABLES, Settings
from adloom.data.contracts import CONTRACTS, Column
from adloom.decision_log import record
from adloom.decision_log.log import LogStatistics
from adloom.evaluation import glossary
from adloom.kubeflow import trigger_server
from adloom.serving.api import endpoints, openapi
from adloom.serving.creatives.canary import CanaryMetrics
from adloom.serving.decide.metrics import DecisionMetrics
from adloom.serving.metrics import BatchMetricsCollector, CreativesCollector, RequestMetrics

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "k8s" / "components" / "monitoring" / "alerts.yaml"
LIMITS = {  # keys of JSON Schema for minimum and maximum
    ("minimum", "maximum"): "",
    ("minLength", "maxLength"): " characters",
    ("minItems", "maxItems"): " items",
    ("minProperties", "maxProperties"): " keys",
}
ITEM = r"- |\d+\. "  # start of a list item
Schema = Mapping[str, Any]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the tables of a page and separate its lists."""
    return separate_lists(fill(markdown))


def fill(markdown: str) -> str:
    """Replace every line `{{ name }}` by its table."""
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda match: TABLES[match[1]](), markdown, flags=re.MULTILINE)


def separate_lists(markdown: str) -> str:
    """Put a blank line before each list outside of code: Python-Markdown needs one, GitHub does not."""
    lines: list[str] = []
    in_code = False
    for line in markdown.splitlines():
        if not in_code and re.match(ITEM, line) and lines and re.match(rf"(?!{ITEM})\S", lines[-1]):
            lines.append("")
        in_code ^= line.startswith("```")
        lines.append(line)
    return "\n".join(lines)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Turn every notebook into a page."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        text = jupytext.writes(jupytext.read(notebook.abs_src_path), "md")
        body = text.partition("---\n\n")[2] if text.startswith("---\n") else text
        files.append(File.generated(config, notebook.src_uri.replace(".ipynb", ".md"), content=body))
    return files


def cli_commands() -> str:
    """Return a section with the help of each command."""
    context = click.Context(cli, info_name="adloom", max_content_width=110, terminal_width=110)
    return "\n\n".join(
        f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```"
        for command, context in _commands(cli, context)
    )


def params() -> str:
    """Return a section for each block of params.yaml."""
    schema = Params.model_json_schema()
    definitions = schema["$defs"]
    keys = {_refs(field)[0]: key for key, field in schema["properties"].items() if _refs(field)}
    text = "\n\n".join(
        ["## Top level", _fields(schema, definitions), *_sections(schema["properties"], definitions, keys)]
    )
    return re.sub(r"\[(\w+)\]\(#", lambda match: f"[{keys.get(match[1], match[1])}](#", text)


def settings() -> str:
    """Return a table of the variables of the environment."""
    properties = Settings.model_json_schema(by_alias=False)["properties"]
    rows = [
        (_variables(name), _type(properties[name]), _default(properties[name]), field.description)
        for name, field in Settings.model_fields.items()
    ]
    return (
        _table(("variable", "type", "default", "meaning"), rows).replace(" or null", "").replace("password", "secret")
    )


def kernels() -> str:
    """Return the variables that choose numerical kernels."""
    return ", ".join(f"`{name}`" for name in KERNEL_VARIABLES)


def http_endpoints() -> str:
    """Return the endpoints of the services and of the trigger server."""
    every = {**endpoints.ENDPOINTS, **trigger_server.ENDPOINTS}
    rows = [
        (
            f"`POST {endpoint.path}`",
            endpoint.summary,
            _link(endpoint.request.__name__) if endpoint.request else "none",
            _link(endpoint.response.__name__),
            f"`{endpoint.access}`",
            _size(endpoint.max_bytes),
        )
        for endpoint in every.values()
    ]
    for path, page in openapi.document({})["paths"].items():
        [content] = page["get"]["responses"]["200"]["content"].values()
        rows.append((f"`GET {path}`", page["get"]["summary"], "none", _type(content["schema"]), "none", "none"))
    return _table(("endpoint", "purpose", "request", "response", "scope", "body limit"), rows)


def http_bodies() -> str:
    """Return a section for each body of a request or response."""
    document = openapi.document({**endpoints.ENDPOINTS, **trigger_server.ENDPOINTS})
    return "\n\n".join(_sections(document["paths"], document["components"]["schemas"], {}))


def http_problems() -> str:
    """Return the status codes of errors."""
    return _table(("status", "meaning"), [(f"`{code}`", text) for code, text in openapi.PROBLEMS.items()])


def model_metrics() -> str:
    """Return every metric of the models."""
    rows = [(f"`{metric}`", term.name, term.sentence, term.better) for metric, term in glossary.TERMS.items()]
    return _table(("metric", "name", "meaning", "better"), rows)


def metrics() -> str:
    """Return every metric of the services."""
    numbers: Any = LogStatistics(0, 0, {}, 0, 0, 0, 0.0, 0.0)
    requests = RequestMetrics()
    requests.record("/livez", 200, 0.0)
    decisions = DecisionMetrics(CollectorRegistry(), lambda: [("gan", "1", "digest")], lambda: numbers)
    creatives = CollectorRegistry()
    creatives.register(CreativesCollector(lambda: 0.0))
    rows = [
        (
            f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            _labels(family),
            family.documentation,
        )
        for family in (
            *requests.collect(),
            *decisions.collect(),
            *BatchMetricsCollector({}).collect(),
            *CanaryMetrics().collect(),
            *creatives.collect(),
            *ExperimentMetrics(CollectorRegistry()).collect(),
            *DriftMetrics(CollectorRegistry()).collect(),
        )
    ]
    return _table(("metric", "type", "labels", "meaning"), rows)


def alerts() -> str:
    """Return every alert rule."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["spec"]["groups"]
    rows = [
        (
            f"`{rule['alert']}`",
            rule["labels"]["severity"],
            rule.get("for", "at once"),
            f"`{' '.join(rule['expr'].split())}`",
        )
        for group in groups
        for rule in group["rules"]
    ]
    return _table(("alert", "severity", "after", "expression"), rows)


def tables() -> str:
    """Return a section for each table contract."""
    header = ("column", "type", "required", "allowed", "meaning")
    return "\n\n".join(
        f"## {table}\n\n" + _table(header, [_column(name, column) for name, column in contract.columns.items()])
        for table, contract in CONTRACTS.items()
    )


def records() -> str:
    """Return a section for each line of the decision log."""
    lines, components = msgspec.json.schema_components(get_args(record.Line))
    return "\n\n".join(_sections({"lines": lines}, components, {}, "###"))


def exit_codes() -> str:
    """Return the classes of errors and the exit code of each."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AdloomError)]
    rows = [(f"`{kind.__name__}`", f"`{kind.exit_code}`", kind.__doc__) for kind in kinds]
    return _table(("error", "exit code", "meaning"), rows)


def _table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """Return a Markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """Return a value in one line; escape Markdown outside code."""
    parts = " ".join(str(value or "").split()).split("`")
    return "`".join(
        part if code % 2 else part.replace("|", "\\|").replace("<", "&lt;") for code, part in enumerate(parts)
    )


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield a command and its subcommands, each with the context of its full name."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if below := command.get_command(context, name):
                yield from _commands(below, click.Context(below, context, name))


def _sections(schema: Schema, definitions: Schema, titles: Mapping[str, str], level: str = "##") -> list[str]:
    """Return a section per referenced definition: title, description and fields."""
    return [
        f"{level} {titles.get(name, name)} {{ #{name} }}\n\n{definitions[name].get('description', '')}\n\n"
        + _fields(definitions[name], definitions)
        for name in dict.fromkeys(_in_order(schema, definitions))
    ]


def _in_order(schema: Schema, definitions: Schema) -> Iterator[str]:
    """Yield the names of all definitions that a schema refers to, depth first."""
    for name in _refs(schema):
        yield name
        yield from _in_order(definitions[name], definitions)


def _refs(schema: Schema) -> list[str]:
    return re.findall(r'"\$ref": "[^"]*/(\w+)"', json.dumps(schema))


def _fields(schema: Schema, definitions: Schema) -> str:
    """Return a table of an object's fields."""
    required = schema.get("required", ())
    rows = [
        (
            f"`{name}`",
            _type(field),
            "required" if name in required else _default(field),
            _description(field, definitions),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _type(schema: Schema) -> str:
    """Return a type and its limits in words."""
    limits = ", ".join(_limits(schema))
    return f"{_base_type(schema)} ({limits})" if limits else _base_type(schema)


def _limits(schema: Schema) -> Iterator[str]:
    for (least, most), unit in LIMITS.items():
        if least in schema and most in schema:
            yield f"{schema[least]} to {schema[most]}{unit}"
        elif least in schema:
            yield f"at least {schema[least]}{unit}"
        elif most in schema:
            yield f"at most {schema[most]}{unit}"
    if "exclusiveMinimum" in schema:
        yield f"above {schema['exclusiveMinimum']}"
    if "exclusiveMaximum" in schema:
        yield f"below {schema['exclusiveMaximum']}"


def _base_type(schema: Schema) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(option) for option in options))
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"mapping to {_type(schema['additionalProperties'])}"
    return str(schema.get("format", schema.get("type", "any")))


def _default(schema: Schema) -> str:
    """Return a default as in YAML; an object's defaults are in its own section."""
    default = schema.get("default")
    return "none" if default is None else "its own" if "$ref" in schema else f"`{json.dumps(default)}`"


def _description(schema: Schema, definitions: Schema) -> str:
    """Return the description of a field, of an option of its type, or of its object."""
    descriptions = [part["description"] for part in (schema, *schema.get("anyOf", ())) if "description" in part]
    descriptions += [definitions[name].get("description", "") for name in _refs(schema)]
    return descriptions[0] if descriptions else ""


def _column(name: str, column: Column) -> tuple[str, ...]:
    """Return a column of a contract as a row; valid values come from the errors of its checks."""
    wrong = [str(check.error) for check in column.kind.checks]
    values = [text.removeprefix("not ") if text.startswith("not ") else f"not {text}" for text in wrong]
    return f"`{name}`", f"`{column.kind.dtype}`", "yes" if column.required else "no", ", ".join(values), column.meaning


def _size(size: int) -> str:
    """Return a number of bytes in the largest unit that divides it."""
    return f"{size // 2**20} MiB" if size % 2**20 == 0 else f"{size // 2**10} KiB"


def _link(name: str) -> str:
    return f"[{name}](#{name})"


def _variables(name: str) -> str:
    """Return the variables that set a field, by precedence."""
    alias = Settings.model_fields[name].validation_alias
    variables = alias.choices if isinstance(alias, AliasChoices) else [f"ADLOOM_{name.upper()}"]
    return ", ".join(f"`{variable}`" for variable in variables)


def _labels(family: Metric) -> str:
    return ", ".join(sorted({f"`{label}`" for sample in family.samples for label in sample.labels} - {"`le`"}))


TABLES: Mapping[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        cli_commands,
        params,
        settings,
        kernels,
        http_endpoints,
        http_bodies,
        http_problems,
        metrics,
        model_metrics,
        alerts,
        tables,
        records,
        exit_codes,
    )
}
