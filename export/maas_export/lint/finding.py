"""What the linter says: rules, and findings that break them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The model does not load, or no request to it can succeed."""
    WARNING = "warning"
    """It loads, but does not do what its author wants."""
    NOTE = "note"
    """A state that is normal before the first version is published."""


@dataclass(frozen=True)
class Rule:
    """One thing that the linter looks for.

    Attributes:
        id: how a finding names it, and what ``--ignore`` takes.
        severity: what its findings usually are.
        refused_by: who refuses the model (``Triton``, a backend, ``maas``); empty for what is legal but wrong.
        what: the rule, in a few words.
        why: what happens to him who breaks it.
        mend: what to do.
        is_fixable: whether ``--fix`` mends it, at least in the plain cases.
    """

    id: str
    severity: Severity
    refused_by: str
    what: str
    why: str
    mend: str
    is_fixable: bool = False


def refused(rule_id: str, what: str, why: str, mend: str, *, by: str = "Triton", fixable: bool = False) -> Rule:
    """A rule whose breach keeps the model from loading."""
    return Rule(rule_id, Severity.ERROR, by, what, why, mend, fixable)


def wrong(rule_id: str, what: str, why: str, mend: str, *, fixable: bool = False) -> Rule:
    """A rule whose breach is legal, and wrong."""
    return Rule(rule_id, Severity.WARNING, "", what, why, mend, fixable)


@dataclass(frozen=True)
class Finding:
    """One place where a rule is broken.

    Attributes:
        rule: the broken rule.
        model: the model's name.
        path: the file or folder.
        line: the line of the field in ``path``, from 1; ``None`` where the finding is about the whole file or folder.
        what: what is wrong, where possible in Triton's own words.
        severity: mostly the rule's.
    """

    rule: Rule
    model: str
    path: Path
    line: int | None
    what: str
    severity: Severity

    def to_json(self) -> dict[str, Any]:
        """The finding as ``--json`` prints it."""
        return {
            "file": str(self.path),
            "line": self.line,
            "model": self.model,
            "rule": self.rule.id,
            "severity": self.severity.value,
            "what": self.what,
            "why": self.rule.why,
            "mend": self.rule.mend,
            "fixable": self.rule.is_fixable,
        }
