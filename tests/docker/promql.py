"""Which metrics and labels a PromQL expression names, and which a server exports; enough for those under docker/."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

ADDED_BY_PROMETHEUS = frozenset({"instance", "job"})
_SELECTOR = re.compile(r"\b((?:nv|maas)[_:][a-z0-9_:]+|up|ALERTS)\b\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")
_STRING = re.compile(r'"[^"]*"')


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Every metric of an expression, with the labels that it is chosen or grouped by."""
    grouping = {label.strip() for labels in _GROUPING.findall(expression) for label in labels.split(",")}
    ungrouped = _GROUPING.sub(" ", expression)
    chosen = [
        (name, set(_MATCHER.findall(_STRING.sub("", matchers)))) for name, matchers in _SELECTOR.findall(ungrouped)
    ]
    # A grouping applies to every metric of the expression: it is matched or summed by labels that all of them have.
    return [(name, labels | grouping) for name, labels in chosen]


def exported(text: str) -> dict[str, set[str]]:
    """Every sample name of a scrape, with its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    # Triton's counters have no _total, which the parser adds where the type is counter.
    plain = set(re.findall(r"^(\w+)(?=[{ ])", text, flags=re.MULTILINE))
    return {name if name in plain else name.removesuffix("_total"): labels for name, labels in found.items()}
