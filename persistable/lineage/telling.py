"""What is said of an artifact: whether it is there, why not, and what would happen. The words, and their forms.

:mod:`persistable.lineage.explanation` finds out; here it is put as text, as a line for a log, as JSON, and as a card.
The first line is the verdict. All that comes from a store is shown harmlessly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from .._differences import Difference
from .._text import age, duration, printable, size
from ..manifest import Manifest
from .nearest import told
from .states import REMADE, listed, named

__all__ = ["Explanation", "Failure", "Made", "Neighbour", "State", "Upstream"]

State: TypeAlias = Literal[
    "hit", "stale", "insufficient", "corrupt", "newer", "generating", "miss", "whole", "failed", "unfinished"
]

_SHOWN: Final = 10  # differences, changes
_NAMED: Final = 3  # upstreams of one state
_LONGEST: Final = 300  # characters of a remark

_HOW_FAR: Final = "{} there; whether it goes far enough shows when it is asked"
_OF_UPSTREAMS: Final = {
    "missing": ("would be made too", "would be made too"),
    "corrupt": ("is corrupt, and would be made again", "are corrupt, and would be made again"),
    "generating": ("is being made, and would be waited for", "are being made, and would be waited for"),
    "newer": ("was written by a newer persistable", "were written by a newer persistable"),
    "unreachable": ("is out of reach", "are out of reach"),
    "extendable": (_HOW_FAR.format("is"), _HOW_FAR.format("are")),
    "remade": REMADE,
    "grown": ("has grown since", "have grown since"),
    "gone": ("is gone", "are gone"),
    "unopened": ("was not opened, or not persisted then", "were not opened, or not persisted then"),
    "damaged": ("is corrupt", "are corrupt"),
}
"""State of an upstream -> what is said of one, and of several."""


@dataclass(frozen=True)
class Made:
    """Who made an artifact, when, in how long, and what it is, as far as its manifest says.

    Attributes
    ----------
    at : str or None
        When, in UTC.
    seconds : float or None
        How long it took.
    user, host : str or None
        By whom, and where.
    size : int or None
        Of the payload, in bytes.
    summary : str
        A line about the payload.
    """

    at: str | None = None
    seconds: float | None = None
    user: str | None = None
    host: str | None = None
    size: int | None = None
    summary: str = ""

    @classmethod
    def of(cls, manifest: Manifest) -> Made:
        """Return what a manifest says. A strange one says less."""
        made, payload = manifest.generated, manifest.payload
        if not isinstance(made, dict):
            made = {}
        texts = {name: value if isinstance(value := made.get(name), str) else None for name in ("at", "user", "host")}
        seconds, length = made.get("seconds"), payload.get("size")
        return cls(
            **texts,
            seconds=float(seconds) if isinstance(seconds, int | float) else None,
            size=length if isinstance(length, int) else None,
            summary=str(payload.get("summary", "")),
        )

    def __str__(self) -> str:
        by = f" by {self.user or '?'}@{self.host or '?'}" if self.user or self.host else ""
        when = f" {age(self.at)}" if self.at else ""
        took = f" in {duration(self.seconds)}" if self.seconds is not None else ""
        return printable(f"made{when}{by}{took}", _LONGEST)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Neighbour:
    """An artifact of the same name, and what differs.

    Attributes
    ----------
    key : str
        Which artifact.
    state : str
        ``"whole"``, ``"corrupt"``, ``"newer"``.
    made : Made or None
        Who made it when, as far as its manifest can be read.
    differences : tuple of Difference
        From it to the artifact that is explained.
    said : str
        What differs as a log says it, where the params cannot be compared any more.
    """

    key: str
    state: str
    made: Made | None
    differences: tuple[Difference, ...]
    said: str = ""

    def __str__(self) -> str:
        state = "" if self.state == "whole" else f", {self.state}"
        return f"{self.key[:8]}{f', {self.made}' if self.made is not None else ''}{state}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "key": self.key,
            "state": self.state,
            "made": self.made.to_dict() if self.made is not None else None,
            "differences": [difference.to_dict() for difference in self.differences],
            "said": self.said,
        }


@dataclass(frozen=True)
class Upstream:
    """An upstream, and how it is.

    Attributes
    ----------
    payload_name, key : str
        Which one.
    state : str
        ``"whole"``; of what would have to be made: ``"missing"``, ``"corrupt"``, ``"generating"``, ``"extendable"``
        (whole, and it shows when it is asked whether it goes far enough); of what was used: ``"remade"`` (with other
        content), ``"grown"``, ``"gone"``, ``"damaged"``, ``"unopened"``; of both: ``"outdated"`` (made from content
        that is no more), ``"newer"``, ``"unreachable"``; ``"behind"``: an upstream of an upstream, for its code.
    role : str
        The role that it has, or the roles that lead to it: ``feat.raw``.
    why : str
        Why it is outdated.
    changes : tuple of str
        What has changed in the code of its class since it was made.
    """

    payload_name: str
    key: str
    state: str
    role: str = ""
    why: str = ""
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return named(self.payload_name, self.key, self.role)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**vars(self), "changes": list(self.changes)}


@dataclass(frozen=True)
class Failure:
    """The last generation that raised: when (UTC), and the error."""

    at: str
    error: str


@dataclass(frozen=True)
class Explanation:
    """What ``load_generate()`` would do, or how an artifact lies in a store, and why.

    Attributes
    ----------
    state : str
        ``"hit"``, ``"stale"`` (a hit, made by other code), ``"insufficient"``, ``"corrupt"``, ``"newer"``,
        ``"generating"`` (by somebody else) or ``"miss"``. Of an artifact without its class: ``"whole"``,
        ``"corrupt"``, ``"newer"``, ``"generating"``, ``"failed"`` or ``"unfinished"``.
    payload_name, key : str
        Which artifact.
    verdict : str
        The same in words.
    remarks : tuple of str
        What else there is to say.
    made : Made or None
        Who made the artifact when, if there is one.
    changes : tuple of str
        What has changed in the code since.
    nearest : tuple of Neighbour
        For a miss, the nearest artifacts of that name; for an artifact, the nearest one that was made before it.
    upstreams : tuple of Upstream
        For a miss, what it would be made from; for an artifact, what it was made from.
    failed : Failure or None
        The last generation that raised.
    remedy : str
        What to make again, in which order, if something is outdated.
    """

    state: State
    payload_name: str
    key: str
    verdict: str
    remarks: tuple[str, ...] = ()
    made: Made | None = None
    changes: tuple[str, ...] = ()
    nearest: tuple[Neighbour, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    failed: Failure | None = None
    remedy: str = ""

    @property
    def one_line(self) -> str:
        """The verdict, and the first reason for it, in one line."""
        reason = ""
        if self.nearest and self.state == "miss":
            reason = f"; it is {told(self.nearest[0].key, self.nearest[0].differences)}"
        elif self.changes:
            reason = f": {', '.join(_cut('', self.changes, _NAMED))}"
        elif self.failed is not None:
            reason = f": {self.failed.error}"
        elif self.state == "corrupt" and self.remarks:
            reason = f": {self.remarks[0]}"
        return printable(f"{self._name}: {self.verdict}{reason}", 2 * _LONGEST)

    @property
    def _name(self) -> str:
        return named(self.payload_name, self.key)

    def __str__(self) -> str:
        return "\n".join([f"{self._name}: {printable(self.verdict, _LONGEST)}", *self._lines()])

    def __repr__(self) -> str:
        return f"<Explanation: {self.one_line}>"

    def _lines(self) -> Iterator[str]:
        if self.made is not None:
            what = f", {size(self.made.size)}" if self.made.size is not None else ""
            kind = f" ({printable(self.made.summary, 80)})" if self.made.summary else ""
            yield f"  {self.made}{what}{kind}"
        yield from _cut("    ", self.changes)
        yield from (f"  {printable(remark, _LONGEST)}" for remark in self.remarks)
        yield from self._lines_of_nearest()
        if upstreams := "; ".join(self._of_upstreams()):
            yield f"  upstreams: {upstreams}"
        if self.remedy:
            yield f"  to make it from what is there now: {self.remedy}"
        if self.failed is not None:
            yield f"  failed before: {age(self.failed.at)}, {printable(self.failed.error, 200)}"

    def _lines_of_nearest(self) -> Iterator[str]:
        if not self.nearest:
            return
        first, *others = self.nearest
        label = "nearest" if self.state in ("miss", "failed") else "nearest before it"
        yield f"  {label}: {first}"
        yield from _cut("    ", [str(difference) for difference in first.differences])
        if first.said:
            yield f"    {printable(first.said, _LONGEST)} (as its log says)"
        elif first.differences:
            yield "    everything else is the same"
        else:
            yield "    all that is written down is the same; the class of its params may have had another name"
        for other in others:
            yield f"  near too: {other}: {'; '.join(_cut('', [str(one) for one in other.differences], _NAMED))}"

    def _of_upstreams(self) -> Iterator[str]:
        by_state: dict[str, list[Upstream]] = {}
        for upstream in self.upstreams:
            if upstream.state == "outdated":
                yield self._of_outdated(upstream)
            elif upstream.state != "behind":
                by_state.setdefault(upstream.state, []).append(upstream)
        whole = by_state.pop("whole", [])
        if self.state != "whole":
            by_state.pop("unopened", None)  # for one that is loaded, it makes no difference
        for state, found in by_state.items():
            yield f"{_names(found)} {_OF_UPSTREAMS[state][len(found) > 1]}"
        if len(whole) == len(self.upstreams) and whole and self.state == "whole":
            yield "as they were used"
        elif whole and self.state == "miss" and not by_state:
            yield f"{_names(whole)} {'is' if len(whole) == 1 else 'are'} there"
        if changed := [upstream for upstream in self.upstreams if upstream.changes]:
            was = "it was" if len(changed) == 1 else "they were"
            names = listed([named(upstream.payload_name, upstream.key) for upstream in changed])
            yield f"the code of {names} has changed since {was} made"

    def _of_outdated(self, upstream: Upstream) -> str:
        if self.state in ("hit", "stale", "whole"):
            return f"outdated through {named(upstream.payload_name, upstream.key)}: {upstream.why}"
        return f"{upstream} is there, but outdated: {upstream.why}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "payload_name": self.payload_name,
            "key": self.key,
            "state": self.state,
            "verdict": self.verdict,
            "remarks": list(self.remarks),
            "made": self.made.to_dict() if self.made is not None else None,
            "changes": list(self.changes),
            "nearest": [neighbour.to_dict() for neighbour in self.nearest],
            "upstreams": [upstream.to_dict() for upstream in self.upstreams],
            "failed": vars(self.failed) if self.failed is not None else None,
            "remedy": self.remedy,
        }

    def _repr_html_(self) -> str:
        from .._html import card, escape, title

        lines = [
            f"<div style='padding-left:{(len(line) - len(line.lstrip()) - 2) * 8}px'>{escape(line.strip())}</div>"
            for line in self._lines()
        ]
        return card(title(self.payload_name, self.key, self.verdict), *lines)


def _names(upstreams: Sequence[Upstream]) -> str:
    return listed([str(upstream) for upstream in upstreams], _NAMED)


def _cut(indent: str, lines: Sequence[str], most: int = _SHOWN) -> Iterator[str]:
    yield from (f"{indent}{printable(line, _LONGEST)}" for line in lines[:most])
    if len(lines) > most:
        yield f"{indent}and {len(lines) - most:,} more"
