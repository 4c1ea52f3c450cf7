"""The dashboard, the alerts and the operator's page speak of metrics that there are, with labels that they have."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import combinations
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from sync_sio import Server
from sync_sio.metrics import PrometheusMetrics
from tests.tools import ROOT

FOLDER = ROOT / "docs" / "observability"
PAGE = (ROOT / "docs" / "observability.md").read_text()
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
DASHBOARD = json.loads((FOLDER / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
RULES = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds."""


@cache
def there() -> dict[str, set[str]]:
    """Return the labels of each metric, by the names that Prometheus stores."""
    metrics = PrometheusMetrics(Server(), CollectorRegistry())
    found: dict[str, set[str]] = {}
    for family in metrics._families.all():
        (metric,) = family.describe()
        labels = set(family._labelnames)
        if metric.type == "histogram":
            found |= {metric.name + "_bucket": labels | {"le"}, metric.name + "_sum": labels, metric.name + "_count": labels}
        else:
            found[metric.name + ("_total" if metric.type == "counter" else "")] = labels
    return found


def labels_in(expression: str) -> set[str]:
    """Return the labels that an expression selects, groups by, or joins on."""
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = [name.strip() for names in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression) for name in names.split(",")]
    return {*selected, *grouped}


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *RULES])
def test_an_expression_speaks_of_what_is_there(expression: str) -> None:
    names = set(re.findall(r"\bsync_sio_\w+", expression))
    assert names and names <= there().keys()
    assert labels_in(expression) <= SCRAPED.union(*(there()[name] for name in names))
    assert "_total" not in expression or "rate(" in expression or "increase(" in expression
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_all_that_is_measured_is_shown() -> None:
    shown = set(re.findall(r"\bsync_sio_\w+", " ".join(EXPRESSIONS)))
    assert there().keys() - shown <= {"sync_sio_handler_seconds_count"}


def test_a_legend_names_labels_that_the_expression_leaves() -> None:
    for target in (target for panel in PANELS for target in panel["targets"]):
        wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert wanted <= labels_in(target["expr"]) - {"job"}, target


def test_panels_have_places_and_numbers_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)

    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["x"] + at["w"] <= 24
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


def test_variables_that_are_used_are_there() -> None:
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([PANELS, DASHBOARD["templating"]]))) - {"__rate_interval", "__all"}
    assert used == names
    for variable in DASHBOARD["templating"]["list"]:
        assert set(re.findall(r"\bsync_sio_\w+", str(variable["query"]))) <= there().keys()


def test_each_rule_says_what_to_do() -> None:
    for rule in (rule for group in ALERTS["groups"] for rule in group["rules"]):
        assert rule["alert"] and rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in PAGE, f"the operator's page does not say what to do about {rule['alert']}"


def test_the_page_lists_all_metrics_and_no_other() -> None:
    listed = re.findall(r"^\| `(sync_sio_\w+)`", PAGE, re.MULTILINE)
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in there()}
    assert sorted(listed) == sorted(bare)
    assert set(re.findall(r"\bsync_sio_\w+", PAGE)) <= bare | there().keys() | {"sync_sio_django", "sync_sio_flask"}
