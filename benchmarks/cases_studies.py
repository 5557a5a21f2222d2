"""What a study costs beside the bare Optuna, and what is made of a study beside any other artifact."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from persistable import Persistable, PersistableParams
from persistable.fileio import JsonFileIO
from persistable.studies import BestParamsP, Float, Int, Sampler, StudyP, StudyParams
from persistable.studies.space import Dimension

from ._measure import Bench, Row, Skip, case, compare

_SPACE: dict[str, Dimension] = {"x": Float(-5, 5), "rate": Float(1e-4, 1, log=True), "n": Int(1, 20)}


class _ParabolaP(StudyP[StudyParams]):
    def _objective(self, trial: Any) -> float:
        return float(trial.params["x"] ** 2 + trial.params["rate"] + trial.params["n"])


class _UpstreamP(Persistable[None, StudyParams]):
    """An upstream like any other, of the same params."""


@dataclass
class _ChoiceParams(PersistableParams):
    n_trials: int
    by: int | None = None


class _ChoiceP(Persistable[dict[str, float], _ChoiceParams]):
    def _generate_payload(self) -> dict[str, float]:
        return {"x": 0.1234567, "rate": 0.001234567, "n": 12}


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError:
        raise Skip("optuna is not installed") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@case("study", "study: 1,000 trials by TPE, journal")
def overhead_of_study(bench: Bench) -> Row:
    """A search of a trivial objective, from nothing to the persisted artifact; against Optuna on its own journal."""
    optuna = _optuna()
    n_trials = 20 if bench.quick else 1000
    folders = (bench.folder / str(number) for number in itertools.count())

    def bare() -> None:
        folder = next(folders)
        folder.mkdir()
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
        # What StudyP spells out: the defaults of Optuna 5.
        sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=1)
        study = optuna.create_study(storage=optuna.storages.JournalStorage(backend), sampler=sampler)

        def objective(trial: Any) -> float:
            n, rate = trial.suggest_int("n", 1, 20), trial.suggest_float("rate", 1e-4, 1, log=True)
            return float(trial.suggest_float("x", -5, 5) ** 2 + rate + n)

        study.optimize(objective, n_trials=n_trials)

    def ours() -> None:
        _ParabolaP(next(folders), StudyParams(search_space=_SPACE, seed=1)).load_generate(n_trials=n_trials)

    return compare(ours, bare, name="Optuna", reach=1.1, rounds=bench.rounds(3))


@case("best-params", "hit: the best of 2,000 trials")
def hit_of_best_params(bench: Bench) -> Row:
    """New params, a new study, and its best parameters; against two other new objects of the same params.

    The study is not opened, nor Optuna imported.
    """
    folder = bench.folder
    n_trials = 20 if bench.quick else 2000

    def params() -> StudyParams:
        return StudyParams(search_space=_SPACE, sampler=Sampler("RandomSampler"))

    def best() -> Any:
        return BestParamsP(_ParabolaP(folder, params()), n_trials=n_trials).load_generate()

    def other() -> Any:
        upstream = _UpstreamP(folder, params())
        return _ChoiceP(folder, _ChoiceParams(n_trials), {"study": upstream}, payload_io=JsonFileIO()).load_generate()

    _optuna()
    for make in (best, other):
        make()
    return compare(best, other, name="a hit", reach=1.2, rounds=bench.rounds(150))
