"""The report of the segments: profiles, pictures, the changes since the champion, and the clusterings compared."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from adloom.arrays import Float64Array, IntegerArray
from adloom.audience import figures, fit
from adloom.audience.identity import measure_churn
from adloom.audience.profiles import Profile, describe_segments
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.audience.user_table import take_rows
from adloom.evaluation.metric import Figure, Metric, Section, Table

Rows = list[list[str | float | int]]

DIMENSIONS = FEATURES.index("recency_days"), FEATURES.index("frequency")
SHOWN_USERS = 4000


def build_sections(
    segmenter: Segmenter,
    batches: Iterable[Float64Array],
    segment: IntegerArray,
    rates: Mapping[str, Metric],
    card: Mapping[str, Any],
) -> list[Section]:
    """
    Return the sections; batches of features (users, 5) and segment (users,) are of the end of the calibration period.

    `rates` has the share of each segment, and of `all`, that bought in the holdout period.
    """
    described = [Profile(**profile) for profile in card.get("profiles", [])]
    profiles = described or describe_segments(batches, segment, segmenter, currency=card.get("currency"))
    doubts: Rows = [[doubt] for doubt in card.get("doubts", [])]
    words: Rows = [[p.segment, f"{p.name}. {p.sentence}"] for p in profiles]
    return [
        *(
            [Table("Doubts about the segments", "Parts of the rule that are not met.", ["doubt"], doubts)]
            if doubts
            else []
        ),
        _tabulate_profiles(profiles, rates),
        Table("Segments in words", "Medians; those of all customers are in brackets.", ["segment", "profile"], words),
        *_draw_profiles(profiles, rates),
        _draw_users(segmenter, batches, segment, profiles),
        *_tabulate_migration(card.get("migration")),
        _tabulate_candidates(card),
        *_draw_diagnostics(card.get("diagnostics", {})),
    ]


def tabulate_prediction(metrics: Mapping[str, Metric]) -> Table:
    """Return the AUC of segments next to recency alone and gradient boosting."""
    names = {
        "segment_rate_auc": "rate of the segment",
        "recency_auc": "days since the last purchase alone",
        "boosting_auc": "gradient boosting on all five features",
    }
    rows: Rows = [
        [label, metrics[name].value, f"{metrics[name].low:.3f} to {metrics[name].high:.3f}"]
        for name, label in names.items()
        if name in metrics
    ]
    caption = (
        "How well each tells later buyers from others in the holdout period (AUC, 0.5 is chance). All learn from one "
        "half of the customers and are measured on the other. The gate compares the segments with the better "
        "of the two."
    )
    return Table("Prediction compared", caption, ["predictor", "AUC", "95 % interval"], rows)


def _tabulate_profiles(profiles: Sequence[Profile], rates: Mapping[str, Metric]) -> Table:
    currency = next((p.currency for p in profiles if p.currency), "a currency that the events do not state")
    caption = (
        f"Medians at the end of the calibration period; money is in {currency}. Names compare a segment "
        "with all other customers and with fixed numbers of days. The lift is the share that bought in the holdout "
        "period over that of all customers; the trend is the change of customers since the champion's segment "
        "of that id."
    )
    header = ["segment", "name", "customers", "share", "of value", "last bought, days ago", "purchases", "spent"]
    rows: Rows = [
        [
            p.segment,
            p.name,
            p.users,
            f"{p.share:.0%}",
            "none" if p.value_share is None else f"{p.value_share:.0%}",
            *("none" if x is None else x for x in (p.recency_days, p.frequency, p.monetary, p.tenure_days)),
            _compute_lift(p.segment, rates),
            f"{p.trend['users']:+.0%}" if p.trend else "new",
        ]
        for p in profiles
    ]
    return Table("Profiles", caption, [*header, "first, days ago", "lift", "trend"], rows)


def _compute_lift(segment: str, rates: Mapping[str, Metric]) -> str | float:
    return round(rates[segment].value / rates["all"].value, 2) if segment in rates and rates["all"].value else "none"


def _draw_profiles(profiles: Sequence[Profile], rates: Mapping[str, Metric]) -> list[Section]:
    sections: list[Section] = [
        Figure(
            "Segments at a glance",
            "Customers in each segment, and the median customer of each at the end of the calibration period.",
            partial(figures.draw_overview, profiles),
        ),
        *(
            [
                Figure(
                    "What distinguishes each segment",
                    "Difference between a segment and all others in deviations (Cohen's d): 0.2 is small, 0.8 large.",
                    partial(figures.draw_effects, profiles),
                )
            ]
            if all(profile.effects for profile in profiles)
            else []
        ),
        Figure(
            "Who bought again",
            "Share of each segment that bought in the holdout period, with 95 % intervals; the line is that of all.",
            partial(figures.draw_rates, profiles, rates, rates["all"].value),
        ),
    ]
    if any(profile.journey for profile in profiles):
        caption = (
            "Customers of each segment (row) at two thirds of the calibration period: the share in each segment "
            "(column) at its end."
        )
        sections.append(Figure("Journeys between segments", caption, partial(figures.draw_journeys, profiles)))
    return sections


def _draw_users(
    segmenter: Segmenter, batches: Iterable[Float64Array], segment: IntegerArray, profiles: Sequence[Profile]
) -> Figure:
    shown = fit.draw_sample(len(segment), SHOWN_USERS, 0)
    rows = {profile.segment: row for row, profile in enumerate(profiles)}
    row_of_segment = np.array([rows.get(name, -1) for name in segmenter.names])
    recency, frequency = np.concatenate(take_rows(batches, shown))[:, DIMENSIONS].T
    return Figure(
        "Customers by recency and frequency",
        f"A sample of {len(shown):,} customers, spread a little around their number of purchases.",
        partial(figures.draw_users, recency, frequency, row_of_segment[segment[shown]], profiles),
    )


def _tabulate_migration(migration: Mapping[str, Any] | None) -> list[Section]:
    """Return the changes since the champion, and the users that moved; nothing without a champion."""
    if not migration or migration["champion"] is None:
        return []
    states: Rows = [[c["segment"], c["state"], ", ".join(c["sources"]) or "none"] for c in migration["changes"]]
    flows: Rows = [[f["old"], f["new"], f["users"], f"{f['share']:.1%}"] for f in migration["flows"]]
    changed = (
        f"Segments keep the id of the champion's segment that they share most customers with. "
        f"{measure_churn(migration):.1%} of the {migration['shared']:,} customers in both have another id than before."
    )
    moves = "Customers in both versions by their segment then and now; the share is of the old segment."
    return [
        Table("Segments since the champion", changed, ["segment", "state", "from"], states),
        Table("Customers since the champion", moves, ["old", "new", "customers", "share"], flows),
    ]


def _tabulate_candidates(card: Mapping[str, Any]) -> Table:
    numbers = ("segments", "early_segments", "smallest", "noise", "silhouette", "stability", "lift", "auc", "auc_error")
    header = ["algorithm", "setting", *(n.replace("_", " ") for n in numbers[:-1]), "standard error", "verdict"]
    rows: Rows = [
        [c["algorithm"], c["setting"], *("none" if c.get(n) is None else c[n] for n in numbers), c["verdict"]]
        for c in card["candidates"]
    ]
    caption = (
        f"All measured on the calibration period alone, lift and AUC on its last third. {card.get('rule', '')} The "
        "setting is the number of segments asked for; for DBSCAN it is the share of customers that are cores, which "
        "sets the radius, and for HDBSCAN the smallest cluster as a share of customers. Noise is the share in no "
        "cluster. Stability is measured where the number of segments, now and in the early fit, lets a clustering be "
        "chosen."
    )
    return Table("Clusterings compared", caption, header, rows)


def _draw_diagnostics(diagnostics: Mapping[str, Any]) -> list[Section]:
    """Return the picture of each algorithm that competed."""
    pictures = {
        "kmeans": (
            "K-Means: elbow and silhouette",
            "Where the curve on the left bends, more clusters explain little more.",
            lambda curve: figures.draw_elbow(curve, "mean squared distance"),
        ),
        "gaussian_mixture": (
            "Gaussian mixture: information criterion and silhouette",
            "The criterion (BIC per customer) weighs fit against the number of clusters; less is better.",
            lambda curve: figures.draw_elbow(curve, "BIC per customer"),
        ),
        "agglomerative": (
            "Agglomerative clustering: dendrogram",
            "The last merges of Ward's tree. A long vertical line is a clear group.",
            figures.draw_dendrogram,
        ),
        "density": (
            "DBSCAN and HDBSCAN: reachability",
            "The distance at which each customer joins the ones before. Valleys are clusters, hills are noise.",
            figures.draw_reachability,
        ),
    }
    return [
        Figure(title, caption, partial(draw, diagnostics[name]))
        for name, (title, caption, draw) in pictures.items()
        if name in diagnostics
    ]
