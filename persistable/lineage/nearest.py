"""Which artifacts of a name are nearest to one that is missing, or that is asked about, and what differs.

Nobody needs this to be right in order to be served right: whatever goes wrong here, nothing is said. It is asked on a
miss, and compares those that an index of the store on this machine, if there is one, names as the most similar, and
the newest of those that a short look at the store finds: some hundreds in a folder, as far as they are read in a few
hundredths of a second; and ten elsewhere, where each is a request.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import nlargest
from itertools import islice
from typing import Any, Final, NamedTuple

from .._differences import Difference, differences
from ..keys import KEY, NAME, ArtifactKey, fingerprint
from ..stores import Store
from .comparison import json_tree, read_tree
from .nodes import Node

__all__ = ["Near", "nearest", "of_another_name", "told", "why"]

_FOLDERS: Final = 2_000  # looked at in a folder: some milliseconds, however many there are
_LISTED: Final = 20_000  # files; 20 pages of a bucket's listing
_COMPARED: Final = 10  # artifacts, of which the params are read in any case; elsewhere than in a folder, no more
_READ: Final = 300  # artifacts of a folder
_TRIED: Final = 400  # folders, which may turn out to hold no artifact
_PATIENCE: Final = 0.05  # seconds for reading more than ten
_PATIENCE_OF_A_MISS: Final = 0.02  # where somebody waits for the payload, and not for the reason
_OTHER_NAMES: Final = 200
_FROM_INDEX: Final = 7  # of those that are compared; the others may be too new for the index
_SHOWN: Final = 3  # differences in a line of a log


class Near(NamedTuple):
    """An artifact of the same name, and what differs.

    Attributes
    ----------
    key : ArtifactKey
        Which artifact.
    modified : float
        When its folder, or its ``params.json``, was last written to.
    differences : list of Difference
        From its params tree to the one that was asked about. Empty if only what is not written down differs, such as
        the name of a class.
    """

    key: ArtifactKey
    modified: float
    differences: list[Difference]


def nearest(
    store: Store,
    key: ArtifactKey,
    tree: Mapping[str, Any],
    dependencies: Mapping[str, str] | None = None,
    *,
    until: float | None = None,
    patience: float = _PATIENCE,
) -> list[Near]:
    """Return artifacts of the name of `key`, the ones with the fewest differences first.

    Of equally many, those that differ less: by 1 instead of 1.0, and in no upstream; and of equals, the newest.

    Parameters
    ----------
    store : Store
        Where to look.
    key : ArtifactKey
        What is missing there, or asked about; it is left out.
    tree : mapping
        Its params tree in the readable form, as ``params.json`` has it.
    dependencies : mapping of str to str, optional
        role -> key of its upstreams, as far as they are known.
    until : float, optional
        Only artifacts that have not been written to after this time.
    patience : float
        Seconds after which no more than ten are read; in a folder, there may be more before.
    """
    found: list[tuple[tuple[float, ...], Near]] = []
    with suppress(Exception):
        tree = json_tree(tree)
        most, tries = (_COMPARED, _COMPARED) if store.local_path("") is None else (_READ, _TRIED)
        candidates = list(islice(_candidates(store, key, tree, dependencies or {}, until), tries))
        end = time.perf_counter() + patience
        for digits, modified in candidates:
            if len(found) == most or (len(found) >= _COMPARED and time.perf_counter() > end):
                break
            with suppress(Exception):
                other = ArtifactKey(digits, key.payload_name)
                before = read_tree(store, other)
                if before is not None and _has_manifest(store, other):
                    near = Near(other, modified, differences(before, tree))
                    found.append(((*_distance(near.differences, tree), -modified), near))
    return [near for _, near in sorted(found, key=lambda one: one[0])]


def _distance(unlike: Sequence[Difference], tree: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return how many differences there are, how many of them are more than another type, and are of upstreams."""
    others = sum(not _is_alike(one.before, one.after) for one in unlike)
    roles = next(iter(tree.values())).get("dependencies", {})
    behind = tuple(f"{role}{end}" for role in roles for end in (".", " ("))
    upstreams = sum(one.path in roles or one.path.startswith(behind) for one in unlike)
    return len(unlike), others, upstreams


def _is_alike(one: Any, other: Any) -> bool:
    """Whether two readable values are equal but for their types: 1 and 1.0, a list and a tuple."""
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    """Return a readable value without the marks of its types."""
    while isinstance(value, dict) and len(value) == 1 and (mark := next(iter(value))).startswith("$"):
        value = value[mark]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def why(node: Node, store: Store, keys: Mapping[int, str], tree: Mapping[str, Any]) -> str:
    """Return how a persistable differs from the nearest artifact of its name, as the end of a sentence.

    "" if there is none. If there is one that is the same but for its name, it is that.

    Parameters
    ----------
    node, store : Node, Store
        What is missing, and where.
    keys : mapping of int to str
        ``id(node)`` -> fingerprint, of it and its upstreams.
    tree : mapping
        Its readable params tree.
    """
    with suppress(Exception):
        key = ArtifactKey(keys[id(node)], node.payload_name)
        dependencies = {role: keys[id(upstream)] for role, upstream in node.tracked_persistable_dependencies.items()}
        found = nearest(store, key, tree, dependencies, patience=_PATIENCE_OF_A_MISS)
        if found:
            return f", which is {told(found[0].key, found[0].differences)}"
        other = of_another_name(node, store, tree, dependencies, patience=_PATIENCE_OF_A_MISS)
        if other is not None:
            return f", which is {other.payload_name} {other[:8]} but for the payload's name"
    return ""


def of_another_name(
    node: Node,
    store: Store,
    tree: Mapping[str, Any],
    dependencies: Mapping[str, str],
    patience: float = _PATIENCE,
) -> ArtifactKey | None:
    """Return an artifact that is the same but for its payload name: what is left when a class has been renamed.

    Only in a folder, and only if there are params to tell one thing from another; and not if these are so large that
    a key takes long.
    """
    root, end = store.local_path(""), time.perf_counter() + patience
    with suppress(Exception):
        if root is None or node.params is None or "'sha256'" in repr(next(iter(tree.values()))["params"]):
            return None
        for name in sorted(os.listdir(root)[:_OTHER_NAMES]):
            if time.perf_counter() > end:
                break
            if name != node.payload_name and NAME.fullmatch(name):
                key = ArtifactKey(fingerprint(name, node.version, node.params, dependencies), name)
                if os.path.exists(f"{root}/{key.folder}/manifest.json"):
                    return key
    return None


def told(key: str, unlike: Sequence[Difference]) -> str:
    """Return in one line which artifact is near, and what differs."""
    if not unlike:
        return f"{key[:8]} in all that is written down"
    more = len(unlike) - _SHOWN
    shown = "; ".join(map(str, unlike[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")
    return f"{key[:8]} but for {shown}"


def _candidates(
    store: Store, key: ArtifactKey, tree: Mapping[str, Any], dependencies: Mapping[str, str], until: float | None
) -> Iterator[tuple[str, float]]:
    """Yield keys of artifacts that may be near, and when each was last written to: from the index, then the newest."""
    folder = store.local_path(key.payload_name)
    listed = dict(_of_folder(folder) if folder is not None else _of_list(store, key))
    listed.pop(key, None)
    given = []
    for digits in _of_index(store, key, tree, dependencies):
        modified = listed.pop(digits, None)
        if modified is None and folder is not None:
            with suppress(OSError):
                modified = os.stat(f"{folder}/{digits}").st_mtime
        given.append((digits, modified or 0.0))
    newest = nlargest(_TRIED, listed.items(), key=lambda one: one[1])
    for digits, modified in [*given[:_FROM_INDEX], *newest, *given[_FROM_INDEX:]]:
        if until is None or modified <= until:
            yield digits, modified


def _of_folder(folder: str) -> Iterator[tuple[str, float]]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _FOLDERS):
            if KEY.fullmatch(entry.name):
                with suppress(OSError):  # it may have gone meanwhile
                    yield entry.name, entry.stat().st_mtime


def _of_list(store: Store, key: ArtifactKey) -> Iterator[tuple[str, float]]:
    with_params: set[str] = set()
    with_manifest: dict[str, float] = {}
    with suppress(OSError):
        for path, _, modified in islice(store.list(key.payload_name), _LISTED):
            digits, _, file = path.removeprefix(f"{key.payload_name}/").partition("/")
            if file == "params.json":
                with_params.add(digits)
            elif file == "manifest.json" and KEY.fullmatch(digits):
                with_manifest[digits] = modified
    yield from ((digits, modified) for digits, modified in with_manifest.items() if digits in with_params)


def _has_manifest(store: Store, key: ArtifactKey) -> bool:
    path = store.local_path(f"{key.folder}/manifest.json")
    return path is None or os.path.exists(path)  # elsewhere, the listing has said so


def _of_index(store: Store, key: ArtifactKey, tree: Mapping[str, Any], dependencies: Mapping[str, str]) -> list[str]:
    with suppress(Exception):
        from ..catalog.index import candidates

        params = tree[key.payload_name]["params"]
        found = candidates(store, key.payload_name, params, dependencies, limit=_COMPARED)
        return [digits for digits in found if digits != key and KEY.fullmatch(digits)]
    return []
