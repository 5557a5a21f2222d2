"""Which model is in use: one small file beside the artifacts, and how its model is loaded from there.

The file names the champion by its key. From there on, the manifests lead: the model's names the series and the split
that it was fitted to. So whoever loads it needs no class of its author's, no code of the training, and no pickle.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .. import artifacts, keys
from .._persistable import Persistable
from ..exceptions import (
    ArtifactNotFoundError,
    ForecastingError,
    MissingDependencyError,
    ParamsError,
    PersistableError,
    StoreError,
)
from ..fileio import FileIO
from ..fileio.csv import CsvFileIO
from ..fileio.json import JsonFileIO
from ..keys import ArtifactKey
from ..manifest import Manifest
from ..stores import DataDir, Store, store_for
from .forecaster import Forecaster, family_of, forecaster_of
from .model import ModelP
from .split import rows_in

__all__ = ["NAME", "deploy", "load_champion"]

NAME: Final = "deployment.json"

_FILE_NAME = re.compile(r"\w[\w.-]*\.json", re.ASCII)
_FAMILY = re.compile(r".+", re.DOTALL)  # whatever a class calls itself; it is looked up, and never a path


def deploy(
    data_dir: DataDir,
    model_p: ModelP[Any],
    entry: Mapping[str, Any],
    ranking: Mapping[str, str],
    beats_baseline: bool,
    name: str = NAME,
) -> str:
    """Write which model to use; see :meth:`.RankingP.deploy`.

    Parameters
    ----------
    data_dir : path, URL or Store
        At the top of which the file is written.
    model_p : ModelP
        The model. It is persisted with its series and split, if they are not yet.
    entry : mapping
        What the ranking says of it.
    ranking : mapping
        ``payload_name`` and ``key`` of the ranking.
    beats_baseline : bool
        Whether it is better than a baseline.
    name : str
        The name of the file.

    Returns
    -------
    str
        Where it is.
    """
    import persistable

    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise ParamsError(f"name must be a file's, such as {NAME!r}, without a folder; got {name!r}.")
    store = store_for(data_dir)
    chain: list[Persistable[Any, Any]] = [model_p.series_p, model_p.split_p, model_p]
    for persistable_ in chain:
        if not persistable_.exists():  # what is there need not be opened
            persistable_.load_generate()
        if not persistable_.exists():
            persistable_.persist()
    url, *others = dict.fromkeys(store_for(each.data_dir).url for each in reversed(chain))
    asked = repr(store.url) if name == NAME else f"{store.url!r}, {name!r}"
    record = {
        **{field: entry[field] for field in ("name", "family", "role")},
        "payload_name": model_p.payload_name,
        "key": str(model_p.key),
        "store": url,
        "other_stores": others,
        "metrics": entry["metrics"],
        "warnings": entry["warnings"],
        "beats_baseline": beats_baseline,
        "ranking": dict(ranking),
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "persistable": persistable.__version__,
        "load": f"from persistable.forecasting import load_champion; champion = load_champion({asked})",
    }
    store.replace(name, (json.dumps(record, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode())
    return store.local_path(name) or f"{store.url}/{name}"


def load_champion(data_dir: DataDir, name: str = NAME, *, latest: bool = True) -> Forecaster:
    """Load the model that is deployed, ready to forecast.

    Parameters
    ----------
    data_dir : path, URL or Store
        Where :meth:`.RankingP.deploy` has written, wherever that folder is now; or the path of the file itself. What is
        not there is looked for where it was.
    name : str
        The name of the file.
    latest : bool
        Whether it is to know all rows of the series, so that ``forecast()`` begins after the last one, as the ranking
        had them; without, it ends where its fit did. The parameters are the same.

    Returns
    -------
    Forecaster
        With ``forecast()``, ``one_step()``, ``plot()`` and ``summary()``; made from the stored model and the stored
        rows. Nothing is fitted, and loading runs no code of a file.

    Raises
    ------
    ArtifactNotFoundError
        If nothing is deployed there, or the model, its series or its split are gone.
    ArtifactCorruptError
        If one of them is not what was written.
    ForecastingError
        If the file is not what was written, or the model is of a family that is defined elsewhere, and its module has
        not been imported.
    """
    store, name = _place(data_dir, name)
    record = _read(store, name)
    family_of(record["family"])  # which may bring a format of its own
    chain = _Chain(store, name, record)
    payload, manifest = chain.load("model", record["payload_name"], record["key"], JsonFileIO())
    upstreams, window = manifest.dependencies, manifest.params.get("window")
    if not {"series", "split"} <= upstreams.keys() or not isinstance(window, int):
        raise _broken(store, name, f"{record['payload_name']} {record['key']} is no model")
    series, _ = chain.load("series", upstreams["series"].payload_name, upstreams["series"].key, CsvFileIO())
    split, _ = chain.load("split", upstreams["split"].payload_name, upstreams["split"].key, JsonFileIO())
    train = split["windows"][window]["train"]
    champion = forecaster_of(payload, rows_in(series, train))
    later = rows_in(series, [train[1], len(series)])
    return champion.extended(later) if latest and len(later) else champion


class _Chain:
    """Artifacts that were deployed together: beside the file, or in a store that it names."""

    def __init__(self, store: Store, name: str, record: Mapping[str, Any]) -> None:
        self.store = store
        self.name = name
        self.recorded: Sequence[str] = [record["store"], *record["other_stores"]]

    def load(self, what: str, payload_name: str, key: str, payload_io: FileIO[Any]) -> tuple[Any, Manifest]:
        """Return a payload and its manifest from the first store that has it."""
        missed: list[str] = []
        for store, problem in self._stores():
            if store is None:
                missed.append(problem)
                continue
            try:
                return artifacts.load(store, ArtifactKey(key, payload_name), payload_io)
            except ArtifactNotFoundError:
                missed.append(store.url)
            except (StoreError, MissingDependencyError) as error:
                if store is self.store:
                    raise
                missed.append(f"{store.url} ({error})")
        raise ArtifactNotFoundError(
            f"The {what} of the champion, {payload_name} {key}, is gone. Looked for in {', then '.join(missed)}. Copy "
            f"its folder there, or make it again: load_generate() and deploy() of the ranking.",
            key,
        )

    def _stores(self) -> Iterator[tuple[Store | None, str]]:
        """Yield where to look, or why one cannot look there; what is recorded is opened only when it is needed."""
        yield self.store, ""
        for url in self.recorded:
            if url == self.store.url:
                continue
            try:
                yield store_for(url), ""
            except (PersistableError, ValueError) as error:  # of a machine, or of a kind, that is not known here
                yield None, f"{url} ({error})"


def _place(data_dir: DataDir, name: str) -> tuple[Store, str]:
    """Return the store, and the name of the file; `data_dir` may be the path of the file."""
    if isinstance(data_dir, str | Path) and not hasattr(data_dir, "storage_options"):
        folder, last = os.path.split(data_dir)
        if last.endswith(".json") and not os.path.isdir(data_dir):
            return store_for(folder or "."), last
    return store_for(data_dir), name


def _read(store: Store, name: str) -> dict[str, Any]:
    """Return the record of a deployment."""
    try:
        data = store.read(name)
    except FileNotFoundError:
        raise ArtifactNotFoundError(
            f"Nothing is deployed in {store.url}: there is no {name}. Deploy the champion of a ranking with "
            f"ranking_p.deploy(), or check the path."
        ) from None
    try:
        record = json.loads(data)
    except ValueError as error:
        raise _broken(store, name, f"it is no JSON ({error})") from None
    if not isinstance(record, dict):
        raise _broken(store, name, f"it holds a {type(record).__name__}")
    expected: dict[str, Any] = {"payload_name": keys.NAME, "key": keys.KEY, "family": _FAMILY}
    for field, pattern in expected.items():
        if not isinstance(found := record.get(field), str) or not pattern.fullmatch(found):
            raise _broken(store, name, f"{field!r} is {found!r}")
    others = record.get("other_stores")
    if not isinstance(others, list) or not all(isinstance(url, str) for url in [record.get("store"), *others]):
        raise _broken(store, name, "'store' or 'other_stores' is missing, or no URL")
    return record


def _broken(store: Store, name: str, why: str) -> ForecastingError:
    return ForecastingError(
        f"{name} in {store.url} is not what deploy() has written: {why}. Deploy the champion again: ranking_p.deploy()."
    )
