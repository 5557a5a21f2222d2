"""What differs between two artifacts, or between two persistables, whether or not they have been made.

The params trees come first: they are what the keys are made of. Then what the keys do not know, and what may explain
other results all the same: the code, the versions of the packages, the metrics. It is asked of manifests, and of the
class where there is none yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from .. import _source
from .._differences import NOTHING, Difference, differences, differences_of_values
from .._text import number, printable
from ..artifacts import read_manifest
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, ManifestVersionError, PersistableError
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..params import plain_numbers, readable
from ..stores import Store
from .nodes import key_of, readable_params, readable_tree
from .sides import Side, artifact_of

__all__ = ["Diff", "diff", "json_tree", "read_tree"]

_GROUPS: Final = ("params", "upstreams", "code", "packages", "metrics")


@dataclass(frozen=True)
class Diff:
    """What differs between two artifacts; false if nothing does.

    Attributes
    ----------
    before, after : str
        Payload name and key of the two.
    differences : tuple of Difference
        Of the params trees: params, upstreams, and versions of classes, by their paths.
    others : tuple of Difference
        What enters no key: ``code.<part>`` (digests), ``packages.<name>``, ``packages.python``, ``metrics.<name>``.
    upstream_paths : frozenset of str
        The paths among the differences that name an upstream, and not a param: ``data``, ``feat.raw``.
    """

    before: str
    after: str
    differences: tuple[Difference, ...]
    others: tuple[Difference, ...]
    upstream_paths: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.differences or self.others)

    def groups(self) -> dict[str, list[str]]:
        """Return the differences as lines of text, by group: params, upstreams, code, packages, metrics."""
        found: dict[str, list[str]] = {name: [] for name in _GROUPS}
        for difference in self.differences:
            found["upstreams" if difference.path in self.upstream_paths else "params"].append(str(difference))
        for path, before, after in self.others:
            group, _, name = path.partition(".")
            if group == "code":
                what = "is new" if before is NOTHING else "is gone" if after is NOTHING else "changed"
                found[group].append(f"{printable(name, 200)} {what}")
            elif group == "metrics" and number(before) != number(after):
                found[group].append(f"{printable(name, 200)}: {_measured(before)} -> {_measured(after)}")
            else:
                found[group].append(str(Difference(name, before, after)))
        return {name: lines for name, lines in found.items() if lines}

    def __str__(self) -> str:
        if not self:
            return self._nothing()
        lines = [f"{self._short(self.before)} -> {self._short(self.after)}"]
        for name, texts in self.groups().items():
            lines += [f"  {name}", *(f"    {text}" for text in texts)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "differences": [difference.to_dict() for difference in self.differences],
            "others": [difference.to_dict() for difference in self.others],
        }

    def _repr_html_(self) -> str:
        from .._html import card, rows, title

        heading = title(f"{self._short(self.before)} -> {self._short(self.after)}")
        if not self:
            return card(heading, pale=self._nothing())
        return card(heading, *(rows([name], [[text] for text in texts]) for name, texts in self.groups().items()))

    def _nothing(self) -> str:
        if self.before == self.after:
            return f"{self._short(self.before)} is the same on both sides: nothing differs."
        both = f"{self._short(self.before)} and {self._short(self.after)}"
        return f"{both}: nothing that is written down differs, though the keys do."

    @staticmethod
    def _short(name_and_key: str) -> str:
        name, _, key = name_and_key.rpartition(" ")
        return f"{printable(name, 100)} {printable(key[:8])}"


def _measured(value: Any) -> str:
    return repr(value) if value is NOTHING else number(value)


@dataclass(frozen=True)
class _Told:
    """One side, as far as it can be told."""

    key: ArtifactKey
    tree: Mapping[str, Any] | None
    root: Mapping[str, Any]  # the tree without what is behind the upstreams
    manifest: Manifest | None
    code: Mapping[str, Any]


def diff(a: Side, b: Side) -> Diff:
    """Return what differs between two persistables, or two artifacts, or one of each.

    Parameters
    ----------
    a, b : Persistable, Record, or tuple of Store and ArtifactKey
        A persistable need not have been made; what its manifest would say is then left out, but for the code.

    Raises
    ------
    ArtifactNotFoundError
        If there is no artifact under a key.
    ParamsError
        If a persistable's params cannot be fingerprinted.
    TypeError
        If one is something else.

    Examples
    --------
    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> from persistable import Persistable, PersistableParams
    >>> @dataclass
    ... class DataParams(PersistableParams):
    ...     n: int
    >>> class DataP(Persistable[list[int], DataParams]):
    ...     def _generate_payload(self):
    ...         return list(range(self.params.n))
    >>> data_dir = tempfile.mkdtemp()
    >>> print(diff(DataP(data_dir, DataParams(n=100)), DataP(data_dir, DataParams(n=200))))  # doctest: +ELLIPSIS
    data_p ... -> data_p ...
      params
        n: 100 -> 200
    """
    mine, theirs = _told(a), _told(b)
    if mine.tree is not None and theirs.tree is not None:
        before, after = mine.tree, theirs.tree
    else:
        before, after = mine.root, theirs.root
    found = tuple(differences(before, after))
    upstreams = frozenset(one.path for one in found if _is_upstream(one.path, before, after))
    others = tuple(_others(mine, theirs))
    one, other = (f"{side.key.payload_name} {side.key}" for side in (mine, theirs))
    return Diff(one, other, found, others, upstreams)


def _is_upstream(path: str, *trees: Mapping[str, Any]) -> bool:
    """Whether a path leads by roles to an upstream, and not to a param of one."""
    for tree in trees:
        todo = [(path, next(iter(tree)))]
        while todo:
            rest, name = todo.pop()
            for role, upstream in tree.get(name, {}).get("dependencies", {}).items():
                if rest == role:
                    return True
                if rest.startswith(f"{role}."):
                    todo.append((rest[len(role) + 1 :], upstream))
    return False


def _told(side: Side) -> _Told:
    side = artifact_of(side)
    if isinstance(side, tuple):
        return _of_artifact(*side)
    key, manifest = key_of(side), None
    with suppress(PersistableError):
        manifest = getattr(side, "manifest", None)
    tree = json_tree(readable_tree(side))
    upstreams = {role: str(key_of(upstream)) for role, upstream in side.tracked_persistable_dependencies.items()}
    names = {role: upstream.payload_name for role, upstream in side.tracked_persistable_dependencies.items()}
    root = _root(key, side.version, readable_params(side.params), names, upstreams)
    if not isinstance(manifest, Manifest):
        return _Told(key, tree, json_tree(root), None, _source.parts_of(type(side)))
    return _Told(key, tree, json_tree(root), manifest, manifest.code)


def _of_artifact(store: Store, key: ArtifactKey) -> _Told:
    tree, manifest = read_tree(store, key), None
    try:
        manifest = read_manifest(store, key)
    except ArtifactNotFoundError:
        if tree is None:
            raise
    except (ArtifactCorruptError, ManifestVersionError):
        if tree is None:  # nothing else says what it was made from
            raise
    if manifest is None:
        name = next(iter(tree or {}))
        return _Told(key, tree, {name: (tree or {})[name]}, None, {})
    used = manifest.dependencies
    names = {role: upstream.payload_name for role, upstream in used.items()}
    keys = {role: upstream.key for role, upstream in used.items()}
    return _Told(key, tree, _root(key, manifest.version, manifest.params, names, keys), manifest, manifest.code)


def _root(
    key: ArtifactKey, version: str | None, params: Mapping[str, Any], names: Mapping[str, str], keys: Mapping[str, str]
) -> dict[str, Any]:
    """Return a tree of the root alone, as far as a manifest tells it: of upstreams, only which ones they are."""
    upstreams = {role: f"{names[role]} {keys[role][:8]}" for role in keys}
    node: dict[str, Any] = {"params": params, "dependencies": upstreams}
    return {key.payload_name: node if version is None else {**node, "version": version}}


def _others(mine: _Told, theirs: _Told) -> Iterator[Difference]:
    if mine.code and theirs.code:
        yield from _of_names("code", mine.code, theirs.code)
    if mine.manifest is None or theirs.manifest is None:
        return
    before, after = mine.manifest.generated, theirs.manifest.generated
    yield from _of_names("packages", _versions(before), _versions(after))
    measured = (readable(plain_numbers(manifest.metrics)) for manifest in (mine.manifest, theirs.manifest))
    yield from differences_of_values("metrics", *measured)


def _of_names(group: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Difference(f"{group}.{name}", before.get(name, NOTHING), after.get(name, NOTHING))


def _versions(generated: Mapping[str, Any]) -> dict[str, Any]:
    return {**(generated.get("packages") or {}), "python": generated.get("python")}


def read_tree(store: Store, key: ArtifactKey) -> dict[str, Any] | None:
    """Return the params tree in ``params.json`` of an artifact; None if there is none, or if it is not what it must be.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    try:
        tree = json.loads(store.read(f"{key.folder}/params.json"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return tree if _is_tree(tree) else None


def json_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a readable tree as it will be read from ``params.json``, so that the two can be compared."""
    return dict(json.loads(json.dumps(tree)))


def _is_tree(tree: Any) -> bool:
    return (
        isinstance(tree, dict)
        and bool(tree)
        and all(
            isinstance(node, dict)
            and isinstance(node.get("params"), dict)
            and isinstance(node.get("dependencies", {}), dict)
            for node in tree.values()
        )
    )
