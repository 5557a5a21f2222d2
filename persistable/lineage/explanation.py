"""Why: what ``load_generate()`` would do for a persistable.

Nothing is made, and nothing is changed. A payload is read in two cases only: where a class says for itself whether a
payload goes far enough, and where all bytes are to be checked. Of all else one look is taken, at manifests, sizes,
leases and logs; what is found there is told, not raised.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from .. import artifacts
from .._integrity import Verify
from .._leases import Holder
from .._text import number
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, ManifestVersionError, PersistableError
from ..fileio import FileIO, fileio_for
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import Store
from .history import explain_artifact
from .looks import (
    checked_parts,
    ended_of,
    holder_at,
    last_failure,
    neighbour_of,
    problem_of_payload,
    signs_of,
)
from .nearest import nearest, of_another_name
from .nodes import Node, readable_tree, walk
from .states import LineageNode, changes_of
from .telling import Explanation, Made, Neighbour, State
from .upstreams import behind_persistable

__all__ = ["Explanation", "Inside", "explain", "explain_artifact"]

_NEAREST: Final = 3


class Inside(NamedTuple):
    """What a persistable knows of itself and its upstreams, and what cannot be seen from outside.

    Attributes
    ----------
    store_of : callable
        Returns the store of a node.
    legacy : callable
        Returns the file of persistable 1.x that holds the payload of a node; None if there is none.
    grows : callable
        Returns whether the payload of a node may be whole, and yet not go far enough.
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
    grows: Callable[[Any], bool]
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
        return self._hit(how, made=made, changes=changes, **self._used(used))

    # -- there --------------------------------------------------------------------------------------------------------

    def _say(self, state: State, verdict: str, **more: Any) -> Explanation:
        return Explanation(state, self.key.payload_name, str(self.key), verdict, tuple(self.remarks), **more)

    def _of_memory(self, manifest: Manifest | None) -> Explanation:
        if manifest is None:
            self.remarks.append("it is in memory, and comes from no artifact of this store: persist() writes one")
            return self._hit("return the payload in memory")
        made, code, used = checked_parts(manifest)
        if self.verify == "digest":
            self._note_artifact()
        changes = changes_of(type(self.node), code)
        return self._hit("return the payload in memory", made=made, changes=changes, **self._used(used))

    def _note_artifact(self) -> None:
        """Say how the artifact is of which the payload is in memory."""
        try:
            problem = problem_of_payload(self.store, self.key, artifacts.read_manifest(self.store, self.key), "digest")
        except ArtifactNotFoundError:
            problem = "it is not there any more"
        except ArtifactCorruptError as error:
            problem = artifacts.problem_of(error)
        except ManifestVersionError as error:
            problem = str(error)
        if problem:
            self.remarks.append(f"but of its artifact in the store: {problem}")
        else:
            self.remarks.append("every byte of its payload in the store is as it was written")

    def _used(self, used: Mapping[str, Any]) -> dict[str, Any]:
        """Return what has become of the upstreams, and what to make again because of that."""
        digests = {role: upstream.digest for role, upstream in used.items()}
        behind = behind_persistable(self.node, self.keys, self.inside.store_of, digests)
        if behind.remark:
            self.remarks.append(behind.remark)
        outdated = behind.outdated.get(self.key)
        return {"upstreams": behind.used(), "remedy": outdated.remedy if outdated is not None else ""}

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
        return self._say("insufficient", verdict, made=made, **self._needed())

    def _corrupt(self, problem: str, made: Made | None = None) -> Explanation:
        self.remarks.append(problem)
        self._note_holder(holder_at(self.store, self.key), "made again")
        return self._say("corrupt", "corrupt, load_generate() would make it again", made=made, **self._needed())

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
        verdict = f"a miss, load_generate({self._asked()}) would make it"
        return self._say("miss", verdict, nearest=self._nearest(), failed=failed, **self._needed())

    def _nearest(self) -> tuple[Neighbour, ...]:
        tree, upstreams = readable_tree(self.node), self.node.tracked_persistable_dependencies
        dependencies = {role: self.keys[id(upstream)] for role, upstream in upstreams.items()}
        found = nearest(self.store, self.key, tree, dependencies)[:_NEAREST]
        if not found:
            self.remarks.append(f"no other artifact of that name was found in {self.store.url}")
            if other := of_another_name(self.node, self.store, tree, dependencies):
                self.remarks.append(
                    f"there is {other.payload_name} {other[:8]}, which is the same but for the payload's name; to go "
                    f'on with that: payload_name = "{other.payload_name}" in the body of {type(self.node).__qualname__}'
                )
        return tuple(neighbour_of(self.store, near.key, tuple(near.differences)) for near in found)

    def _needed(self) -> dict[str, Any]:
        """Return the upstreams that would be asked for, and what to make again before that."""
        behind = behind_persistable(self.node, self.keys, self.inside.store_of, {})
        if behind.remark:
            self.remarks.append(behind.remark)
        persistables = {self.keys[id(node)]: node for node in walk(self.node)}

        def state_of(key: str, node: LineageNode) -> str:
            persistable = persistables[key]
            if node.state == "missing" and self.inside.legacy(persistable) is not None:
                return "whole"
            return "extendable" if node.state == "whole" and self.inside.grows(persistable) else node.state

        upstreams = behind.needed(state_of)
        return {"upstreams": upstreams, "remedy": behind.remedy(upstreams, "load_generate() this")}

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
