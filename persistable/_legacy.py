"""Artifacts of persistable 1.x, so that a team can upgrade without losing its drive.

1.x kept a payload as ``<data_dir>/<name>(<md5 of str({name: params_tree})>).persistable``, beside a
``.params.json``. Its keys are not safe (``str`` elides large arrays), hence two rules: the params must be what JSON
can say, and the file beside the payload must say the same params.
"""

from __future__ import annotations

import json
from enum import Enum
from hashlib import md5
from pathlib import Path
from typing import Any

from ._warn import warn
from .exceptions import CorruptArtifactWarning
from .fileio import FileIO
from .lineage import Node, walk
from .params import PersistableParams, tracked_params
from .stores import Store

__all__ = ["find", "load"]

_MANY = 10_000  # nodes in the tree written out; a ladder that 1.x could not have hashed


def load(store: Store, node: Node, suffix: str | None, payload_io: FileIO[Any]) -> tuple[Path, Any] | None:
    """Return the payload that 1.x wrote for `node`, and its file; None if there is none, or if it cannot be read.

    1.x wrote in place: a process that was killed left half a file, which must not fail for ever.
    """
    found = find(store, node, suffix)
    if found is None:
        return None
    try:
        return found, payload_io._load(found)
    except Exception as error:
        warn(
            f"{found}, which persistable 1.x wrote, cannot be read ({type(error).__name__}: {error}). It is left as it "
            f"is, and does not count.",
            CorruptArtifactWarning,
        )
        return None


def find(store: Store, node: Node, suffix: str | None) -> Path | None:
    """Return the payload file that 1.x wrote for `node`; None if there is none that is certainly the one.

    Parameters
    ----------
    store : Store
        Where to look, if it is a folder of this machine.
    node : Node
        Whose payload.
    suffix : str or None
        The suffix of payload files, if it is not ``.persistable``.
    """
    folder = store.local_path("")
    if folder is None or "." in node.payload_name:  # 1.x lost the hash of a name with a dot
        return None
    tree = _tree(node) if all(map(_was_told_apart, walk(node))) else None
    if tree is None:
        return None
    name = f"{node.payload_name}({md5(str({node.payload_name: tree}).encode('utf-8', 'replace')).hexdigest()})"
    payload, params = Path(folder, name + (suffix or ".persistable")), Path(folder, name + ".params.json")
    try:
        same = payload.is_file() and json.loads(params.read_text()) == json.loads(json.dumps(tree))
    except (OSError, TypeError, ValueError):
        return None
    return payload if same else None


def _was_told_apart(node: Node) -> bool:
    """Whether 1.x knew all that defines `node`: it had no versions, and kept upstreams by payload name in one dict."""
    names = [upstream.payload_name for upstream in node.tracked_persistable_dependencies.values()]
    return node.version is None and len({*names, *tracked_params(node.params)}) == len(names) + len(
        tracked_params(node.params)
    )


def _tree(root: Node) -> dict[str, Any] | None:
    """Return the params tree as 1.x built it, with upstreams by payload name; None if it is too large to write out."""
    trees: dict[int, dict[str, Any]] = {}
    sizes: dict[int, int] = {}
    for node in walk(root):
        upstreams = node.tracked_persistable_dependencies.values()
        sizes[id(node)] = 1 + sum(sizes[id(upstream)] for upstream in upstreams)
        trees[id(node)] = _encoded(node.params) | {upstream.payload_name: trees[id(upstream)] for upstream in upstreams}
    return trees[id(root)] if sizes[id(root)] <= _MANY else None


def _encoded(params: Any) -> dict[str, Any]:
    return {name: _encoded_value(value) for name, value in tracked_params(params).items()}


def _encoded_value(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.name
    return _encoded(value) if isinstance(value, PersistableParams) else value
