"""Why: what ``load_generate()`` would do for a persistable, and how an artifact came to be as it lies in a store.

Nothing is made, and nothing is changed. A payload is read in two cases only: where a class says for itself whether a
payload goes far enough, and where all bytes are to be checked. Of all else one look is taken, at manifests, sizes,
leases and logs; what is found there is told, not raised.
"""

from __future__ import annotations

import os
import reprlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from .. import artifacts
from .._integrity import Verify
from .._leases import Holder
from .._text import amount, number
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, ManifestVersionError, PersistableError
from ..fileio import FileIO, fileio_for
from ..keys import ArtifactKey, fingerprint
from ..manifest import Manifest
from ..stores import Store
from .comparison import read_tree
from .looks import (
    UPSTREAMS,
    changes_of,
    checked_parts,
    ended_of,
    holder_at,
    last_failure,
    neighbour_of,
    problem_of_payload,
    reason_of,
    signs_of,
    upstreams_since,
)
from .nearest import nearest
from .nodes import Node, readable_tree
from .states import read_node
from .telling import Explanation, Made, Neighbour, State, Upstream

__all__ = ["Explanation", "Inside", "explain", "explain_artifact"]

_NEAREST: Final = 3
_OTHER_NAMES: Final = 200
_PATIENCE: Final = 0.02  # seconds for what is nice to know: the key of a large param takes as long as its digest


class Inside(NamedTuple):
    """What a persistable knows of itself and its upstreams, and what cannot be seen from outside.

    Attributes
    ----------
    store_of : callable
        Returns the store of a node.
    legacy : callable
        Returns the file of persistable 1.x that holds the payload of a node; None if there is none.
    payload_io : FileIO
        The format that it would read and write.
    in_memory : tuple of payload and Manifest, or None
        The payload in memory, if it is the one of these params; its manifest, if it is persisted.
    suffices : callable, or None
        Returns whether a payload, which comes with a manifest, goes as far as is asked; None if any does.
    asked : mapping
        The keyword arguments that it is asked with.
    is_made_together : bool
        Whether it would make the payload beside others that do so, and not wait for them.
    """

    store_of: Callable[[Any], Store]
    legacy: Callable[[Any], Path | None]
    payload_io: FileIO[Any]
    in_memory: tuple[Any, Manifest | None] | None
    suffices: Callable[[Any, Manifest | None], bool] | None
    asked: Mapping[str, Any]
    is_made_together: bool


def explain(node: Node, keys: Mapping[int, str], inside: Inside, verify: Verify = "size") -> Explanation:
    """Return what ``load_generate()`` of a persistable would do, and why.

    Parameters
    ----------
    node : Node
        The persistable.
    keys : mapping of int to str
        ``id(node)`` -> fingerprint, of it and all that is behind it.
    inside : Inside
        What else it knows.
    verify : {"size", "digest"}
        Whether only the size of the payload is looked at, or all of its bytes.

    Raises
    ------
    StoreError
        If its store cannot be read.
    ValueError
        If `verify` is something else.
    """
    if verify not in ("size", "digest"):
        raise ValueError(f"What is to be checked must be 'size' or 'digest', got {verify!r}.")
    return _Question(node, keys, inside, verify).answer()


class _Question:
    """One persistable that is asked about."""

    def __init__(self, node: Node, keys: Mapping[int, str], inside: Inside, verify: Verify) -> None:
        self.node, self.keys, self.inside, self.verify = node, keys, inside, verify
        self.key = ArtifactKey(keys[id(node)], node.payload_name)
        self.store = inside.store_of(node)
        self.remarks: list[str] = []

    def answer(self) -> Explanation:
        memory = self.inside.in_memory
        if memory is not None and self._suffices(lambda: memory):
            return self._of_memory(memory[1])
        try:
            manifest = artifacts.read_manifest(self.store, self.key)
            made, code, used = checked_parts(manifest)
        except ArtifactNotFoundError:
            return self._not_there()
        except ArtifactCorruptError as error:
            return self._corrupt(artifacts.problem_of(error))
        except ManifestVersionError as error:
            return self._unreadable(error)
        problem = problem_of_payload(self.store, self.key, manifest, self.verify)
        if problem:
            return self._corrupt(problem, made)
        try:
            fileio_for(manifest.payload["format"], manifest.payload["format_version"], self.inside.payload_io)
        except PersistableError as error:
            return self._unreadable(error, made)
        changes = changes_of(type(self.node), code)
        stores = {role: self.inside.store_of(up) for role, up in self.node.tracked_persistable_dependencies.items()}
        upstreams = upstreams_since(used, stores, self.store)
        try:
            if not self._suffices(lambda: artifacts.load(self.store, self.key, self.inside.payload_io)):
                return self._insufficient(manifest, made)
        except ArtifactCorruptError as error:
            return self._corrupt(artifacts.problem_of(error), made)
        self.remarks.append(
            "every byte of its payload is as it was written"
            if self.verify == "digest"
            else 'looked at: its manifest, and the size of its payload; explain("digest") reads every byte'
        )
        how = "load it, with a warning" if changes else "load it"
        return self._hit(how, made=made, changes=changes, upstreams=upstreams)

    # -- there --------------------------------------------------------------------------------------------------------

    def _say(self, state: State, verdict: str, **more: Any) -> Explanation:
        return Explanation(state, self.key.payload_name, str(self.key), verdict, tuple(self.remarks), **more)

    def _of_memory(self, manifest: Manifest | None) -> Explanation:
        if manifest is None:
            self.remarks.append("it is in memory, and comes from no artifact of this store: persist() writes one")
            return self._hit("return the payload in memory")
        made, code, _ = checked_parts(manifest)
        return self._hit("return the payload in memory", made=made, changes=changes_of(type(self.node), code))

    def _hit(self, how: str, *, changes: tuple[str, ...] = (), **more: Any) -> Explanation:
        if not changes:
            return self._say("hit", f"a hit, load_generate() would {how}", **more)
        self.remarks[:0] = [
            f"if the payload would be another one now: give {type(self.node).__qualname__} a new `version`, so that "
            f"older artifacts no longer count, or call generate() once; else leave it"
        ]
        verdict = f"a hit, but the code that made it has changed since; load_generate() would {how}"
        return self._say("stale", verdict, changes=changes, **more)

    def _insufficient(self, manifest: Manifest, made: Made) -> Explanation:
        with suppress(Exception):
            if metrics := ", ".join(f"{name} {number(value)}" for name, value in manifest.metrics.items()):
                self.remarks.append(f"it goes as far as: {metrics}")
        self._note_holder(holder_at(self.store, self.key), "extended")
        verdict = f"whole, but not enough for what is asked; load_generate({self._asked()}) would extend it"
        return self._say("insufficient", verdict, made=made, upstreams=self._needed())

    def _corrupt(self, problem: str, made: Made | None = None) -> Explanation:
        self.remarks.append(problem)
        self._note_holder(holder_at(self.store, self.key), "made again")
        return self._say("corrupt", "corrupt, load_generate() would make it again", made=made, upstreams=self._needed())

    def _unreadable(self, error: PersistableError, made: Made | None = None) -> Explanation:
        self.remarks.append(str(error))
        by = "there, but written by a newer persistable" if made is None else "there, but not to be read here"
        return self._say("newer", f"{by}; load_generate() would raise {type(error).__name__}", made=made)

    # -- not there ----------------------------------------------------------------------------------------------------

    def _not_there(self) -> Explanation:
        old = self.inside.legacy(self.node)
        if old is not None:
            self.remarks.append(f"it is {old}")
            if self.inside.suffices is not None:
                self.remarks.append("whether it goes far enough is not looked at")
            return self._hit("read what persistable 1.x wrote")
        entries = list(self.store.list(self.key.folder))
        holder = holder_at(self.store, self.key, entries)
        if holder is not None and not holder.ended:
            self.remarks.append(signs_of(holder, self.store))
            how = "make it too" if self.inside.is_made_together or not self.store.single_flight else "wait for it"
            return self._say("generating", f"being made by {holder.owner}, load_generate() would {how}")
        failed = last_failure(self.store, entries)
        if holder is not None and failed is None:
            self.remarks.append(ended_of(holder))
        near = self._nearest()
        if not near:
            self.remarks.append(f"no other artifact of that name was found in {self.store.url}")
            self._note_other_name()
        return self._say(
            "miss",
            f"a miss, load_generate({self._asked()}) would make it",
            nearest=near,
            upstreams=self._needed(),
            failed=failed,
        )

    def _nearest(self) -> tuple[Neighbour, ...]:
        upstreams = self.node.tracked_persistable_dependencies
        dependencies = {role: self.keys[id(upstream)] for role, upstream in upstreams.items()}
        found = nearest(self.store, self.key, readable_tree(self.node), dependencies)[:_NEAREST]
        return tuple(neighbour_of(self.store, near.key, tuple(near.differences)) for near in found)

    def _note_other_name(self) -> None:
        """Look for the same under another payload name: that is what is left when a class has been renamed."""
        root, until = self.store.local_path(""), time.monotonic() + _PATIENCE
        if root is None:
            return
        upstreams = self.node.tracked_persistable_dependencies
        dependencies = {role: self.keys[id(upstream)] for role, upstream in upstreams.items()}
        with suppress(OSError):
            for name in sorted(os.listdir(root)[:_OTHER_NAMES]):
                if name == self.key.payload_name or time.monotonic() > until:
                    continue
                key = fingerprint(name, self.node.version, self.node.params, dependencies)
                if os.path.exists(f"{root}/{name}/{key}/manifest.json"):
                    self.remarks.append(f"there is {name} {key[:8]}, which is the same but for the payload's name")
                    return

    def _needed(self) -> tuple[Upstream, ...]:
        """Return the upstreams that would be asked for, down to those that are there."""
        found: dict[str, Upstream] = {}
        todo = list(self.node.tracked_persistable_dependencies.values())
        while todo and len(found) < UPSTREAMS:
            node = todo.pop(0)
            key = ArtifactKey(self.keys[id(node)], node.payload_name)
            if key not in found:
                state = self._state_of(node, key)
                found[key] = Upstream(key.payload_name, str(key), state)
                if state in ("missing", "corrupt"):
                    todo += node.tracked_persistable_dependencies.values()
        return tuple(found.values())

    def _state_of(self, node: Node, key: ArtifactKey) -> str:
        try:
            store = self.inside.store_of(node)
            state = read_node(store, key, "").state
            return "whole" if state == "missing" and self.inside.legacy(node) is not None else state
        except OSError:
            return "unreachable"

    def _note_holder(self, holder: Holder | None, doing: str) -> None:
        if holder is not None and not holder.ended:
            self.remarks.append(f"it is being {doing} by {holder.owner}; {signs_of(holder, self.store)}")

    def _asked(self) -> str:
        return ", ".join(f"{name}={reprlib.repr(value)}" for name, value in self.inside.asked.items())

    def _suffices(self, get: Callable[[], tuple[Any, Manifest | None]]) -> bool:
        """Return whether the payload that `get` returns goes far enough; it is not even loaded if any does.

        Raises
        ------
        ArtifactCorruptError
            If it turns out not to be what was written.
        """
        if self.inside.suffices is None:
            return True
        try:
            payload, manifest = get()
            return self.inside.suffices(payload, manifest)
        except ArtifactCorruptError:
            raise
        except Exception as error:  # of the user's own code, or of a library that a format is from
            self.remarks.append(f"whether it goes far enough is not known: {type(error).__name__}: {error}")
            return True


# ---------------------------------------------------------------------------------------------------------------------
# An artifact without its class


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
        return say("corrupt", "corrupt, it counts as missing", artifacts.problem_of(error), reason_of(store, key))
    except ManifestVersionError as error:
        return say("newer", "written by a newer persistable", str(error))
    before = _made_before(store, key, manifest, made)
    more: dict[str, Any] = {"made": made, "nearest": before, "upstreams": upstreams_since(used, {}, store)}
    problem = problem_of_payload(store, key, manifest, "size")
    if problem:
        return say("corrupt", "corrupt, it counts as missing", problem, reason_of(store, key), **more)
    grown = manifest.generated.get("grown_from")
    steps = (
        f"it has grown {amount(len(grown), 'time')} since it was first made"
        if grown and isinstance(grown, list)
        else ""
    )
    return say(
        "whole", "whole, as far as its manifest and the size of its payload tell", reason_of(store, key), steps, **more
    )


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
        return say("failed", "not made: its generation failed", failed=failed)
    what = ended_of(holder) if holder is not None else ""
    return say("unfinished", "no artifact: there are files, but no manifest", what)


def _made_before(store: Store, key: ArtifactKey, manifest: Manifest, made: Made) -> tuple[Neighbour, ...]:
    """Return the nearest artifact of that name that was made before this one, if there is one."""
    tree = read_tree(store, key)
    if tree is None or made.at is None:
        return ()
    path, until = store.local_path(key.folder), None
    if path is not None:
        with suppress(OSError):
            until = os.stat(path).st_mtime
    dependencies = {role: upstream.key for role, upstream in manifest.dependencies.items()}
    for near in nearest(store, key, tree, dependencies, until=until):
        other = neighbour_of(store, near.key, tuple(near.differences))
        if other.made is not None and other.made.at is not None and other.made.at <= made.at:
            return (other,)
    return ()
