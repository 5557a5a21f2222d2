"""How an artifact came to be as it lies in a store: who made it, from what, why, and what was made before it.

Its class is not at hand, so that of its code nothing is said. Nothing is changed, and no payload is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from .. import artifacts
from .._differences import differences
from .._text import amount
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, ManifestVersionError
from ..keys import ArtifactKey
from ..stores import Store
from .comparison import read_tree
from .looks import (
    Log,
    checked_parts,
    ended_of,
    holder_at,
    last_failed_log,
    last_failure,
    log_of,
    neighbour_of,
    problem_of_payload,
    signs_of,
    with_prefix,
)
from .nearest import nearest
from .states import LineageNode
from .telling import Explanation, Made, Neighbour, State
from .upstreams import behind_artifact

__all__ = ["explain_artifact"]

_WHOLE: Final = "whole, as far as its manifest and the size of its payload tell"
_CORRUPT: Final = "corrupt, it counts as missing"
_NONE_BEFORE: Final = "no other artifact of that name that is there now was made before it"


def explain_artifact(store: Store, key: ArtifactKey) -> Explanation:
    """Return how the artifact under `key` lies in `store`, and how it came to be. Of its code, nothing is said.

    Raises
    ------
    ArtifactNotFoundError
        If there is nothing under that key.
    StoreError
        If the store cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from persistable import LocalStore, Persistable
    >>> class NumbersP(Persistable):
    ...     def _generate_payload(self):
    ...         return [1, 2, 3]
    >>> store = LocalStore(tempfile.mkdtemp())
    >>> numbers_p = NumbersP(store, None)
    >>> numbers_p.generate()
    [1, 2, 3]
    >>> explain_artifact(store, numbers_p.key).state
    'whole'
    """

    def say(state: State, verdict: str, *remarks: str, **more: Any) -> Explanation:
        return Explanation(state, key.payload_name, str(key), verdict, tuple(filter(None, remarks)), **more)

    try:
        manifest = artifacts.read_manifest(store, key)
        made, _, used = checked_parts(manifest)
    except ArtifactNotFoundError as error:
        return _without_manifest(store, key, error, say)
    except ArtifactCorruptError as error:
        log = log_of(store, key)
        near = _nearest_before(store, key, log)
        return say("corrupt", _CORRUPT, artifacts.problem_of(error), log.reason, nearest=near)
    except ManifestVersionError as error:
        return say("newer", "written by a newer persistable", str(error))
    log = log_of(store, key)
    dependencies = {role: ArtifactKey(str(up.key), str(up.payload_name)) for role, up in used.items()}
    digests = {role: upstream.digest for role, upstream in used.items()}
    node = LineageNode(key.payload_name, key, "whole", dependencies=dependencies, used=digests)
    behind = behind_artifact(store, node)
    outdated = behind.outdated.get(key)
    more: dict[str, Any] = {
        "made": made,
        "nearest": _nearest_before(store, key, log, made, dependencies),
        "upstreams": behind.used(),
        "remedy": outdated.remedy if outdated is not None else "",
    }
    alone = "" if more["nearest"] else "the first of that name" if log.is_first else _NONE_BEFORE
    problem = problem_of_payload(store, key, manifest, "size")
    if problem:
        return say("corrupt", _CORRUPT, problem, log.reason, alone, behind.remark, **more)
    grown = manifest.generated.get("grown_from")
    steps = (
        f"it has grown {amount(len(grown), 'time')} since it was first made"
        if grown and isinstance(grown, list)
        else ""
    )
    return say("whole", _WHOLE, log.reason, steps, alone, behind.remark, **more)


def _without_manifest(
    store: Store, key: ArtifactKey, error: ArtifactNotFoundError, say: Callable[..., Explanation]
) -> Explanation:
    entries = list(store.list(key.folder))
    holder = holder_at(store, key, entries)
    if not entries:
        raise error
    if holder is not None and not holder.ended:
        return say("generating", f"being made by {holder.owner}", signs_of(holder, store))
    failed = last_failure(store, entries)
    if failed is not None:
        log = log_of(store, key, last_failed_log(entries))
        near = _nearest_before(store, key, log)
        first = "it was to be the first of that name" if log.is_first and not near else ""
        return say("failed", "not made: its generation failed", log.reason, first, failed=failed, nearest=near)
    what = ended_of(holder) if holder is not None else ""
    return say("unfinished", "no artifact: there are files, but no manifest", what)


def _nearest_before(
    store: Store, key: ArtifactKey, log: Log, made: Made | None = None, dependencies: Mapping[str, str] | None = None
) -> tuple[Neighbour, ...]:
    """Return the artifact of that name that a log names as the nearest; else the nearest one that was made before.

    A log says what was there then, and the store what is there now.
    """
    tree = read_tree(store, key)
    named = with_prefix(store, key.payload_name, log.nearest)
    if named is not None:
        before = read_tree(store, named)
        if tree is None or before is None:
            return (neighbour_of(store, named, (), log.unlike),)
        return (neighbour_of(store, named, tuple(differences(before, tree))),)
    if tree is None or (made is not None and made.at is None):
        return ()
    path, until = store.local_path(key.folder), None
    if path is not None and made is not None:
        with suppress(OSError):
            until = os.stat(path).st_mtime
    found = nearest(store, key, tree, dependencies, until=until)
    for near in [one for one in found if log.nearest and one.key.startswith(log.nearest)] + found:
        other = neighbour_of(store, near.key, tuple(near.differences))
        if made is None or (other.made is not None and (other.made.at or "~") <= (made.at or "")):
            return (other,)
    return ()
