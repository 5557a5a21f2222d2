"""RankingP: which of several models to use, and whether it is worth more than a baseline."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, get_args

import numpy as np
import pandas as pd

from .._persistable import Persistable
from ..exceptions import ForecastingError, ParamsError, PersistableError
from ..fileio.json import JsonFileIO
from ..params import PersistableParams
from ..stores import DataDir
from .deployment import NAME, deploy
from .evaluation import EvaluationP
from .leaderboard import TITLES, html_of, text_of
from .model import ModelP
from .plots import new_axes
from .scores import diebold_mariano, moves
from .transforms import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RankingP", "RankingParams"]

_Metric = Literal["rmse", "mae", "mase", "directional_accuracy"]
_METRICS: Final[tuple[str, ...]] = get_args(_Metric)
_BASELINE: Final = "baseline"
_ROLES: Final = ("champion", "challenger", "candidate")
_SCORES: Final = (*_METRICS, "interval_coverage", "interval_width")


@dataclass
class RankingParams(PersistableParams):
    """By what models are compared.

    Parameters
    ----------
    metric : {"rmse", "mae", "mase", "directional_accuracy"}
        What is to be small; of the last one, large.
    alpha : float
        How improbable by chance alone a difference must be to count, above 0 and below 1.
    """

    metric: _Metric = "rmse"
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if self.metric not in _METRICS:
            raise ParamsError(f"metric must be one of {', '.join(map(repr, _METRICS))}; got {self.metric!r}.")
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, int | float) or not 0 < self.alpha < 1:
            raise ParamsError(f"alpha must be above 0 and below 1; got {self.alpha!r}.")


class RankingP(Persistable["dict[str, Any]", RankingParams]):
    """Models in the order of their worth, judged by the same rows: a champion, a challenger, a candidate.

    The model with the best metric is the reference. Those whose difference to it may be chance (see
    :func:`.diebold_mariano`) tie with it, and the simplest of these is the champion: that with the fewest parameters,
    then with the better metric, then by name. The next ones by metric are challenger and candidate. The champion beats
    the baseline if it is better than the best one, and not by chance. A model that has no finite metric comes last, and
    is never champion.

    Parameters
    ----------
    data_dir : path, URL or Store
        Where it is kept.
    evaluations : sequence of EvaluationP
        Of one baseline at least, and of one other model at least; made by the same rows, in the same way. They may be
        of series that differ in their transform, or in their exogenous columns.
    params : RankingParams, optional
        By what they are compared.
    payload_name : str, optional
        ``ranking_p``, if not given.
    verbose : bool
        Whether to log to the console.
    logger : Logger, optional
        A logger to use instead of the payload's own.

    Attributes
    ----------
    evaluations : dict of str to EvaluationP
        By the names of their models, which are the roles, too.

    Raises
    ------
    ParamsError
        If two models have one name, or there is no baseline, or nothing else.
    ForecastingError
        If they were not judged by the same rows in the same way; as far as params do not tell, when the payload is
        made. And if no model, or no baseline, has the metric.

    Notes
    -----
    The payload is a dict of plain values: ``metric``, ``alpha``, ``how``, ``rows``, ``rows_digest``, ``models``
    and ``baselines`` (in order, with ``rank``, ``name``, ``family``, ``role``, ``key``, ``n_parameters``, ``metrics``,
    ``p_value`` of the difference to the reference, ``tie``, ``warnings``), ``reference``, ``champion``, ``baseline``
    (the best one), ``beats_baseline``, and ``p_value_baseline`` of the champion's difference to it.

    Losses are squared errors for RMSE, absolute ones for MAE, scaled ones for MASE, and missed directions. By
    ``how="forecast"``, the path of a window is one observation, its mean loss: with a single window, all models tie.
    Where the mean loss of the windows is smaller for one model, and the metric of all rows better for another, the
    difference tells nothing, and its p-value is 1.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from persistable.forecasting import BaselineP, LinearP, SeriesP, SplitP, SplitParams, load_champion
    >>> folder = Path(tempfile.mkdtemp())
    >>> levels = np.random.default_rng(0).normal(10, 1, 300)
    >>> index = pd.date_range("2024-01-01", periods=300, name="date")
    >>> pd.DataFrame({"level": levels}, index=index).to_csv(folder / "days.csv")
    >>> series_p = SeriesP.from_csv(folder, folder / "days.csv", target="level")
    >>> split_p = SplitP(folder, SplitParams.hold_out(100), series_p=series_p)
    >>> models = [kind(folder, series_p=series_p, split_p=split_p) for kind in (BaselineP, LinearP)]
    >>> ranking_p = RankingP(folder, [EvaluationP(folder, model_p) for model_p in models])
    >>> print(ranking_p.leaderboard().partition("Champion: ")[2])
    linear_p: the only model. It beats the baseline baseline_p
      (p < 0.001).
    >>> load_champion(ranking_p.deploy()).forecast(2).index.strftime("%Y-%m-%d").tolist()
    ['2024-10-27', '2024-10-28']
    """

    version: ClassVar[str | None] = "1"

    def __init__(
        self,
        data_dir: DataDir,
        evaluations: Sequence[EvaluationP],
        params: RankingParams | None = None,
        *,
        payload_name: str | None = None,
        verbose: bool = False,
        logger: Logger | None = None,
    ) -> None:
        params = RankingParams() if params is None else params
        self.evaluations = _by_name(evaluations)
        _check_comparable(self.evaluations)
        super().__init__(
            data_dir,
            params,
            self.evaluations,
            payload_name=payload_name,
            payload_io=JsonFileIO(),
            verbose=verbose,
            logger=logger,
        )

    def _generate_payload(self) -> dict[str, Any]:
        frames = {name: evaluation.payload for name, evaluation in self.evaluations.items()}
        entries = {name: _entry(evaluation) for name, evaluation in self.evaluations.items()}
        first = next(iter(self.evaluations.values()))
        metric, alpha = self.params.metric, self.params.alpha
        _check_same_rows({name: evaluation.metrics for name, evaluation in self.evaluations.items()})
        if metric == "mase":
            scales = {name: ", ".join(f"{scale:.9g}" for scale in frame["scale"].unique())
                      for name, frame in frames.items()}  # fmt: skip
            _require_equal("scale of the errors", scales)
        losses = {name: _losses(frame, metric, first.params.how) for name, frame in frames.items()}

        def cost(name: str) -> tuple[float, str]:
            value = entries[name]["metrics"][metric]
            return math.inf if value is None else -value if metric == "directional_accuracy" else value, name

        def p_value(name: str, other: str) -> float:
            return _p_value(losses[name], losses[other], cost(name)[0] < cost(other)[0])

        models, baselines = (
            sorted((name for name in entries if (entries[name]["family"] == _BASELINE) is wanted), key=cost)
            for wanted in (False, True)
        )
        reference, baseline = models[0], baselines[0]
        for name, kind, group in ((reference, "model", models), (baseline, "baseline", baselines)):
            if entries[name]["metrics"][metric] is None:
                raise ForecastingError(_not_applicable(metric, kind, [entries[each] for each in group]))
        for name, entry in entries.items():
            # Without a value, a model has no opinion that another one could be compared with.
            comparable = name != reference and entry["metrics"][metric] is not None
            entry["p_value"] = p_value(name, reference) if comparable else None
            entry["tie"] = comparable and entry["p_value"] >= alpha
        ties = [name for name in models if entries[name]["tie"]]
        entries[reference]["tie"] = bool(ties)
        champion = min([reference, *ties], key=lambda name: (entries[name]["n_parameters"], cost(name)))
        models.remove(champion)
        models.insert(0, champion)
        for rank, name in enumerate(models):
            entries[name] |= {"rank": rank + 1, "role": _ROLES[rank] if rank < len(_ROLES) else None}
        for rank, name in enumerate(baselines):
            entries[name] |= {"rank": rank + 1, "role": None}
        p_of_champion = p_value(champion, baseline)
        beats = cost(champion)[0] < cost(baseline)[0] and p_of_champion < alpha
        rmse = entries[champion]["metrics"]["rmse"]
        self.metrics |= {"champion": champion, "beats_baseline": beats, "rmse": rmse}
        return {
            "metric": metric,
            "alpha": alpha,
            "how": first.params.how,
            "rows": len(frames[first.name]),
            "rows_digest": first.metrics["rows_digest"],
            "models": [entries[name] for name in models],
            "baselines": [entries[name] for name in baselines],
            "reference": reference,
            "champion": champion,
            "baseline": baseline,
            "beats_baseline": beats,
            "p_value_baseline": p_of_champion,
        }

    @property
    def champion_p(self) -> ModelP[Any]:
        """The model to use; after a walk forward, that of the last window."""
        return self.evaluations[self.payload["champion"]].model_p

    def deploy(self, name: str = NAME) -> str:
        """Write which model to use into one small file at the top of the data_dir, in place of what it said before.

        :func:`.load_champion` loads the model from there. The model is persisted, if it is not yet.

        Parameters
        ----------
        name : str
            The name of the file, ending with ``.json``.

        Returns
        -------
        str
            Where it is.

        Raises
        ------
        ParamsError
            If `name` is no name of a file.
        StoreError
            If it cannot be written.
        """
        ranking = self.payload
        if not ranking["beats_baseline"]:
            self.logger.info(
                f"{ranking['champion']} is deployed, although it does not beat the baseline {ranking['baseline']}."
            )
        return deploy(
            self.data_dir,
            self.champion_p,
            next(entry for entry in ranking["models"] if entry["role"] == "champion"),
            {"payload_name": self.payload_name, "key": self.persist_hash},
            ranking["beats_baseline"],
            name,
        )

    # -----------------------------------------------------------------------------------------------------------------
    # To be looked at

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per model, in order, baselines last.

        Returns
        -------
        DataFrame
            By name: rank, role, family, number of parameters, metrics, p-value, tie, and warnings.
        """
        ranking = self.payload
        rows = [
            {
                **{name: entry[name] for name in ("name", "rank", "role", "family", "n_parameters")},
                **{name: _float(entry["metrics"][name]) for name in _SCORES},
                "p_value": _float(entry["p_value"]),
                "tie": entry["tie"],
                "warnings": "; ".join(entry["warnings"]),
            }
            for entry in [*ranking["models"], *ranking["baselines"]]
        ]
        return pd.DataFrame(rows).set_index("name")

    def leaderboard(self) -> str:
        """Return the ranking as a text for a terminal, with the verdict at the end."""
        return text_of(self.payload)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot how much better or worse than the best baseline each model is, as a bar.

        In percent of its metric; of directions, in percentage points.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot; in a new figure, if not given.

        Returns
        -------
        matplotlib Axes
        """
        ranking = self.payload
        metric = ranking["metric"]
        entries = [entry for entry in ranking["models"] if entry["metrics"][metric] is not None]
        if ax is None:
            ax = new_axes(height=1.2 + 0.4 * len(entries))
        names = [f"{entry['name']} ({entry['role']})" if entry["role"] else entry["name"] for entry in entries]
        colors = ["tab:orange" if entry["role"] == "champion" else "tab:gray" for entry in entries]
        positions = range(len(entries))
        best = ranking["baselines"][0]
        theirs = best["metrics"][metric]
        is_share = metric == "directional_accuracy"
        gaps = [100 * (entry["metrics"][metric] - theirs) / (1 if is_share else theirs) for entry in entries]
        ax.barh(positions, gaps, color=colors, height=0.6)
        ax.set_yticks(positions, names)
        ax.invert_yaxis()
        ax.axvline(0, color="black", linewidth=1, linestyle="--", label=f"{best['name']}, baseline")
        better = "points; more is better" if is_share else "%; less is better"
        ax.set_xlabel(f"{TITLES[metric]} against the baseline, {better}; {ranking['rows']} test rows")
        ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
        return ax

    def _repr_html_(self) -> str:
        ranking = self._payload_in_memory()
        if ranking is None:
            with contextlib.suppress(PersistableError):  # a notebook shows what there is, and makes nothing for that
                ranking = self.load()
        return html_of(ranking, self.payload_name, self.key)


# ---------------------------------------------------------------------------------------------------------------------
# What may be compared


def _by_name(evaluations: Sequence[EvaluationP]) -> dict[str, EvaluationP]:
    found: dict[str, EvaluationP] = {}
    if not isinstance(evaluations, Iterable):
        raise ParamsError(
            f"evaluations must be several EvaluationP, in a list: RankingP(data_dir, [a_p, b_p]); got one of type "
            f"{type(evaluations).__qualname__}."
        )
    for evaluation in evaluations:
        if not isinstance(evaluation, EvaluationP):
            raise ParamsError(f"evaluations must be EvaluationP; one is of type {type(evaluation).__qualname__}.")
        if evaluation.name in found:
            raise ParamsError(
                f"Two models are called {evaluation.name!r}. Give each a name of its own when you make it: "
                f"{type(evaluation.model_p).__name__}(…, payload_name='{evaluation.name}_2')."
            )
        found[evaluation.name] = evaluation
    families = [evaluation.model_p.forecaster_class.family for evaluation in found.values()]
    if _BASELINE not in families or set(families) == {_BASELINE}:
        lacks = "a model that is no baseline" if families and set(families) == {_BASELINE} else "a baseline (BaselineP)"
        raise ParamsError(
            f"A ranking needs one baseline at least, and one other model at least; {lacks} is missing among "
            f"{', '.join(found) or 'none'}."
        )
    return found


def _check_comparable(evaluations: Mapping[str, EvaluationP]) -> None:
    """Raise ForecastingError if the params tell that a comparison would not be fair."""
    for what in ("how", "coverage", "season"):
        _require_equal(what, {name: getattr(evaluation.params, what) for name, evaluation in evaluations.items()})


def _check_same_rows(metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ForecastingError if the evaluations were made by different rows."""
    _require_equal("number of rows", {name: each["rows"] for name, each in metrics.items()})
    digests = {name: each["rows_digest"] for name, each in metrics.items()}
    _require_equal("digest of the rows", digests)


def _require_equal(what: str, values: Mapping[str, Any]) -> None:
    (first, expected), *others = values.items()
    for name, found in others:
        if found != expected:
            raise ForecastingError(
                f"{name} and {first} were not judged alike, and cannot be compared. {name}: {what} {found}; {first}: "
                f"{what} {expected}. Evaluate them by the same rows and windows, in the same way."
            )


def _not_applicable(metric: str, kind: str, entries: Sequence[Mapping[str, Any]]) -> str:
    if all(entry["metrics"]["mae"] is None for entry in entries):
        why = "; ".join(f"{entry['name']}: {' '.join(entry['warnings']) or 'its errors overflow'}" for entry in entries)
        return f"No {kind} has finite forecasts of its test rows, and so a {metric}. {why}"
    if metric == "directional_accuracy":
        remedy = (
            "Add a baseline that forecasts moves (BaselineParams(kind='drift'), for instance), or rank by 'rmse'"
            if kind == "baseline"
            else "Rank by 'rmse'"
        )
        return f"No {kind} has a directional accuracy: none forecasts a move, or nothing moved. {remedy}."
    return (
        f"No {kind} has a {metric}: the training rows repeat from season to season, and give errors no scale. Choose "
        f"another season in EvaluationParams, or rank by 'mae'."
    )


def _entry(evaluation: EvaluationP) -> dict[str, Any]:
    """Return what is known of a model before it is compared."""
    found = evaluation.metrics
    return {
        "rank": None,
        "name": evaluation.name,
        "family": found["family"],
        "role": None,
        "key": found["model_keys"][-1],
        "n_parameters": found["n_parameters"],
        "metrics": {name: found[name] for name in (*_SCORES, "transformed_rmse") if name in found},
        "p_value": None,
        "tie": False,
        "warnings": list(found["warnings"]),
    }


def _losses(frame: pd.DataFrame, metric: str, how: str) -> Array:
    """Return what a forecast has lost on each row, as the metric sees it; of paths, the mean of each window.

    Errors along a path hang together: however long it is, it is one observation.
    """
    actual, mean, previous, scale, windows = (
        frame[name].to_numpy(np.float64) for name in ("actual", "mean", "previous", "scale", "window")
    )
    with np.errstate(all="ignore"):  # what is not finite has no metric, and is not compared
        if metric == "directional_accuracy":
            came = moves(actual, previous)
            moved = came != 0
            losses: Array = (came != moves(mean, previous))[moved].astype(np.float64)
            windows = windows[moved]
        elif metric == "rmse":
            losses = np.square(actual - mean)
        else:
            losses = np.abs(actual - mean) / (scale if metric == "mase" else 1.0)
        if how == "one_step":
            return losses
        return np.array([losses[windows == window].mean() for window in np.unique(windows)])


def _p_value(losses: Array, others: Array, is_better: bool) -> float:
    """Return that of the difference; 1 if what is tested says the contrary of the metric."""
    return diebold_mariano(losses, others) if bool(losses.mean() < others.mean()) is is_better else 1.0


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
