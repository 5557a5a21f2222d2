"""What a study looks like: as a table, as numbers, as a line of text, as a card in a notebook, and in Optuna's plots.

All of it is made from the trials alone, whether they come from a file or from a search that is still going on. Two
things hold everywhere:

- A trial that violates a constraint is never the best, as in Optuna. Among equals the one with the lowest number is.
- A lost trial (its worker died, see :mod:`.seeding`) was repeated, and does not count: it stands in the table only.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from .._html import beside, card, escape, row, table, title
from .._text import amount, duration, printable
from ..exceptions import MissingDependencyError, StudyError

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

__all__ = ["PLOTS", "StudyViews", "frame_of", "html_of", "metrics_of", "plot", "text_of"]


# ---------------------------------------------------------------------------------------------------------------------
# Trials


def _counted(study: Study) -> list[FrozenTrial]:
    """Return the trials by number, without the lost ones."""
    from .seeding import LOST

    return [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get(LOST)]


def _complete(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state.name == "COMPLETE"]


def is_feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial violates no constraint. Those of a sampler are one list, those set in a trial single."""
    for name, value in trial.system_attrs.items():
        if name == "constraints" or name.startswith("constraints:"):
            violations = value if isinstance(value, Sequence) else [value]
            # NaN violates, and so does what is not known, because the hook raised.
            if not all(violation is not None and violation <= 0 for violation in violations):
                return False
    return True


def _signs(study: Study) -> list[int]:
    """Return per objective what makes a value one that is better the smaller it is."""
    return [-1 if direction.name == "MAXIMIZE" else 1 for direction in study.directions]


def _objectives(study: Study) -> list[str]:
    """Return the names of the objectives: those of the metrics where they have any, else 0, 1, …"""
    return study.metric_names or [str(index) for index in range(len(study.directions))]


def _pareto_front(study: Study) -> list[FrozenTrial]:
    return sorted(study.best_trials, key=lambda trial: trial.number)


# ---------------------------------------------------------------------------------------------------------------------
# As a table, and as numbers


def frame_of(study: Study) -> pd.DataFrame:
    """Return a table with one row per trial.

    Parameters
    ----------
    study : optuna.Study
        The study.

    Returns
    -------
    pandas.DataFrame
        Columns ``number``; ``state``, in Optuna's words, and LOST for a trial whose worker died; ``value``, or
        ``values_0``, ``values_1``, … (or the names of the metrics for the numbers), of a pruned trial what it last
        reported; ``params_<name>``; ``seconds``; and ``user_attrs_<name>``, without those of persistable.

    Raises
    ------
    MissingDependencyError
        If pandas is not installed.

    Examples
    --------
    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study()
    >>> study.enqueue_trial({"x": 0.5})
    >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    >>> frame_of(study).drop(columns="seconds")
       number     state  value  params_x
    0       0  COMPLETE    0.5       0.5
    """
    if find_spec("pandas") is None:
        raise MissingDependencyError.of("pandas", extra="pandas", purpose="A study as a table")
    import pandas as pd

    from .seeding import LOST

    trials = study.get_trials(deepcopy=False)
    table: dict[str, list[Any]] = {
        "number": [trial.number for trial in trials],
        "state": ["LOST" if trial.user_attrs.get(LOST) else trial.state.name for trial in trials],
    }
    objectives = _objectives(study)
    for index, name in enumerate(objectives):
        column = "value" if len(objectives) == 1 else f"values_{name}"
        table[column] = [math.nan if trial.values is None else trial.values[index] for trial in trials]
    for name in _names(trial.params for trial in trials):
        table[f"params_{name}"] = [trial.params.get(name) for trial in trials]
    table["seconds"] = [math.nan if trial.user_attrs.get(LOST) else _seconds(trial) for trial in trials]
    for name in _names(trial.user_attrs for trial in trials):
        if not name.startswith("persistable:"):
            table[f"user_attrs_{name}"] = [trial.user_attrs.get(name) for trial in trials]
    return pd.DataFrame(table)


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return all keys, in the order in which they first appear."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _seconds(trial: FrozenTrial) -> float:
    return math.nan if trial.duration is None else trial.duration.total_seconds()


def metrics_of(study: Study) -> dict[str, Any]:
    """Return how far a study has come, in numbers that a manifest can hold.

    Parameters
    ----------
    study : optuna.Study
        The study.

    Returns
    -------
    dict
        ``n_trials``, of which ``n_complete``, ``n_pruned``, ``n_failed``, and others that have not finished;
        ``seconds``, the sum over all finished trials. Of one objective, ``best_value``, ``best_trial`` (its number)
        and ``best_params``, all None as long as no trial that is feasible is complete. Of several, ``n_pareto``, the
        number of trials that no other one dominates, and ``best_values``, per objective the best that was reached.

    Examples
    --------
    >>> import optuna
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study()
    >>> study.enqueue_trial({"x": 0.5})
    >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    >>> metrics = metrics_of(study)
    >>> metrics["n_complete"], metrics["best_value"], metrics["best_params"]
    (1, 0.5, {'x': 0.5})
    """
    trials = _counted(study)
    states = Counter(trial.state.name for trial in trials)
    metrics: dict[str, Any] = {
        "n_trials": len(trials),
        "n_complete": states["COMPLETE"],
        "n_pruned": states["PRUNED"],
        "n_failed": states["FAIL"],
        "seconds": math.fsum(_seconds(trial) for trial in trials if trial.duration is not None),
    }
    signs = _signs(study)
    feasible = [trial for trial in _complete(trials) if is_feasible(trial)]
    if len(signs) == 1:
        best = min(feasible, key=lambda trial: signs[0] * trial.values[0], default=None)
        return metrics | {
            "best_value": None if best is None else float(best.values[0]),
            "best_trial": None if best is None else best.number,
            "best_params": None if best is None else dict(best.params),
        }
    best_values = {
        name: sign * min(sign * float(trial.values[index]) for trial in feasible) if feasible else None
        for index, (name, sign) in enumerate(zip(_objectives(study), signs, strict=True))
    }
    return metrics | {"n_pareto": len(_pareto_front(study)), "best_values": best_values}


# ---------------------------------------------------------------------------------------------------------------------
# As a line of text


def text_of(metrics: Mapping[str, Any]) -> str:
    """Return in one line how far a study has come.

    Parameters
    ----------
    metrics : mapping
        What :func:`metrics_of` said of it, now or when it was persisted.

    Examples
    --------
    >>> text_of({"n_trials": 16, "n_complete": 12, "n_pruned": 3, "n_failed": 1, "best_value": 0.0123, "best_trial": 7})
    '12 complete, 3 pruned, 1 failed; best 0.0123 at trial 7'
    """
    best = _best_text(metrics)
    return _counts_text(metrics) + (f"; {best}" if best else "")


def _counts_text(metrics: Mapping[str, Any]) -> str:
    counts = {word: int(metrics.get(f"n_{word}", 0)) for word in ("complete", "pruned", "failed")}
    counts["unfinished"] = int(metrics.get("n_trials", 0)) - sum(counts.values())
    shown = [f"{count} {word}" for word, count in counts.items() if count > 0]
    return ", ".join(shown) or "no trials"


def _best_text(metrics: Mapping[str, Any]) -> str:
    if metrics.get("best_value") is not None:
        return f"best {_number(metrics['best_value'])} at trial {metrics['best_trial']}"
    if metrics.get("n_pareto"):
        values = ", ".join(_number(value) for value in metrics["best_values"].values())
        return f"{metrics['n_pareto']} on the Pareto front; best values {values}"
    return "none feasible" if metrics.get("n_complete") else ""


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------------------------------------------------------------
# As a card in a notebook

# No style sheet, no script, no colour of the background or of the text: a notebook that is not trusted drops the first
# two, and its theme decides the others. One blue is readable on white and on black.
_BLUE: Final = "#3b82f6"
_WIDTH, _HEIGHT = 408, 168
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 400, 24, 142
_POINTS: Final = 600
"""Points of a picture, at most."""

_ROWS: Final = 12
"""Parameters in the table of a card, at most."""


def html_of(name: str, key: str, study: Study | None = None, metrics: Mapping[str, Any] | None = None) -> str:
    """Return a card for a notebook: how far the study has come, the best parameters, and a picture of its history.

    Parameters
    ----------
    name, key : str
        Of the artifact.
    study : optuna.Study, optional
        The study, where it is at hand.
    metrics : mapping, optional
        What :func:`metrics_of` said of it when it was persisted, for a card without a picture; not needed for a study
        that is at hand.

    Returns
    -------
    str
        HTML of at most some 20 kB, for light and dark themes, that needs nothing from elsewhere.

    Examples
    --------
    >>> "not searched yet" in html_of("tuning", "3f9a0c")
    True
    """
    if study is not None:
        metrics = metrics_of(study)
    if metrics is None:
        return card(title(name, key), pale="not searched yet")
    seconds = metrics.get("seconds")
    counts = _counts_text(metrics) + (f"; {duration(seconds)} of trials" if seconds else "")
    picture = "" if study is None else _picture(study)
    return card(title(name, key), beside(_table(metrics), picture), pale=counts)


def _table(metrics: Mapping[str, Any]) -> str:
    rows: list[tuple[str, str]] = []
    if metrics.get("best_value") is not None:
        rows.append((f"best, trial {metrics['best_trial']}", _number(metrics["best_value"])))
        params = metrics.get("best_params") or {}
    elif metrics.get("n_pareto"):
        rows.append(("Pareto front", amount(metrics["n_pareto"], "trial")))
        params = {f"best {_title(name)}": value for name, value in metrics["best_values"].items()}
    elif metrics.get("n_complete"):
        return "no trial is feasible"
    else:
        return ""
    rows += [(name, _number(value)) for name, value in list(params.items())[:_ROWS]]
    if len(params) > _ROWS:
        rows.append(("…", f"and {len(params) - _ROWS} more"))
    return table(
        row([printable(name, 40), printable(value, 40)], right={1}, style="" if index else "font-weight:bold")
        for index, (name, value) in enumerate(rows)
    )


def _title(objective: str) -> str:
    return f"value {objective}" if objective.isdigit() else objective


def _picture(study: Study) -> str:
    """Return the history of one objective, or the values of two; nothing for more, or without values."""
    trials = [trial for trial in _complete(_counted(study)) if all(map(math.isfinite, trial.values))]
    if not trials or len(study.directions) > 2:
        return ""
    return _history(study, trials) if len(study.directions) == 1 else _pareto(study, trials)


def _history(study: Study, trials: Sequence[FrozenTrial]) -> str:
    sign = _signs(study)[0]
    ends = [trials[0].number, trials[-1].number]
    across = _scale(ends, _LEFT, _RIGHT)
    values = [trial.values[0] for trial in trials]
    span = _without_outliers(values, sign)
    up = _scale(span, _BOTTOM, _TOP)
    feasible, others = _apart(trials, is_feasible)
    line, best, level = "", math.inf, None
    for trial in feasible:
        best = min(best, sign * trial.values[0])
        if up(sign * best) != level:
            x, level = across(trial.number), up(sign * best)
            line += f"H{x}V{level}" if line else f"M{x} {level}"

    def places(trials: Iterable[FrozenTrial]) -> list[tuple[int, int]]:
        return [(across(trial.number), up(trial.values[0])) for trial in trials]

    marks = [
        _dots(places(others), "currentColor", 0.15),
        _dots(places(feasible), "currentColor", 0.4),
        f"<path d='{line}H{_RIGHT}' fill='none' stroke='{_BLUE}' stroke-width='2'/>" if line else "",
    ]
    words = "value, and the best so far"
    return _svg(marks, ("trial", [str(end) for end in ends]), (words, _labels(span, values)))


def _pareto(study: Study, trials: Sequence[FrozenTrial]) -> str:
    values = [[trial.values[index] for trial in trials] for index in range(2)]
    spans = [_without_outliers(*each) for each in zip(values, _signs(study), strict=True)]
    across, up = _scale(spans[0], _LEFT, _RIGHT), _scale(spans[1], _BOTTOM, _TOP)

    def places(trials: Iterable[FrozenTrial]) -> list[tuple[int, int]]:
        return [(across(trial.values[0]), up(trial.values[1])) for trial in trials]

    numbers = {trial.number for trial in _pareto_front(study)}
    front, others = _apart(trials, lambda trial: trial.number in numbers)
    feasible, infeasible = _apart(others, is_feasible)
    marks = [
        _dots(places(infeasible), "currentColor", 0.15),
        _dots(places(feasible), "currentColor", 0.4),
        _dots(places(front), _BLUE, 1),
    ]
    names = [_title(name) for name in _objectives(study)]
    x_labels, y_labels = map(_labels, spans, values)
    return _svg(marks, (names[0], x_labels), (f"{names[1]}, and the Pareto front", y_labels))


def _apart(
    trials: Iterable[FrozenTrial], belongs: Callable[[FrozenTrial], bool]
) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    sides: tuple[list[FrozenTrial], list[FrozenTrial]] = ([], [])
    for trial in trials:
        sides[not belongs(trial)].append(trial)
    return sides


def _without_outliers(values: Sequence[float], sign: int) -> tuple[float, float]:
    """Return the range to show: all the good values, and the bad ones unless they would flatten the others."""
    ordered = sorted(sign * value for value in values)
    lower, upper = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
    worst = ordered[-1]
    if lower < upper:
        worst = min(worst, upper + 3 * (upper - lower))  # Tukey's "far out"
    ends = sign * ordered[0], sign * worst
    return min(ends), max(ends)


def _scale(values: Sequence[float], start: int, end: int) -> Callable[[float], int]:
    """Return what takes a value to a pixel; what is beyond the values stands at the edge."""
    low, high = min(values), max(values)

    def pixel(value: float) -> int:
        if not low < high:
            return (start + end) // 2
        # Halves, because the difference of two large floats may be infinite.
        part = (min(max(value, low), high) / 2 - low / 2) / (high / 2 - low / 2)
        return round(start + part * (end - start))

    return pixel


def _dots(places: Iterable[tuple[int, int]], color: str, opacity: float) -> str:
    """Return dots, as one path of round ends: some eight bytes each. Of many, one per cell of a grid is left."""
    places, cell = list(dict.fromkeys(places)), 1
    while len(places) > _POINTS:
        cell += 1
        places = list({(x // cell, y // cell): (x, y) for x, y in places}.values())
    if not places:
        return ""
    path = "".join(f"M{x} {y}h0" for x, y in places)
    return f"<path d='{path}' stroke='{color}' stroke-opacity='{opacity}' stroke-width='5' stroke-linecap='round'/>"


def _labels(span: tuple[float, float], values: Sequence[float]) -> list[str]:
    """Return what stands at the ends of an axis; it says where there are values beyond."""
    low, high = (f"{float(end):.3g}" for end in span)
    return ["≤ " * (min(values) < span[0]) + low, "≥ " * (max(values) > span[1]) + high]


def _svg(marks: Iterable[str], x_axis: tuple[str, Sequence[str]], y_axis: tuple[str, Sequence[str]]) -> str:
    (x_name, x_ends), (y_name, y_ends) = x_axis, y_axis
    below, middle = _BOTTOM + 18, (_LEFT + _RIGHT) // 2
    texts = [(_LEFT, _TOP - 10, "start", y_name)]
    if x_ends[0] == x_ends[1]:
        texts += [(middle, below, "middle", f"{x_name} {x_ends[0]}")]
    else:
        texts += [(_LEFT, below, "start", x_ends[0]), (middle, below, "middle", x_name)]
        texts += [(_RIGHT, below, "end", x_ends[1])]
    if y_ends[0] == y_ends[1]:
        texts += [(_LEFT - 8, (_TOP + _BOTTOM) // 2 + 4, "end", y_ends[0])]
    else:
        texts += [(_LEFT - 8, _BOTTOM, "end", y_ends[0]), (_LEFT - 8, _TOP + 8, "end", y_ends[1])]
    words = "".join(
        f"<text x='{x}' y='{y}' text-anchor='{anchor}'>{escape(text, 40)}</text>" for x, y, anchor, text in texts
    )
    frame = f"M{_LEFT - 4} {_TOP - 4}V{_BOTTOM + 4}H{_RIGHT + 4}"
    return (
        f"<svg width='{_WIDTH}' height='{_HEIGHT}' viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' "
        f"aria-label='{escape(y_name, 40)}' style='max-width:100%;height:auto'>"
        f"<path d='{frame}' fill='none' stroke='currentColor' stroke-opacity='.3'/>"
        f"<g font-size='11' fill='currentColor' fill-opacity='.7'>{words}</g>{''.join(marks)}</svg>"
    )


# ---------------------------------------------------------------------------------------------------------------------
# In Optuna's plots

PLOTS: Final[Mapping[str, str]] = {
    "contour": "plot_contour",
    "edf": "plot_edf",
    "history": "plot_optimization_history",
    "hypervolume_history": "plot_hypervolume_history",
    "importances": "plot_param_importances",
    "intermediate_values": "plot_intermediate_values",
    "parallel_coordinate": "plot_parallel_coordinate",
    "pareto_front": "plot_pareto_front",
    "rank": "plot_rank",
    "slice": "plot_slice",
    "timeline": "plot_timeline",
}
"""The kinds of plots, and Optuna's functions that draw them."""


def plot(study: Study, kind: str, *, backend: str = "auto", **options: Any) -> Any:
    """Draw one of Optuna's plots.

    Parameters
    ----------
    study : optuna.Study
        The study.
    kind : str
        One of :data:`PLOTS`.
    backend : {"auto", "plotly", "matplotlib"}
        What draws it; by default plotly where it is installed, and else matplotlib.
    **options : object
        Passed to Optuna's function, as ``params`` and ``target``.

    Returns
    -------
    plotly.graph_objects.Figure or matplotlib.axes.Axes
        The figure; with matplotlib one or several axes.

    Raises
    ------
    StudyError
        If there is nothing to plot yet.
    MissingDependencyError
        If what is to draw it is not installed.
    ValueError
        If there is no such plot or backend, or Optuna cannot draw it of this study: of one with several objectives
        most plots need a `target`.

    Notes
    -----
    Importances are those of PED-ANOVA unless another `evaluator` is passed: it is the default of Optuna 5, and needs
    nothing that is not there; the default of Optuna 4 needs scikit-learn.
    """
    if kind not in PLOTS:
        raise ValueError(f"There is no plot {kind!r} of a study. There is: {', '.join(PLOTS)}.")
    with _without_idle_warnings():
        module = _backend(backend)
        _check_something_to_plot(study, kind, options)
        if kind == "importances" and options.get("evaluator") is None:
            options["evaluator"] = _importance_evaluator()
        return getattr(module, PLOTS[kind])(study, **options)


@contextmanager
def _without_idle_warnings() -> Iterator[None]:
    """Keep from the user what is nothing to act upon.

    Optuna has called its matplotlib plots experimental since 2020, and draws a study of one trial, or with a long
    legend, in ways that matplotlib remarks on.
    """
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Attempting to set identical low and high|Tight layout not applied")
        yield


def _backend(name: str) -> Any:
    """Return the module of Optuna that draws."""
    import optuna

    if name not in ("auto", "plotly", "matplotlib"):
        raise ValueError(f"backend must be 'auto', 'plotly' or 'matplotlib', got {name!r}.")
    plotly, matplotlib = optuna.visualization, optuna.visualization.matplotlib
    if name != "matplotlib" and plotly.is_available():
        return plotly
    if name != "plotly" and matplotlib.is_available():
        return matplotlib
    if name == "auto":
        raise MissingDependencyError(
            "Plots of a study need 'plotly' or 'matplotlib', and neither is installed. "
            "Install one with: pip install plotly"
        )
    raise MissingDependencyError(
        f"This plot of a study needs {name!r}, which is not installed. Install it with: pip install {name}"
    )


def _check_something_to_plot(study: Study, kind: str, options: Mapping[str, Any]) -> None:
    trials, needed = study.get_trials(deepcopy=False), 1
    if kind == "timeline":
        what, found = "a trial that has begun", sum(trial.datetime_start is not None for trial in trials)
    elif kind == "intermediate_values":
        what, found = "a trial that has reported a value", sum(bool(trial.intermediate_values) for trial in trials)
    else:
        target = options.get("target") or options.get("targets") or (lambda trial: trial.values)
        what, found = "a complete trial with a finite value", sum(_is_finite(target(t)) for t in _complete(trials))
        if kind == "importances":
            what, needed = "two complete trials with finite values", 2
    if found < needed:
        counts = _counts_text(metrics_of(study))
        raise StudyError(f"There is nothing to plot yet: {kind} needs {what}, and the study has {counts}.")


def _is_finite(values: float | Sequence[float]) -> bool:
    return all(map(math.isfinite, values if isinstance(values, Sequence) else [values]))


def _importance_evaluator() -> BaseImportanceEvaluator:
    """Return PED-ANOVA, made to know which objectives of several are to be maximized.

    It asks what makes the value of an objective low, whichever the direction, and warns that it does.
    """
    from optuna.importance import PedAnovaImportanceEvaluator

    class Evaluator(PedAnovaImportanceEvaluator):
        def evaluate(
            self,
            study: Study,
            params: list[str] | None = None,
            *,
            target: Callable[[FrozenTrial], float] | None = None,
        ) -> dict[str, float]:
            index = None if target is None else _objective_of(study, target)
            if index is None:
                return super().evaluate(study, params, target=target)
            sign = _signs(study)[index]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*computes the importances of params to achieve low")
                return super().evaluate(study, params, target=lambda trial: sign * trial.values[index])

    return Evaluator()


def _objective_of(study: Study, target: Callable[[FrozenTrial], float]) -> int | None:
    """Return which objective a target is; None if it is something else."""
    trials = _complete(study.get_trials(deepcopy=False))
    for index in range(len(study.directions)):
        if all(target(trial) == trial.values[index] for trial in trials):
            return index
    return None


# ---------------------------------------------------------------------------------------------------------------------
# The methods of a study


class StudyViews(ABC):
    """The ways to look at a study, for a class that has one."""

    @abstractmethod
    def _study_to_show(self) -> Study:
        """Return the study, loaded if need be."""

    @abstractmethod
    def _at_hand(self) -> tuple[str, str, Study | None, Mapping[str, Any] | None]:
        """Return what a card shows, with nothing loaded for it: name, key, the study in memory, and its metrics."""

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per trial; see :func:`frame_of`.

        Returns
        -------
        pandas.DataFrame
            Number, state, value or values, parameters, seconds and user attributes of each trial.
        """
        return frame_of(self._study_to_show())

    def plot_history(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot the values of the trials, and the best so far.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "history", backend=backend, **options)

    def plot_importances(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot how much each parameter matters.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "importances", backend=backend, **options)

    def plot_parallel_coordinate(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot each trial as a line through its parameters and its value.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "parallel_coordinate", backend=backend, **options)

    def plot_slice(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot the value over each parameter.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "slice", backend=backend, **options)

    def plot_contour(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot the value over pairs of parameters. Name a few of many, with `params`: n parameters are n² plots.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "contour", backend=backend, **options)

    def plot_edf(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot which share of the trials is below each value.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "edf", backend=backend, **options)

    def plot_intermediate_values(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot what each trial reported, step by step.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "intermediate_values", backend=backend, **options)

    def plot_pareto_front(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot the values of two or three objectives, and the trials that none dominates.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "pareto_front", backend=backend, **options)

    def plot_hypervolume_history(
        self, reference_point: Sequence[float], *, backend: str = "auto", **options: Any
    ) -> Any:
        """Plot how much of the space of the objectives the trials so far dominate.

        Parameters
        ----------
        reference_point : sequence of float
            One value for each objective, as bad as any that counts: how much is measured from there.
        backend, **options
            As for :func:`plot`.
        """
        options["reference_point"] = reference_point
        return plot(self._study_to_show(), "hypervolume_history", backend=backend, **options)

    def plot_timeline(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot when each trial ran, and how it ended.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "timeline", backend=backend, **options)

    def plot_rank(self, *, backend: str = "auto", **options: Any) -> Any:
        """Plot pairs of parameters, coloured by the rank of the value. Name a few of many, as for a contour plot.

        Parameters
        ----------
        backend, **options
            As for :func:`plot`.
        """
        return plot(self._study_to_show(), "rank", backend=backend, **options)

    def _repr_html_(self) -> str:
        return html_of(*self._at_hand())
