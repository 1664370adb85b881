"""
The segmenter as one SQL query for a data warehouse.

sqlglot writes the dialect. The query does the arithmetic of Segmenter in the same order, so that answers are equal. The
last digit of a logarithm may differ between engines; it decides only where two distances agree to 15 digits.
"""

from functools import reduce
from typing import Literal

import numpy as np
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from adloom.audience.assignment import SUPPRESSED, UNSEEN
from adloom.audience.segmenter import FEATURES, LIMIT, Segmenter
from adloom.errors import ConfigError

Dialect = Literal["duckdb", "spark", "bigquery", "snowflake"]

MAX_PROTOTYPES = 400  # columns of distances that engines compile within seconds
_NODES = {exp.Select, exp.Star, exp.From, exp.Table, exp.Identifier}  # of a query of a plain table
_LARGEST = float(np.finfo(np.float64).max)


def write_query(segmenter: Segmenter, dialect: Dialect, table: str) -> str:
    """
    Return a query of user_id, segment and reason of each row of a table with user_id and FEATURES.

    Raises ConfigError when the table's name is invalid or the segmenter has too many prototypes.
    """
    if len(segmenter.prototypes) > MAX_PROTOTYPES:
        raise ConfigError(
            f"segmenter: {len(segmenter.prototypes)} prototypes, SQL allows at most {MAX_PROTOTYPES}; "
            "use `adloom segment-users`, or remove dbscan and hdbscan from segment.algorithms"
        )
    numbers = [exp.alias_(exp.cast(exp.column(name), "double"), name) for name in FEATURES]
    points = [exp.alias_(_scale(segmenter, i), f"x{i}") for i in range(len(FEATURES))]
    reason = exp.alias_(exp.Concat(expressions=[*map(_describe_problem, FEATURES)], safe=True), "reason")
    distances = [exp.alias_(_build_distance(segmenter, i), f"d{i}") for i in range(len(segmenter.prototypes))]
    steps = [  # each a query of the step before
        exp.select("user_id", *numbers).from_(_parse_table(table, dialect)),
        exp.select("user_id", reason, *points),
        exp.select("user_id", "reason", *distances),
        exp.select("*", exp.alias_(_find_least(len(distances)), "nearest")),
        exp.select("user_id", "reason", exp.alias_(_choose(segmenter), "segment")),
    ]
    query = exp.select("user_id", *_hide_suppressed()).from_(f"segment_step_{len(steps)}")
    for number, step in enumerate(steps, 1):
        query = query.with_(f"segment_step_{number}", step if number == 1 else step.from_(f"segment_step_{number - 1}"))
    return query.sql(dialect=dialect, pretty=True)


def _parse_table(table: str, dialect: Dialect) -> exp.Table:
    try:
        statements = sqlglot.parse(f"SELECT * FROM {table}", dialect=dialect)  # noqa: S608 - never run; checked below
    except SqlglotError:
        statements = []
    nodes = [node for statement in statements if statement for node in statement.walk()]
    tables = [node for node in nodes if isinstance(node, exp.Table)]
    if {*map(type, nodes)} != _NODES or len(tables) != 1:
        raise ConfigError(f"--table {table!r}: expected the name of a table in {dialect}, such as shop.features")
    return tables[0]


def _to_double(value: float) -> exp.Cast:
    """Return a double; a plain decimal literal is a decimal in some engines."""
    return exp.cast(exp.Literal.string(repr(value)), "double")


def _is_valid(name: str) -> exp.Expr:
    """Return whether a feature is from 0 and finite; NaN is not, in engines that sort it last and in others."""
    return exp.column(name).between(exp.cast(exp.Literal.number(0), "double"), _to_double(_LARGEST))


def _scale(segmenter: Segmenter, column: int) -> exp.Expr:
    name, scale = FEATURES[column], segmenter.scale
    mean, deviation = float(scale.mean[column]), float(scale.deviation[column])
    median = float(scale(np.full((1, len(FEATURES)), np.nan))[0, column])
    logarithm = exp.Ln(this=exp.paren(exp.column(name) + _to_double(1.0)))
    scaled = exp.paren(logarithm - _to_double(mean)) / _to_double(deviation)
    limited = exp.Least(
        this=exp.Greatest(this=scaled, expressions=[_to_double(-LIMIT)]), expressions=[_to_double(LIMIT)]
    )
    return exp.case().when(_is_valid(name), limited).else_(_to_double(median))


def _build_distance(segmenter: Segmenter, prototype: int) -> exp.Expr:
    """Return the distance in the order of `find_nearest`, so that sums round alike."""
    differences = [
        exp.paren(exp.column(f"x{i}") - _to_double(value))
        for i, value in enumerate(segmenter.prototypes[prototype].tolist())
    ]
    squares: list[exp.Expr] = [difference * difference.copy() for difference in differences]
    if segmenter.weights is not None:
        weights = segmenter.weights[prototype].tolist()
        squares = [square * _to_double(weight) for square, weight in zip(squares, weights, strict=True)]
    first = [] if segmenter.offsets is None else [_to_double(float(segmenter.offsets[prototype]))]
    return reduce(lambda total, square: total + square, [*first, *squares])


def _describe_problem(name: str) -> exp.Expr:
    """Return ", <feature> missing", ", <feature> invalid" or an empty text."""
    value, text = exp.column(name), exp.Literal.string
    infinite = value.eq(exp.cast(text("inf"), "double"))
    case = exp.case().when(_is_valid(name), text(""))
    case = case.when(exp.or_(value < 0, infinite), text(f", {name} invalid"))
    if name == "interpurchase_days":  # a user with one purchase has none
        single = exp.and_(_is_valid("frequency"), exp.column("frequency") <= 1)
        case = case.when(single, text(""))
    return case.else_(text(f", {name} missing"))


def _find_least(distances: int) -> exp.Expr:
    """Return the least distance; LEAST takes two numbers or more."""
    columns = [exp.column(f"d{i}") for i in range(distances)]
    return exp.Least(this=columns[0], expressions=columns[1:] or [columns[0].copy()])


def _choose(segmenter: Segmenter) -> exp.Expr:
    """Return the segment of the first nearest prototype, null without a valid feature."""
    ifs = [
        exp.If(this=exp.column(f"d{i}"), true=exp.Literal.string(segmenter.names[segment]))
        for i, segment in enumerate(segmenter.segment)
    ]
    no_feature = exp.and_(*(exp.column("reason").like(f"%, {name} %") for name in FEATURES))
    return exp.case().when(no_feature, exp.null()).else_(exp.Case(this=exp.column("nearest"), ifs=ifs))


def _hide_suppressed() -> tuple[exp.Expr, exp.Expr]:
    """Return the segment, null if suppressed, and the reason, null for a complete row."""
    reason, text = exp.column("reason"), exp.Literal.string
    suppressed = exp.column("segment").eq(text(SUPPRESSED))
    all_missing = "".join(f", {name} missing" for name in FEATURES)
    explained = exp.case().when(suppressed, text(SUPPRESSED)).when(reason.eq(text("")), exp.null())
    explained = explained.when(reason.eq(text(all_missing)), text(UNSEEN))
    listed = exp.Substring(this=reason.copy(), start=exp.Literal.number(3))
    segment = exp.case().when(suppressed.copy(), exp.null()).else_(exp.column("segment"))
    return exp.alias_(segment, "segment"), exp.alias_(explained.else_(listed), "reason")
