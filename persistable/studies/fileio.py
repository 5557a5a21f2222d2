"""The format of a persisted study. It imports no Optuna before a study is saved or loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..fileio import FileIO

if TYPE_CHECKING:
    from optuna import Study

__all__ = ["StudyFileIO"]


class StudyFileIO(FileIO["Study"]):
    """A study with its trials, as a journal of Optuna with one line for each trial. Loading runs no code.

    Equal studies give equal bytes, whichever storage they are in. The loaded study is in memory, complete, and an
    :class:`optuna.Study` like any other: it can be asked, told, optimized, copied and pickled. Attributes come back as
    JSON gives them (a tuple as a list), as they do from every storage of Optuna that is not memory. A sampler and a
    pruner are no part of a stored study: it has Optuna's defaults.

    Raises
    ------
    TypeError
        At save: the payload is not a study, or holds what JSON cannot.
    ValueError
        At load: the file is not what this format writes.

    Examples
    --------
    >>> import tempfile, optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(study_name="parabola")
    >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=3)
    >>> path = Path(tempfile.mkdtemp(), "payload.study.log")
    >>> StudyFileIO().save(study, path)
    >>> loaded = StudyFileIO()._load(path)
    >>> loaded.study_name, loaded.trials == study.trials
    ('parabola', True)
    """

    suffix = ".study.log"
    format_id: ClassVar[str] = "optuna-journal"
    loads_lazily = False

    def _save(self, payload: Study, filepath: Path) -> None:
        from .snapshots import Study, lines_of

        if not isinstance(payload, Study):
            raise self._refusal(payload, "it takes an optuna.Study")
        try:
            content = "".join(f"{line}\n" for line in lines_of(payload))
        except (TypeError, ValueError) as error:
            raise self._refusal(payload, str(error)) from error
        with filepath.open("xb") as file:
            file.write(content.encode())

    def _load(self, filepath: Path) -> Study:
        from .snapshots import study_of

        content = filepath.read_bytes()
        try:
            if not content.endswith(b"\n"):
                raise ValueError("it ends in the middle of a line")
            return study_of(content.decode().split("\n")[:-1])
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            reason = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(
                f"{filepath} is not a study as {type(self).__qualname__} writes it: {reason}. "
                f"A journal that Optuna itself has written is opened with Optuna's JournalStorage."
            ) from error
