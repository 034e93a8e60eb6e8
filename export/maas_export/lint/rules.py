"""All rules of the linter. ``docs/lint.md`` shows the same table, and a test holds the two against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maas_export.lint.finding import Rule
from maas_export.lint.rules_of_models import MODEL_RULES
from maas_export.lint.rules_of_parts import PART_RULES

ALL_RULES: tuple[Rule, ...] = (*PART_RULES, *MODEL_RULES)
RULES: Mapping[str, Rule] = {rule.id: rule for rule in ALL_RULES}

_HEADER = "| rule | severity | refused by | what | why | mend |\n|---|---|---|---|---|---|\n"


def rules_table(rules: Iterable[Rule] = ALL_RULES) -> str:
    """The rules as a Markdown table; those that ``--fix`` mends bear an asterisk."""
    return _HEADER + "".join(f"| {' | '.join(_cells(rule))} |\n" for rule in rules)


def _cells(rule: Rule) -> tuple[str, ...]:
    name = f"`{rule.id}`" + ("\\*" if rule.is_fixable else "")
    return name, rule.severity.value, rule.refused_by or "–", rule.what, rule.why, rule.mend
