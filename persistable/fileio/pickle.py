"""PickleFileIO: any Python object, and the default.

Loading a pickle runs code that the pickle names. Load pickles only from places that only people you trust can
write to; the other formats carry data only.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

from .base import FileIO, PayloadT, StoredPayload

__all__ = ["PickleFileIO"]

# What pickle is known to lose or to bloat: (module prefix, names of classes, why and what to take instead).
_REFUSED: tuple[tuple[str, str, str], ...] = (
    (
        "statsmodels.",
        "Results",
        "a pickled statsmodels result holds the series, the model and all smoother output (17 MB for 5,000 points). "
        "Persist orders and parameters with JsonFileIO, and rebuild the result with the model's filter(params)",
    ),
    (
        "optuna.",
        "Study",
        "a pickled Optuna study holds only the URL of its storage, or does not cross Optuna versions. "
        "Persist it with StudyFileIO of persistable.studies, which also runs it: StudyP",
    ),
    (
        "torch.",
        "Module",
        "a pickled torch module breaks when its class moves. "
        "Persist its state_dict() with TorchFileIO, and its configuration with it or as params",
    ),
)


class PickleFileIO(FileIO[PayloadT]):
    """Anything that pickles, by pickle protocol 5.

    The file loads with plain :func:`pickle.load` too. Payloads that pickle is known to lose or to bloat
    (statsmodels results, Optuna studies, torch modules) are refused, with the format to take instead.

    Warnings
    --------
    Loading a pickle runs code that the pickle names. Where other people can write to the store, use a format
    that carries data only.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "payload.pickle")
    >>> PickleFileIO().save({"mean": 0.5}, path)
    >>> pickle.loads(path.read_bytes())
    {'mean': 0.5}
    """

    suffix = ".pickle"
    format_id: ClassVar[str] = "pickle"
    loads_lazily = False
    loading_runs_code = True

    def _save(self, payload: PayloadT, filepath: Path) -> None:
        if reason := _spoiled_by_pickle(payload):
            raise self._refusal(payload, reason)
        with filepath.open("xb") as file:
            pickle.dump(payload, file, protocol=5)

    def _load(self, filepath: Path) -> PayloadT:
        with filepath.open("rb") as file:
            payload: PayloadT = pickle.load(file)  # noqa: S301 - the format is the user's choice, with its warning
        return payload

    def load(self, stored: StoredPayload) -> PayloadT:
        """Verify `stored`, and unpickle the very bytes that were verified."""
        payload: PayloadT = pickle.loads(stored.buffer())  # noqa: S301 - as above
        return payload


def _spoiled_by_pickle(payload: Any) -> str | None:
    for base in type(payload).__mro__:
        for module, name, reason in _REFUSED:
            if base.__module__.startswith(module) and name in base.__name__:
                return reason
    return None
