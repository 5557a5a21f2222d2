"""The doctor: whether a place keeps the promises that artifacts need, and what to do where it does not.

It writes a few small files into a folder of its own, ``persistable-doctor/``, and removes them. What it finds, it tells
one by one, each with its remedy; a place that cannot be reached is a finding, too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .._integrity import new_token
from .._leases import holder_of
from .._mounts import NETWORK_FILE_SYSTEMS, file_system
from .._text import amount, duration, printable, size
from ..exceptions import PersistableError
from ..keys import ArtifactKey
from ..stores import Store
from .asked import Place, store_of
from .drives import fault, of_drive, ok, warning
from .findings import Finding, Findings

if TYPE_CHECKING:
    from ..catalog.records import Record
    from .leftovers import Leftover

__all__ = ["diagnose", "findings_of"]

_CLOCKS_APART: Final = 5.0  # seconds; ages of files are compared with each other, so that no result depends on it
_NAMED: Final = 5  # findings of one kind that are told one by one
_OLD_LEASE: Final = 7 * 86_400.0
_BAD: Final = {
    "corrupt": "load_generate() makes it again; `persistable rm` removes it. Is the disk sound?",
    "newer": "Upgrade persistable on this machine: pip install --upgrade persistable",
}
"""State of an artifact -> what to do about it."""

_REFUSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


def diagnose(place: Place) -> Findings:
    """Examine a place for artifacts.

    Parameters
    ----------
    place : path, str, Store or Catalog
        Which one: a folder, a URL, a store, or its catalogue.

    Returns
    -------
    Findings
        What is fine, too: its `level` is "ok", "warning" or "fault", and its `remedy` says what to do. A place that
        cannot be used is a finding, and no error.

    Raises
    ------
    TypeError
        If `place` is none.

    Examples
    --------
    >>> import tempfile
    >>> findings = diagnose(tempfile.mkdtemp())
    >>> print(findings[0].level, findings[0].problem)
    ok the place can be reached and listed
    >>> bool(findings.faults)
    False
    """
    return Findings(findings_of(place))


def findings_of(place: Place) -> Iterator[Finding]:
    """Yield what :func:`diagnose` returns, as it is found."""
    try:
        store = store_of(place)
    except (PersistableError, OSError, ValueError) as error:
        yield fault(str(place), f"the place cannot be used: {error}", "Mend the URL, or install what is missing.")
        return
    reach = _reach(store)
    yield reach
    if reach.level == "fault":
        return
    probe = _Probe(store)
    try:
        yield from probe.findings()
    finally:
        probe.remove()
    yield from of_drive(store)
    yield from _entries(store)


# ---------------------------------------------------------------------------------------------------------------------
# The promises of a store, tried with files of our own


def _reach(store: Store) -> Finding:
    folder = store.local_path("")
    if folder is not None and not os.path.isdir(folder):
        return fault(
            store.url, "there is no such folder", "It is made when something is first persisted; or check its name."
        )
    try:
        with contextlib.suppress(FileNotFoundError):
            store.read(f"persistable-doctor/{new_token()}")
        if folder is None:
            next(iter(store.list("")), None)
        else:  # without the folders in it: that one of them cannot be entered is a finding of its own
            os.listdir(folder)
    except (PersistableError, OSError) as error:
        return fault(store.url, f"the place cannot be reached or listed: {error}", _about_reach(folder))
    return ok(store.url, "the place can be reached and listed")


def _about_reach(folder: str | None) -> str:
    if folder is not None:
        return "Ask for permission to read and enter the folder (chmod +rx), or check that the drive is mounted."
    return "Check the URL, the network, and the credentials that the environment or storage_options give."


class _Probe:
    """A small file in a folder of its own, named like an artifact's, so that it is swept if we are killed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = f"persistable-doctor/{''.join(new_token() for _ in range(4))}"
        self.path = f"{self.folder}/probe.{new_token()}"
        self._others: list[str] = []
        self._clock: float | None = None

    def findings(self) -> Iterator[Finding]:
        url = self.store.url
        try:
            created = self.store.create(self.path, b"first")
        except (PersistableError, OSError) as error:
            yield self._unwritable(error)
            return
        if not created:
            yield fault(
                url, "a file of a new name cannot be created", "Use another place: this one loses track of its files."
            )
            return
        yield ok(url, "the place can be written")
        yield from self._conditions()
        yield from self._clocks()

    def _unwritable(self, error: Exception) -> Finding:
        url = self.store.url
        if getattr(error, "errno", None) in _REFUSED:
            remedy = "Hits are served all the same. To persist, ask for write permission, or choose another data_dir."
            return warning(url, f"the place can only be read: {error}", remedy)
        return fault(url, f"the place cannot be written: {error}", "Mend the cause: nothing can be persisted there.")

    def _conditions(self) -> Iterator[Finding]:
        store, url = self.store, self.store.url
        try:
            if not store.create(self.path, b"second"):
                yield ok(url, "of two that create the same file, one wins")
            else:
                yield self._two_winners()
            store.replace(self.path, b"third")
            found = store.read(self.path)
            if found != b"third":
                yield fault(url, f"a file that was replaced reads {found!r}", "Turn caching of this place off.")
            else:
                yield ok(url, "a file can be replaced, and is read as it was written last")
        except (PersistableError, OSError) as error:
            yield fault(url, f"a file cannot be replaced and read: {error}", "Ask for both permissions.")

    def _two_winners(self) -> Finding:
        remedy = (
            "Use another place; or, if it does no harm that several processes make the same artifact at once, "
            f"data_dir={type(self.store).__qualname__}(…, single_flight=False)."
        )
        problem = "a second create() of the same file succeeds: processes cannot agree on who makes an artifact"
        return (fault if self.store.single_flight else warning)(self.store.url, problem, remedy)

    def _clocks(self) -> Iterator[Finding]:
        url = self.store.url
        try:
            before = time.time()
            self.store.replace(self.path, b"fourth")
            after = time.time()
            self._clock = next(
                (entry.modified for entry in self.store.list(self.folder) if entry.path == self.path), None
            )
            self.store.delete(self.path)
            with contextlib.suppress(FileNotFoundError):
                self.store.read(self.path)
                yield fault(url, "a file that was deleted can still be read", "Turn caching of this place off.")
        except (PersistableError, OSError) as error:
            remedy = "Ask for permission to delete: else leases and leftovers stay, and nothing can be cleaned up."
            yield fault(url, f"a file cannot be listed and deleted: {error}", remedy)
            return
        if self._clock is None:
            yield fault(url, "a file that was just written is not listed", "Turn caching of this place off.")
            return
        # A time in whole seconds, as some places give it, may lie up to one second before.
        apart = max(before - 1 - self._clock, self._clock - after, 0.0)
        if apart > _CLOCKS_APART:
            remedy = "Set both by NTP: ages of artifacts and of leftovers are told wrongly by that much."
            yield warning(url, f"its clock and this machine's are {duration(apart)} apart", remedy)
        else:
            yield ok(url, "files can be listed and deleted; its clock agrees with this machine's")

    def remove(self) -> None:
        with contextlib.suppress(PersistableError, OSError):  # swept by prune
            self.store.delete(self.path)


# ---------------------------------------------------------------------------------------------------------------------
# What lies in it


def _entries(store: Store) -> Iterator[Finding]:
    from ..catalog import Catalog
    from .pruning import plan

    try:
        catalog = Catalog(store)
        records = {state: list(catalog.find(state=state)) for state in (*_BAD, "generating", "failed", "unfinished")}
        yield _index(store)
        yield from _bad(store, {state: records[state] for state in _BAD})
        yield from _leases(store, [*records["generating"], *records["failed"], *records["unfinished"]])
        yield _leftovers(store, plan(catalog).leftovers)
    except Exception as error:  # the doctor is asked when something is wrong
        yield fault(store.url, f"what lies there cannot be read: {error}", "Mend the cause, and look again.")


def _index(store: Store) -> Finding:
    """Say where the index of the catalogue is; it has just been asked, and so was made."""
    from ..catalog.index import INDEX_DIR, place_of

    path = place_of(store)
    elsewhere = f"Set {INDEX_DIR} to a folder of a disk of this machine; else each process reads all manifests anew."
    if path is None or not os.path.exists(path):
        return warning(path or store.url, "there is no place for the index of the catalogue", elsewhere)
    if not os.access(path, os.R_OK | os.W_OK):
        return warning(path, "the index of the catalogue cannot be written", f"Remove it: rm '{path}'")
    if (kind := file_system(Path(path))) in NETWORK_FILE_SYSTEMS:
        return warning(path, f"the index of the catalogue lies on a network file system ({kind})", elsewhere)
    status = os.stat(path)
    changed = duration(int(max(time.time() - status.st_mtime, 0)))
    return ok(path, f"the index of the catalogue: {size(status.st_size)}, last changed {changed} ago")


def _bad(store: Store, records: Mapping[str, list[Record]]) -> Iterator[Finding]:
    for state, found in records.items():
        for record in found[:_NAMED]:
            problem = f"{state}: {record.problem.removesuffix(' Upgrade it.')}"
            yield Finding(record.path, record.key, record.payload_name, "warning", problem, _BAD[state])
        if len(found) > _NAMED:
            more = amount(len(found) - _NAMED, f"further {state} artifact")
            yield warning(store.url, more, f"{_BAD[state]} See `persistable ls --state {state}`.")
    if not any(records.values()):
        yield ok(store.url, "all manifests are whole, and of a layout that this persistable reads")


def _leases(store: Store, records: list[Record]) -> Iterator[Finding]:
    alive = 0
    for record in records:
        try:
            holder = holder_of(store, ArtifactKey(record.key, record.payload_name))
        except Exception as error:  # a lease may say anything, and the others are to be looked at all the same
            problem = f"its lease makes no sense ({type(error).__name__}: {printable(error, 200)})"
            yield Finding(record.path, record.key, record.payload_name, "warning", problem, "Remove it: persistable rm")
            continue
        if holder is None:
            continue
        what = f"{holder.owner} has been generating it since {holder.since or 'an unknown time'}"
        if holder.ended:
            problem = f"a lease is left over, of {holder.owner}: {holder.ended}"
            remedy = "Whoever needs the artifact takes over at once; `persistable prune` removes the lease by age."
        elif holder.silent > max(2 * store.time_to_live, _CLOCKS_APART):
            problem = f"{what}, with no sign of life for {duration(holder.silent)}"
            remedy = "Whoever needs the artifact takes over; if that process hangs, end it."
        elif holder.seconds > _OLD_LEASE:
            problem, remedy = f"{what}", "If that is longer than it can take, look at that process."
        else:
            alive += 1
            continue
        yield Finding(record.path, record.key, record.payload_name, "warning", problem, remedy)
    yield ok(store.url, f"{amount(alive, 'generation')} under way")


def _leftovers(store: Store, found: Sequence[Leftover]) -> Finding:
    if not found:
        return ok(store.url, f"nothing is left over that is older than {duration(store.leftovers_after)}")
    many = amount(len(found), "file or folder", "files and folders")
    problem = f"{many} left over by interrupted work, {size(sum(entry.bytes for entry in found))}"
    return warning(
        store.url, problem, "See them with `persistable prune`; remove them with `persistable prune --delete`."
    )
