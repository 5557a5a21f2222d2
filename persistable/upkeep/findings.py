"""Findings: what was found out about an entry of a store, or about the store, and what to do about it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from .._text import amount
from .results import Results

__all__ = ["Finding", "Findings", "Level"]

Level: TypeAlias = Literal["ok", "warning", "fault"]


class Finding(NamedTuple):
    """What was found out about one entry of a store, or about the store.

    Attributes
    ----------
    path : str
        Where it is, relative to the root of the store.
    key, payload_name : str or None
        Which artifact it is, if it is one.
    level : {"ok", "warning", "fault"}
        How bad it is: a fault is what cannot be loaded, or is not what was written.
    problem : str
        What was found and what was expected; "" if all is well.
    remedy : str
        What to do now.
    """

    path: str
    key: str | None
    payload_name: str | None
    level: Level
    problem: str = ""
    remedy: str = ""

    @property
    def subject(self) -> str:
        """What it is about, in short: ``model 3f9a0c12``, or a path."""
        return f"{self.payload_name} {self.key[:8]}" if self.key and self.payload_name else self.path

    @property
    def advice(self) -> str:
        """The problem and its remedy as one text; ``whole`` if there is no problem."""
        problem = self.problem or "whole"
        stop = "." if self.remedy and not problem.endswith((".", "!", "?")) else ""
        return f"{problem}{stop} {self.remedy}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it."""
        return {**self._asdict(), "key": None if self.key is None else str(self.key)}


class Findings(Results[Finding]):
    """What :func:`verify` or :func:`diagnose` has found: a sequence of :class:`Finding`, of what is fine, too.

    Ask ``if findings.faults:``, not ``if findings:``, which asks whether anything was looked at.

    Examples
    --------
    >>> gone = Finding("a/3f9a0c12", "3f9a0c12", "a", "fault", "It is gone.")
    >>> findings = Findings([gone, Finding("b", None, None, "ok")])
    >>> print(findings)
    fault  a 3f9a0c12  It is gone.
    1 fault, 0 warnings, 1 fine
    >>> [finding.key for finding in findings.faults]
    ['3f9a0c12']
    """

    _header = ("level", "where", "what")
    _title = "Findings"

    @property
    def faults(self) -> Findings:
        """What cannot be loaded, or is not what was written; or a promise that the place does not keep."""
        return self._of("fault")

    @property
    def warnings(self) -> Findings:
        """What may be fine, or may not."""
        return self._of("warning")

    @property
    def fine(self) -> Findings:
        """What is as it should be."""
        return self._of("ok")

    def _of(self, level: Level) -> Findings:
        return Findings(finding for finding in self if finding.level == level)

    @property
    def summary(self) -> str:
        """How many faults, warnings, and fine ones."""
        faults, warnings = amount(len(self.faults), "fault"), amount(len(self.warnings), "warning")
        return f"{faults}, {warnings}, {len(self.fine):,} fine"

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON can hold it: how many of each level, and the findings."""
        counts = {"faults": len(self.faults), "warnings": len(self.warnings), "fine": len(self.fine)}
        return {**counts, "findings": [finding.to_dict() for finding in self]}

    def _rows(self) -> list[tuple[str, ...]]:
        told = (finding for finding in self if finding.level != "ok" or finding.problem)
        return [(finding.level, finding.subject, finding.advice) for finding in told]
