"""Results whose upstream has been made again since, with other content: found by digests, from manifests alone.

A manifest names, beside each upstream, the digest of the payload that was used. If that upstream has another digest
now, the result was made from content that is no more; and so was all that was made from that result. An upstream that
has only grown (``grown_from`` in its manifest) still holds what was used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..keys import ArtifactKey
from .layout import upstreams_first
from .states import CAUSES, FIRST, LineageNode, Outdated, read_node

if TYPE_CHECKING:
    from ..catalog import Catalog

__all__ = ["Outdated", "outdated", "outdated_of"]

Use = tuple[str, str, str]
"""An upstream that was opened, the result that was made from it, and the role that it had."""


def outdated(catalog: Catalog) -> list[Outdated]:
    """Return the results of a store whose upstream has been made again since, with other content.

    Parameters
    ----------
    catalog : Catalog
        What the store holds. No payload is read, and a manifest only where two digests differ.

    Returns
    -------
    list of Outdated
        Upstreams before what was made from them, which is the order in which to make them again. What was made from
        one of them is there too, and says so.
    """
    digests: dict[str, str | None] = {}
    names: dict[str, str] = {}
    uses: list[Use] = []
    used: list[str] = []  # the digest of each use
    for record in catalog:
        if record.state != "whole":
            continue
        key = str(record.key)
        digests[key], names[key] = record.digest, record.payload_name
        for role, upstream in record.dependencies.items():
            if upstream.digest is not None:
                uses.append((upstream.key, key, role))
                used.append(upstream.digest)
    differing = [
        (use, digest)
        for use, digest in zip(uses, used, strict=True)
        if digests.get(use[0], digest) not in (digest, None)
    ]
    grown: dict[str, tuple[str, ...]] = {}
    remade = defaultdict(list)
    for (upstream_key, key, role), digest in differing:
        if upstream_key not in grown:
            upstream_node = read_node(catalog.store, ArtifactKey(upstream_key, names[upstream_key]), "")
            grown[upstream_key] = upstream_node.grown_from
        if digest not in grown[upstream_key]:
            remade[key].append(role)
    return list(_spread(names, uses, remade).values())


def outdated_of(nodes: Mapping[str, LineageNode]) -> dict[str, Outdated]:
    """Return key -> why, of the outdated ones among `nodes`, upstreams first."""
    uses = [
        (str(node.dependencies[role]), key, role)
        for key, node in nodes.items()
        for role, digest in node.used.items()
        if digest is not None and role in node.dependencies
    ]
    names = {key: node.payload_name for key, node in nodes.items()}
    return _spread(names, uses, {key: node.remade for key, node in nodes.items() if node.remade})


def _spread(names: Mapping[str, str], uses: Sequence[Use], remade: Mapping[str, Iterable[str]]) -> dict[str, Outdated]:
    """Return all that is outdated, directly or through others; of those that have a name."""
    if not remade:
        return {}
    results: dict[str, list[str]] = defaultdict(list)
    for upstream, key, _ in uses:
        results[upstream].append(key)
    affected = set(remade)
    todo = list(affected)
    while todo:
        new = [key for key in results.get(todo.pop(), ()) if key not in affected]
        affected.update(new)
        todo += new
    upstreams: dict[str, dict[str, ArtifactKey]] = {key: {} for key in affected}
    through: dict[str, list[str]] = {key: [] for key in affected}
    edges = []
    for upstream, key, role in uses:
        if key not in affected:
            continue
        upstreams[key][role] = ArtifactKey(upstream, names.get(upstream, "?"))
        if upstream in affected:
            through[key].append(role)
            edges.append((upstream, key))
    order = upstreams_first([key for key in names if key in affected], edges)
    return _told(order, names, upstreams, remade, through)


def _told(
    order: Sequence[str],
    names: Mapping[str, str],
    upstreams: Mapping[str, Mapping[str, ArtifactKey]],
    remade: Mapping[str, Iterable[str]],
    through: Mapping[str, Sequence[str]],
) -> dict[str, Outdated]:
    """Return what is outdated, each with what was made again behind it, and with what is to be made again before it.

    Of both only so many as somebody reads: a chain of thousands has millions of them.
    """
    place = {key: number for number, key in enumerate(order)}
    found: dict[str, Outdated] = {}
    for key in order:
        direct = tuple(remade.get(key, ()))
        theirs = [found[at] for role in through[key] if (at := upstreams[key][role]) in found]  # all but in a circle
        causes = dict.fromkeys(cause for one in theirs for cause in one.remade_again)
        first = dict.fromkeys(before for one in theirs for before in (*one.first, one.key))
        found[key] = Outdated(
            names[key],
            ArtifactKey(key, names[key]),
            direct,
            tuple(through[key]),
            {role: upstreams[key][role] for role in (*direct, *through[key])},
            tuple(causes)[:CAUSES],
            tuple(sorted(first, key=lambda one: place[one])[: FIRST + 1]),
        )
    return found
