"""StudyP: a search with Optuna as an artifact that can grow.

While trials run, they lie in a *working storage* that all workers share: a journal beside the artifact, or whatever
``storage`` names. When there are as many as were asked for, the *payload* is committed: a snapshot of the study in one
file, which is read without a lock or a database, can be verified, copied and mailed, and is never changed. Asked for
more trials, the search goes on in the working storage, and a new snapshot takes the place of the old one.

This module imports no Optuna: whoever only reads what was made of a study needs none.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .. import _leases, artifacts
from .._hooks import HOOKS, call, way_to_call
from .._persistable import Dependencies, Persistable
from .._progress import search as shown_search
from ..exceptions import ArtifactCorruptError, ArtifactNotFoundError, ParamsError, PersistableError, StudyError
from ..stores import DataDir, store_for
from .algorithms import exhaustive_space
from .fileio import StudyFileIO
from .params import StudyParamsT
from .storages import TrialStorage, private_folder
from .views import StudyViews, is_feasible, metrics_of, text_of

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from .opening import Working
    from .tally import Tally

__all__ = ["StudyP"]


_ORDER: Final = ("n_trials", "timeout", "n_jobs", "n_processes", "max_failures")
"""The keywords that say how the study is to be searched."""

_TAKE_KEYWORDS: Final = ("_objective", *(hook for hook in HOOKS if hook != "_validate_payload"))
"""The hooks that the other keywords are passed to."""


class _Orders(threading.local):
    """What a call in this thread has asked for, beyond what the hooks are told."""

    anew = False
    in_memory = False


_orders = _Orders()


class StudyP(StudyViews, Persistable["Study", StudyParamsT]):
    """A hyper-parameter search: an Optuna study that survives crashes, goes on where it stood, and can be shared.

    Subclass it, and say in :meth:`_objective` what a trial is worth. ``load_generate(n_trials=40)`` then sees to it
    that there are 40 complete trials in all: it runs those that are missing, or none. Interrupt it, and call it again;
    start the same script in several processes, or on several machines: they share the work.

    Parameters
    ----------
    data_dir, tracked_persistable_dependencies, payload_name, verbose, logger, storage_options, cache_dir
        As for :class:`~persistable.Persistable`.
    params : StudyParams
        The search space, directions, sampler, pruner, seed and enqueued points: all that is in the key, with the
        upstreams. How many trials there are is not.
    storage : str, path, optuna.storages.BaseStorage, optional
        Where trials lie while they are run. If not given, a journal: ``journal.log`` in the artifact's folder; or, if
        `data_dir` is no folder, in a folder of your own on this machine, so that workers on several machines need one
        of the following. The path of a journal file; a URL: ``sqlite:///path``, ``postgresql://…`` or what else
        SQLAlchemy knows, ``redis://host:port/0``, ``grpc://host:port``; a storage object of Optuna's.

    Attributes
    ----------
    storage_url : str
        Where the trials lie, as optuna-dashboard takes it, to watch a search from elsewhere while it runs: the path of
        the journal, or the URL of the storage, with ``***`` for the password.

    Raises
    ------
    ParamsError
        If the params are no StudyParams.
    StudyError
        If `storage` is none.

    Notes
    -----
    Hooks, beside those of Persistable:

    - ``_objective(self, trial, **untracked)`` returns the value of a trial, or one for each direction. All parameters
      of the search space are drawn before: ``trial.params["x"]``. It may report intermediate values, and raise
      ``optuna.TrialPruned``, as in any Optuna study;
    - ``_constraints(self, trial)``, if there is one, returns from a finished trial how far it violates each constraint:
      0 and less is feasible.

    An objective that raises fails its trial, whose traceback is kept as a user attribute; the search goes on, up to
    ``max_failures``.

    **Exact resumption.** The draws of a trial depend on the seed, on which trial it is, and on the trials that its
    sampler learns from. With one trial at a time, 10 trials and then 14 are the same as 24 in one go. A trial whose
    worker died is marked as failed, and repeated.

    **Several workers** decide each by itself whether one more trial is needed; at the end there may be up to one more
    for each further worker. What a trial draws depends then on which others have finished, and no seed can fix that.

    Examples
    --------
    >>> import tempfile
    >>> from persistable.studies import Float, StudyP, StudyParams
    >>> class ParabolaP(StudyP[StudyParams]):
    ...     def _objective(self, trial):
    ...         return (trial.params["x"] - 2) ** 2
    >>> study_p = ParabolaP(tempfile.mkdtemp(), StudyParams(search_space={"x": Float(-5, 5)}, seed=1))
    >>> study = study_p.load_generate(n_trials=20)
    >>> len(study.trials), abs(study.best_params["x"] - 2) < 0.5
    (20, True)
    >>> study_p.load_generate(n_trials=15) is study         # there are as many: nothing is run
    True
    >>> len(study_p.load_generate(n_trials=30).trials)      # ten more
    30
    """

    _is_made_together: ClassVar[bool] = True

    def __init__(
        self,
        data_dir: DataDir,
        params: StudyParamsT,
        tracked_persistable_dependencies: Dependencies = None,
        *,
        storage: str | os.PathLike[str] | BaseStorage | None = None,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
        storage_options: Mapping[str, Any] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            data_dir,
            params,
            tracked_persistable_dependencies,
            payload_name=payload_name,
            payload_io=StudyFileIO(),
            verbose=verbose,
            logger=logger,
            storage_options=storage_options,
            cache_dir=cache_dir,
        )
        self.__storage = None if storage is None else TrialStorage(storage, Path())

    # -----------------------------------------------------------------------------------------------------------------
    # What a subclass says

    def _objective(self, trial: Trial, *_: Any, **untracked_payload_params: Any) -> Any:
        """Return the value of a trial, a float, or one for each direction. To be overridden."""
        raise NotImplementedError(
            f"{type(self).__qualname__} does not say what a trial is worth: define _objective(self, trial)."
        )

    def _constraints(self, trial: FrozenTrial) -> Any:
        """Return how far a finished trial violates each constraint: a list of floats, 0 and less is feasible.

        It is called only where a subclass overrides it.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no constraints: define _constraints(self, trial).")

    # -----------------------------------------------------------------------------------------------------------------
    # The payload

    def load_generate(self, **untracked_payload_params: Any) -> Study:
        """Return the study, with at least as many complete trials as are asked for.

        Parameters
        ----------
        n_trials : int, optional
            Complete trials that there are to be in all, by whomever. A GridSampler or BruteForceSampler ends before
            when each point has been tried, and needs no number.
        timeout : float, optional
            Seconds after which no more trials are begun. There may be fewer than `n_trials` then.
        n_jobs : int
            Trials at a time in this process, in threads; -1 for one per processor.
        n_processes : int
            Worker processes on this machine; -1 for one per processor.
        max_failures : int or None
            How many trials may fail before the search ends with an error; None for any number.
        **untracked_payload_params
            Passed to the hooks, ``_objective`` among them. One that is almost one of the names above is refused, unless
            a hook names it as a parameter.

        Returns
        -------
        optuna.Study
            In memory, complete; what is done to it changes nothing that is stored.

        Raises
        ------
        ParamsError
            If a number makes no sense, or a name looks misspelt. Nothing is begun then.
        StudyError
            If neither a number nor a time says when to end, and there is nothing yet; if too many trials fail; if what
            lies in the storage is another study; if the objective asks for what is not in the search space.
        PersistError, LeaseTimeoutError, ManifestVersionError
            As for any persistable.
        """
        if self.__says_when_to_end(**untracked_payload_params) or self._payload_in_memory() is not None:
            return super().load_generate(**untracked_payload_params)
        # What is there is all that can be had, and nothing is generated: a failed generation would leave its log.
        key = self.key
        try:
            return self.load(**untracked_payload_params)
        except ArtifactNotFoundError as error:
            if error.key != key:
                raise
            raise StudyError(f"{self.payload_name} has not been persisted yet. {_SAY_WHEN_TO_END}") from None
        except ArtifactCorruptError as error:
            if error.key != key:
                raise
            raise StudyError(f"{artifacts.problem_of(error)} It can be made again. {_SAY_WHEN_TO_END}") from error

    def load(self, warn_if_validation_fails: bool = False, **untracked_payload_params: Any) -> Study:
        """Load the study from the store as it is, however many trials it has, and return it.

        Parameters
        ----------
        warn_if_validation_fails : bool
            Whether a study that ``_validate_payload`` refuses is loaded with a warning.
        **untracked_payload_params
            As for :meth:`load_generate`; passed to ``_post_load``.

        Raises
        ------
        ParamsError
            As for :meth:`load_generate`.
        ArtifactNotFoundError, ArtifactCorruptError, ManifestVersionError
            As for any persistable.
        """
        self.__says_when_to_end(**untracked_payload_params)
        return super().load(warn_if_validation_fails, **untracked_payload_params)

    def generate(self, persist: bool = True, **untracked_payload_params: Any) -> Study:
        """Search anew, whatever there is, and return the study.

        The trials so far are set aside, as a journal with the time in its name. Where they do not lie in a journal,
        delete the study there yourself.

        Parameters
        ----------
        persist : bool
            Without, the search happens in memory, and leaves nothing.
        **untracked_payload_params
            As for :meth:`load_generate`.

        Raises
        ------
        ParamsError
            As for :meth:`load_generate`.
        StudyError
            As for :meth:`load_generate`; if neither a number nor a time says when to end, whatever there is; and if
            somebody is working on the study.
        """
        if not self.__says_when_to_end(**untracked_payload_params):
            raise StudyError(
                f"{self.payload_name} would be searched anew, and nothing says how far it is to go. Pass "
                f"generate(n_trials=...), or timeout=... in seconds. For the trials that there are, call "
                f"load_generate()."
            )
        before = _orders.anew, _orders.in_memory
        _orders.anew, _orders.in_memory = persist, not persist
        try:
            return super().generate(persist, **untracked_payload_params)
        finally:
            _orders.anew, _orders.in_memory = before

    def _is_sufficient(
        self, payload: Study, n_trials: int | None = None, timeout: float | None = None, **untracked: Any
    ) -> bool:
        if n_trials is None:
            return timeout is None
        from .tally import Tally

        complete = len(Tally(payload.get_trials(deepcopy=False)).complete)
        return complete >= n_trials or self.__is_exhausted(payload)

    def _generate_payload(self, **untracked: Any) -> Study:
        return self.__search(None, **untracked)

    def _extend_payload(self, payload: Study, **untracked: Any) -> Study:
        return self.__search(payload, **untracked)

    def __search(
        self,
        known: Study | None,
        *,
        n_trials: int | None = None,
        timeout: float | None = None,
        n_jobs: int = 1,
        n_processes: int = 1,
        max_failures: int | None = 10,
        **untracked: Any,
    ) -> Study:
        if type(self)._objective is StudyP._objective:
            self._objective(None)  # type: ignore[arg-type]  # says what is missing
        if not self.__ends(n_trials, timeout):
            raise StudyError(_SAY_WHEN_TO_END)  # what there was is gone since it was looked at
        n_jobs, n_processes = _workers(n_jobs), _workers(n_processes)
        from .search import Limits
        from .snapshots import detached

        limits = Limits(n_trials, None if timeout is None else time.time() + timeout, max_failures)
        working = self.__working()
        if _orders.anew:
            with working.alone():
                working.begin_anew()
        with working.opened(known) as study:
            try:
                if n_processes == 1:
                    self.__work(working, study, limits, n_jobs, untracked)
                else:
                    self.__work_in_processes(study, limits, n_jobs, n_processes, untracked)
            except KeyboardInterrupt:
                self.logger.warning(
                    f"{self.payload_name} was interrupted. Its trials are kept in {working.storage}: load_generate() "
                    f"goes on."
                )
                raise
            found = detached(study)
        self.metrics = metrics_of(found)
        self.logger.info(f"{self.payload_name}: {text_of(self.metrics)}.")
        return found

    def __says_when_to_end(
        self,
        *,
        n_trials: Any = None,
        timeout: Any = None,
        n_jobs: Any = 1,
        n_processes: Any = 1,
        max_failures: Any = None,
        **untracked: Any,
    ) -> bool:
        """Raise ParamsError if an order makes no sense; return whether a search by it would end by itself."""
        _refuse_misspelt(type(self), untracked)
        _check_workers("n_jobs", n_jobs)
        _check_workers("n_processes", n_processes)
        if n_trials is not None:
            _check_number("n_trials", n_trials, least=0)
        if max_failures is not None:
            _check_number("max_failures", max_failures, least=1)
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0
        ):
            raise ParamsError(f"timeout must be a number of seconds, 0 or more; got {timeout!r}.")
        return self.__ends(n_trials, timeout)

    def __ends(self, n_trials: int | None, timeout: float | None) -> bool:
        return n_trials is not None or timeout is not None or self.__finite_space() is not None

    def __finite_space(self) -> Any:
        assert not isinstance(self.params.sampler, str)
        return exhaustive_space(self.params.sampler, self.params.search_space)

    def __is_exhausted(self, study: Study) -> bool:
        if self.__finite_space() is None:
            return False
        from .seeding import SeededSampler

        assert not isinstance(self.params.sampler, str)
        return SeededSampler(self.params.sampler, self.params.seed, self.params.search_space).is_exhausted(study)

    # -----------------------------------------------------------------------------------------------------------------
    # The search

    def __trial_storage(self, *, make: bool) -> TrialStorage:
        if self.__storage is not None:
            return self.__storage
        store, key = store_for(self.data_dir), self.key
        local = store.local_path(key.folder)
        folder = private_folder(store.url, key, make=make) if local is None else Path(local)
        return TrialStorage(None, folder / "journal.log")

    def __working(self) -> Working:
        from .opening import Working

        store, key = store_for(self.data_dir), self.key
        if _orders.in_memory:
            from optuna.storages import InMemoryStorage

            storage = TrialStorage(InMemoryStorage(), Path())
        else:
            storage = self.__trial_storage(make=True)

        @contextlib.contextmanager
        def alone() -> Iterator[None]:
            if _orders.in_memory or not store.single_flight:
                yield
                return
            lease = _leases.acquire(store, key, lambda: False, self.logger.debug, warn=self.logger.warning)
            with lease or contextlib.nullcontext():
                yield

        overrides = type(self)._constraints is not StudyP._constraints
        return Working(
            storage,
            f"{self.payload_name}-{key}",
            self.params,
            self._constraints if overrides else None,
            alone,
            store.time_to_live,
            self.logger.warning,
        )

    def __work(
        self, working: Working, study: Study, limits: Any, n_jobs: int, untracked: dict[str, Any], watched: bool = True
    ) -> None:
        from .search import Search

        way = way_to_call(type(self), StudyP, "_objective", arguments=1)
        logger = self.logger
        # A worker process has a parent that shows how far all are.
        with self.__shown(study, limits) if watched else contextlib.nullcontext(lambda tally: None) as show:
            Search(
                study,
                working.params.search_space,
                lambda trial: call(self._objective, way, untracked, trial),
                limits,
                working.worker(study),
                alone=working.alone,
                say=logger.info,
                warn=logger.warning,
                show=show,
                deterministic=working.params.deterministic,
                constraints=working.constraints,
            ).run(n_jobs)

    def __work_in_processes(
        self, study: Study, limits: Any, n_jobs: int, n_processes: int, untracked: dict[str, Any]
    ) -> None:
        from .processes import run_in_processes
        from .tally import Tally

        tally = Tally()
        with self.__shown(study, limits) as show:

            def watch() -> None:
                tally.read(study.get_trials(deepcopy=False))
                show(tally)

            work = partial(_take_part, self, limits, n_jobs, untracked)
            run_in_processes(work, n_processes, watch, self.logger.warning)

    def _take_part(self, limits: Any, n_jobs: int, untracked: dict[str, Any]) -> None:
        """Work on the study until a limit is reached, and leave it to others to publish it."""
        working = self.__working()
        with working.opened() as study:
            self.__work(working, study, limits, n_jobs, untracked, watched=False)

    @contextlib.contextmanager
    def __shown(self, study: Study, limits: Any) -> Iterator[Callable[[Tally], None]]:
        """Show the progress of the search; the value is to be called with the tally, after each reading."""
        from .tally import Tally

        sign = {"minimize": 1, "maximize": -1}
        signs = [sign[direction] for direction in self.params.directions]
        best: float | None = None
        tally = Tally(study.get_trials(deepcopy=False))
        with shown_search(self.payload_name, limits.n_trials, tally.n_complete) as advance:

            def show(tally: Tally) -> None:
                nonlocal best
                for trial in tally.fresh:
                    if len(signs) == 1 and trial.state.name == "COMPLETE" and is_feasible(trial):
                        value = trial.values[0]
                        best = value if best is None else signs[0] * min(signs[0] * best, signs[0] * value)
                if tally.fresh:
                    advance(tally.n_complete, None if best is None else f"{best:.6g}")

            show(tally)
            yield show

    # -----------------------------------------------------------------------------------------------------------------
    # To be looked at

    @property
    def storage_url(self) -> str:
        """Where the trials lie, as optuna-dashboard takes it, with ``***`` for a password. Nothing is made there."""
        return str(self.__trial_storage(make=False))

    def _study_to_show(self) -> Study:
        return self.payload

    def _at_hand(self) -> tuple[str, str, Study | None, Mapping[str, Any] | None]:
        study = self._payload_in_memory()
        metrics: Mapping[str, Any] | None = None
        if study is None:
            with contextlib.suppress(PersistableError):
                metrics = self.manifest.metrics
        return self.payload_name, str(self.key), study, metrics


def _take_part(study_p: StudyP[Any], limits: Any, n_jobs: int, untracked: dict[str, Any]) -> None:
    """Do the work of one process; a function, so that it can be sent to one."""
    study_p._take_part(limits, n_jobs, untracked)


_SAY_WHEN_TO_END: Final = (
    "Say how far it is to go: load_generate(n_trials=...), or timeout=... in seconds. The trials of an interrupted "
    "search are kept, and count."
)


def _refuse_misspelt(kind: type[StudyP[Any]], untracked: Mapping[str, Any]) -> None:
    """Raise ParamsError for a keyword that is almost one of the study's own, and that nobody would look at."""
    for name in untracked:
        # By this measure n_job, ntrials, trials and n_trails are slips, and max_features is none.
        close = difflib.get_close_matches(name.lower(), _ORDER, n=1, cutoff=0.85)
        if close and not any(name in inspect.signature(getattr(kind, hook)).parameters for hook in _TAKE_KEYWORDS):
            raise ParamsError(
                f"There is no {name!r}: did you mean {close[0]!r}? If it is meant for the objective, let _objective "
                f"name it as a parameter: _objective(self, trial, {name}=...)."
            )


def _check_workers(name: str, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or (number < 1 and number != -1):
        raise ParamsError(f"{name} must be 1 or more, or -1 for one per processor; got {number!r}.")


def _workers(number: int) -> int:
    return (os.cpu_count() or 1) if number == -1 else number


def _check_number(name: str, number: Any, *, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ParamsError(f"{name} must be a whole number, {least} or more; got {number!r}.")
