"""A store as one page: a file that anybody can open from a drive, with no server, and nothing loaded from elsewhere.

It holds a searchable table of the artifacts, with their params and metrics; the lineage of each, to click through;
artifacts side by side; and plots of metrics over params. ``data`` gathers what is known of the artifacts, from their
manifests and never from a payload; ``page`` puts it together with the HTML, CSS and JavaScript of the folder ``page``.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .._integrity import new_token
from ..catalog import Catalog
from ..exceptions import StoreError
from ..stores import Store
from .data import report_data
from .page import page

__all__ = ["write_report"]


def write_report(
    data_dir: str | os.PathLike[str] | Store,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    payload_name: str | None = None,
    where: str | None = None,
) -> Path:
    """Write a page about the artifacts of a store, and return its path.

    Parameters
    ----------
    data_dir : path, URL or Store
        The store.
    path : path
        The file to write. One that is there is replaced, at once and whole.
    title : str, optional
        The heading of the page.
    payload_name, where : str, optional
        Which artifacts are listed, as :meth:`persistable.catalog.Catalog.find` takes them; all if neither is given.
        What they are made from is part of their lineage and of comparisons in any case.

    Raises
    ------
    StoreError
        If there is no such store, or the page cannot be written there. A store without artifacts has a page that says
        so.
    QueryError
        If `where` is not understood, or asks for something that no artifact has.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> page = write_report(folder, folder / "report.html", title="Nothing yet")
    >>> "<h1" in page.read_text()
    True
    """
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise StoreError(f"The report cannot be written to {target}: there is no folder {folder}. Make it first.")
    if target.is_dir():
        raise StoreError(f"The report cannot be written to {target}: it is a folder. Name a file in it.")
    catalog = Catalog(data_dir)
    _ensure_there_is(catalog.store)
    _replace(target, page(report_data(catalog, title=title, payload_name=payload_name, where=where)))
    return target


def _ensure_there_is(store: Store) -> None:
    """Raise for a folder that is not there: an empty page would hide a misspelt name. Buckets have no folders."""
    root = store.local_path("")
    if root is not None and not (folder := Path(root)).is_dir():
        found = "is no folder" if folder.exists() else "does not exist"
        raise StoreError(
            f"There is nothing to report on: the store {folder} {found}. Check the name; a store is made when "
            f"something is first persisted in it."
        )


def _replace(target: Path, text: str) -> None:
    """Write beside the target first: somebody may have the old page open, or look at it on a shared drive."""
    spool = target.with_name(f".{target.name[:200]}.{new_token()}")
    try:
        spool.write_text(text, encoding="utf-8", newline="\n")
        spool.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            spool.unlink(missing_ok=True)
        raise StoreError(f"The report cannot be written to {target}: {error}.") from error
