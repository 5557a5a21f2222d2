"""ARIMA models, with a season and exogenous columns, by statsmodels.

Kept are the orders and the parameters, not the result of statsmodels: that one takes megabytes, and its classes have
changed from version to version. Filtering the same rows with the same parameters, which takes milliseconds, gives the
same forecasts to the last bit; the log likelihood tells whether it does.
"""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Final, TextIO

import numpy as np

from ..exceptions import ForecastingError, MissingDependencyError, ParamsError
from .forecaster import Fitting, Forecaster, one_thread
from .model import ModelP, ModelParams
from .rows import Rows
from .transforms import Array, Path

__all__ = ["Arima", "ArimaP", "ArimaParams"]

_TRENDS: Final = ("n", "c", "t", "ct")

_HOME: Final = "statsmodels.tsa.arima.model"

_GAIN: Final = 0.01
"""How much more likely what a search on scaled values finds must be to be taken: in the logarithm of the likelihood."""

_ODD: Final = 5.0
"""How many times as large as the fit says its errors may be before something is wrong with the numbers."""

_CLOSE: Final = 1e-9
"""By how much two log likelihoods may differ, per row: another processor rounds otherwise, another formula is far off.
"""


@dataclass(kw_only=True)
class ArimaParams(ModelParams):
    """What an ARIMA model is like.

    Parameters
    ----------
    order : (int, int, int)
        p, d, q: how many autoregressive terms, differences, and moving averages.
    seasonal_order : (int, int, int, int)
        P, D, Q, s: the same at the distance of a season of s rows; s is 0 where there is none.
    trend : {"n", "c", "t", "ct"}, optional
        None at all, a constant, a line through the origin, or both. If not given: a constant, unless there are
        differences, in which it would vanish.
    maxiter : int
        How many iterations the search for the most likely parameters may take.
    window : int
        Which window of the split the model is fitted for, counted from 0.

    Raises
    ------
    ParamsError
        If this is no such model.

    Examples
    --------
    >>> ArimaParams(order=[2, 1, 0]).order
    (2, 1, 0)
    """

    order: tuple[int, int, int] = (1, 0, 0)
    seasonal_order: tuple[int, int, int, int] = (0, 0, 0, 0)
    trend: str | None = None
    maxiter: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        p, d, q = _whole_numbers("order", self.order, "p, d, q")
        P, D, Q, s = _whole_numbers("seasonal_order", self.seasonal_order, "P, D, Q, s")
        self.order, self.seasonal_order = (p, d, q), (P, D, Q, s)
        if s == 1 or (s == 0 and (P or D or Q)):
            raise ParamsError(
                f"seasonal_order={self.seasonal_order!r}: its last number is the season in rows, which must be 2 or "
                f"more where there are seasonal terms. For monthly rows and a yearly season, it is 12."
            )
        for name, ordinary, seasonal in (("autoregressive", p, P), ("moving-average", q, Q)):
            if seasonal and ordinary >= s:
                raise ParamsError(
                    f"order={self.order!r} has {ordinary} {name} terms, and seasonal_order={self.seasonal_order!r} has "
                    f"the one of lag {s} too. Choose fewer than {s} ordinary ones, or no seasonal one."
                )
        if self.trend is not None and self.trend not in _TRENDS:
            raise ParamsError(f"trend must be None or one of {', '.join(map(repr, _TRENDS))}; got {self.trend!r}.")
        if isinstance(self.maxiter, bool) or not isinstance(self.maxiter, int) or self.maxiter < 1:
            raise ParamsError(f"maxiter must be a whole number, 1 or more; got {self.maxiter!r}.")


class Arima(Forecaster):
    """A fitted ARIMA model; see :class:`.Forecaster`.

    Examples
    --------
    >>> import pandas as pd
    >>> dates = pd.date_range("2020-01-01", periods=100)
    >>> history = pd.DataFrame({"rate": np.random.default_rng(0).normal(size=100).cumsum()}, index=dates)
    >>> payload = Arima.fit(history, ArimaParams(order=(0, 1, 1)))
    >>> payload["names"]
    ['ma.L1', 'sigma2']
    >>> Arima(payload, history).forecast(2).index.strftime("%Y-%m-%d").tolist()
    ['2020-04-10', '2020-04-11']

    Notes
    -----
    Means and standard errors are those of statsmodels: the uncertainty of the parameters is not in the intervals.
    """

    family = "arima"

    @classmethod
    def with_choice(cls, params: ArimaParams, choice: Mapping[str, Any]) -> ArimaParams:
        """Return `params` with what a study has chosen: fields, or one by one p, d, q, P, D, Q, beside the season.

        Examples
        --------
        >>> Arima.with_choice(ArimaParams(seasonal_order=(1, 0, 0, 12)), {"p": 2, "q": 1, "P": 0}).seasonal_order
        (0, 0, 0, 12)
        """
        rest = dict(choice)
        merged: dict[str, Any] = {}
        for field, names in (("order", "pdq"), ("seasonal_order", "PDQ")):
            chosen = {name: rest.pop(name) for name in names if name in rest}
            if chosen:
                old = list(rest.pop(field, getattr(params, field)))
                merged[field] = [chosen.get(name, number) for name, number in zip(f"{names}s", old, strict=False)]
        settings: ArimaParams = super().with_choice(params, {**rest, **merged})
        return settings

    @classmethod
    def _fit(cls, rows: Rows, params: ArimaParams, fitting: Fitting) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "order": list(params.order),
            "seasonal_order": list(params.seasonal_order),
            # Spelled out, so that loading does not depend on what another version takes for the default.
            "trend": params.trend or ("n" if params.order[1] or params.seasonal_order[1] else "c"),
        }
        _check_enough(rows, spec)
        name = _name(spec)
        try:
            with _one_thread(), _heard() as texts:
                found, results = _found(spec, rows, params.maxiter)
                singular = _is_singular(spec, rows, results)
        except np.linalg.LinAlgError as error:
            raise ForecastingError(
                f"{name} cannot be fitted to these {len(rows.values)} rows: a matrix is singular ({error}). Choose "
                f"lower orders, another transform, or leave out exogenous columns that follow from each other."
            ) from error
        except ValueError as error:
            raise ForecastingError(
                f"{name} with trend={spec['trend']!r} is refused by statsmodels: {str(error).rstrip('.')}. Choose "
                f"another trend, other orders, or other exogenous columns."
            ) from error
        iterations, values = found.pop("iterations"), found["values"]
        found |= {
            "loglik": float(results.llf),
            "aic": float(results.aic),
            "bic": float(results.bic),
            "sigma2": values[-1],
            "nobs": int(results.nobs),
        }
        if not np.isfinite([*found["values"], found["loglik"]]).all():
            raise ForecastingError(
                f"{name} has no likely parameters: statsmodels found {found['values']}, with a log likelihood of "
                f"{found['loglik']}. Choose lower orders, or another transform."
            )
        if singular:
            found["converged"] = False
            fitting.warn(
                f"{name} is numerically singular: its forecasts or their errors are no numbers, or have nothing to do "
                f"with the values that are known. Choose lower orders, or another transform."
            )
        elif not found["converged"]:
            fitting.warn(_told(name, iterations, params.maxiter))
        fitting.metrics |= {key: found[key] for key in ("converged", "loglik", "aic", "bic")}
        fitting.metrics |= {"iterations": iterations, "fit_warnings": list(dict.fromkeys(texts))}
        return {**spec, **found}

    @cached_property
    def _results(self) -> Any:
        """What statsmodels makes of the history and the parameters, which are as they were found."""
        with _one_thread():
            results = _filtered(_model(self.payload, self.rows), self.payload["values"])
        expected, found = self.payload["loglik"], float(results.llf)
        if not self.payload.get("extended") and not math.isclose(
            found, expected, rel_tol=_CLOSE, abs_tol=_CLOSE * self.payload["nobs"]
        ):
            raise ForecastingError(
                f"The log likelihood of {_name(self.payload)} was {expected!r} when it was fitted, and is {found!r} "
                f"now, of the same rows: other versions of statsmodels or numpy compute it otherwise. Install those "
                f"that the manifest names, or fit anew with generate()."
            )
        return results

    def _path(self, steps: int, future: Rows) -> Path:
        exogenous = future.exogenous if future.exogenous.shape[1] else None
        with _one_thread():
            return _path_of(self._results, steps, exogenous)

    def _one_step(self, test: Rows) -> tuple[Array, Array]:
        results, model = self._results, self._results.model
        with _one_thread():
            # What results.extend() does, but for smoothing, which takes most of its time. Few rows may well have a
            # constant exogenous column: that check is for fits.
            extended = model.clone(
                test.values,
                exog=test.exogenous if test.exogenous.shape[1] else None,
                trend_offset=model.trend_offset + model.nobs,
                validate_specification=False,
            )
            extended.initialize_known(results.predicted_state[:, -1], results.predicted_state_cov[:, :, -1])
            found = _filtered(extended, self.payload["values"])
        return np.array(found.forecasts[0]), np.sqrt(found.forecasts_error_cov[0, 0])

    def _residuals(self) -> Array:
        residuals = np.full(len(self.rows.values), np.nan)
        burned = len(residuals) - int(self._results.nobs) + _n_lost(self.payload)
        residuals[burned:] = self._results.resid[_n_lost(self.payload) :]
        return residuals

    @property
    def n_parameters(self) -> int:
        """How many coefficients were fitted: trend, exogenous, AR and MA terms. The variance of the errors is none."""
        return len(self.payload["values"]) - 1

    def summary(self) -> str:
        """Return orders, parameters and likelihood, as a text of several lines."""
        payload = self.payload
        names = list(payload["names"])
        first = _n_trend(payload["trend"])
        columns = [str(column) for column in self.history.columns[1:]]
        names[first : first + len(columns)] = columns  # statsmodels, given plain arrays, calls them x1, x2, …
        table = [
            *zip(names, payload["values"], strict=True),
            ("log likelihood", payload["loglik"]),
            ("AIC", payload["aic"]),
            ("BIC", payload["bic"]),
        ]
        width = max(len(name) for name, _ in table)
        lines = [
            f"{_name(payload)} model of {self.history.columns[0]} (transform {self.transform})",
            f"{payload['nobs']} values, {self.n_parameters} parameters, trend {payload['trend']}",
            "",
            *(f"{name:<{width}}{value:>15.6g}" for name, value in table),
        ]
        if not payload["converged"]:
            lines.append("The fit has not converged.")
        return "\n".join(lines)


class ArimaP(ModelP[ArimaParams]):
    """An ARIMA model as an artifact; see :class:`.ModelP`.

    Notes
    -----
    Metrics, beside those of all models: ``converged``, ``iterations``, ``loglik``, ``aic``, ``bic``, and what
    statsmodels has warned of, ``fit_warnings``.
    """

    forecaster_class: ClassVar[type[Forecaster]] = Arima
    params_class: ClassVar[type[ModelParams]] = ArimaParams


# ---------------------------------------------------------------------------------------------------------------------
# Orders


def _whole_numbers(field: str, value: Any, names: str) -> list[int]:
    """Return an order as plain ints."""
    n_expected = len(names.split(", "))
    numbers: list[Any] = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    whole = all(isinstance(each, int | np.integer) and not isinstance(each, bool) and each >= 0 for each in numbers)
    if len(numbers) != n_expected or not whole:
        raise ParamsError(f"{field} must be {n_expected} whole numbers, 0 or more, for {names}; got {value!r}.")
    return [int(each) for each in numbers]


def _name(spec: Mapping[str, Any]) -> str:
    name = f"ARIMA({', '.join(map(str, spec['order']))})"
    *seasonal, season = spec["seasonal_order"]
    return f"{name}({', '.join(map(str, seasonal))})[{season}]" if any(seasonal) else name


def _n_lost(spec: Mapping[str, Any]) -> int:
    """Return how many values the differences take: nothing can be said of the first ones."""
    _, d, _ = spec["order"]
    _, D, _, s = spec["seasonal_order"]
    return int(d + D * s)


def _longest_lag(spec: Mapping[str, Any]) -> int:
    p, _, q = spec["order"]
    P, _, Q, s = spec["seasonal_order"]
    return int(max(p + P * s, q + Q * s))


def _n_trend(trend: str) -> int:
    return 0 if trend == "n" else len(trend)


def _check_enough(rows: Rows, spec: Mapping[str, Any]) -> None:
    """Raise ForecastingError if there are fewer values than the orders reach back, and numbers to be fitted."""
    p, _, q = spec["order"]
    P, _, Q, _ = spec["seasonal_order"]
    lost, longest = _n_lost(spec), _longest_lag(spec)
    n_parameters = _n_trend(spec["trend"]) + rows.exogenous.shape[1] + p + q + P + Q + 1
    needed = lost + longest + n_parameters + 1
    n = int(np.isfinite(rows.values).sum())
    if n < needed:
        raise ForecastingError(
            f"{_name(spec)} needs at least {needed} values, and there are {n}: {lost} are lost to differences, the "
            f"longest lag is {longest}, and {n_parameters} parameters are to be fitted. Choose lower orders, a shorter "
            f"season, or more training rows."
        )


# ---------------------------------------------------------------------------------------------------------------------
# statsmodels


def _one_thread() -> contextlib.AbstractContextManager[Any]:
    """Import statsmodels, and let the BLAS that it brings with scipy use one thread too: before, it was not there."""
    if find_spec("statsmodels") is None:
        raise MissingDependencyError.of("statsmodels", extra="statsmodels", purpose="An ARIMA model")
    import_module(_HOME)
    return one_thread()


def _model(spec: Mapping[str, Any], rows: Rows) -> Any:
    known = np.isfinite(rows.values)  # a difference has none at the first row
    return import_module(_HOME).ARIMA(
        rows.values[known],
        rows.exogenous[known] if rows.exogenous.shape[1] else None,
        order=tuple(spec["order"]),
        seasonal_order=tuple(spec["seasonal_order"]),
        trend=spec["trend"],
    )


def _filtered(model: Any, values: Any) -> Any:
    """Return the results of the filter, without what no forecast needs: for a season of 12, half the memory."""
    names = import_module("statsmodels.tsa.statespace.kalman_filter")
    spared = names.MEMORY_NO_FILTERED | names.MEMORY_NO_GAIN | names.MEMORY_NO_SMOOTHING
    return model.filter(np.array(values, float), cov_type="none", conserve_memory=spared)


def _path_of(results: Any, steps: int, exogenous: Array | None) -> Path:
    """Return what comes after the rows that were filtered."""
    forecast = results.get_forecast(steps, exog=exogenous)
    return Path(np.asarray(forecast.predicted_mean), np.asarray(forecast.se_mean), _se_of_sum(results, steps))


def _se_of_sum(results: Any, steps: int) -> Array:
    """Return the standard error of the sum of the first values to come.

    What is not known of the state at the end of the history, and each shock after it, moves all later values: by the
    psi weights, the design times powers of the transition, which add up in the sum.
    """
    space = results.model.ssm
    transition, shock = space["transition"], space["selection"]
    reach = np.empty((steps, len(transition)))
    weights = space["design"][0]
    for step in range(steps):
        reach[step] = weights
        weights = weights @ transition
    reach = np.cumsum(reach, axis=0)
    of_state = (reach @ results.predicted_state_cov[:, :, -1] * reach).sum(axis=1)
    psi = reach @ shock
    of_shocks = np.cumsum((psi @ space["state_cov"] * psi).sum(axis=1))
    return np.asarray(np.sqrt(of_state + np.concatenate([[0.0], of_shocks[:-1]])))


def _is_singular(spec: Mapping[str, Any], rows: Rows, results: Any) -> bool:
    """Return whether the filter has broken down, as it does where terms cancel each other: nothing else tells."""
    exogenous = np.repeat(rows.exogenous[-1:], 12, axis=0) if rows.exogenous.shape[1] else None
    path = _path_of(results, 12, exogenous)  # the same numbers as a forecast of one step, and more
    errors = results.resid[_n_lost(spec) + _longest_lag(spec) :]  # the first ones are those of a state not yet known
    usable = np.isfinite(path).all() and np.min(path[1:]) > 0
    return not (usable and np.mean(errors**2) <= _ODD**2 * results.params[-1])


def _found(spec: Mapping[str, Any], rows: Rows, maxiter: int) -> tuple[dict[str, Any], Any]:
    """Return the parameters that are taken, and what the filter makes of them.

    The stopping rule of the search is not relative: of small values, such as daily returns, it breaks off, or believes
    to be done when it is not. Then it searches on scaled values too. Where it does well, nothing is changed.
    """
    found = _searched(spec, rows, maxiter)
    results = _filtered(_model(spec, rows), found["values"])
    scale = float(np.std(_differenced(spec, rows)))
    if scale > 0 and not (found["converged"] and 0.1 <= scale <= 10):
        with contextlib.suppress(np.linalg.LinAlgError):  # there is what has been found already
            other = _searched(spec, rows, maxiter, scale)
            other_results = _filtered(_model(spec, rows), other["values"])
            more = other_results.llf - np.nan_to_num(results.llf, nan=-np.inf)
            if more > _GAIN or (more > -_GAIN and other["converged"] and not found["converged"]):
                return other, other_results
    return found, results


def _differenced(spec: Mapping[str, Any], rows: Rows) -> Array:
    values = rows.values[np.isfinite(rows.values)]
    *_, D, _, s = spec["seasonal_order"]
    for _ in range(D):
        values = values[s:] - values[:-s]
    return np.diff(values, spec["order"][1])


def _searched(spec: Mapping[str, Any], rows: Rows, maxiter: int, scale: float = 1.0) -> dict[str, Any]:
    """Return the parameters that statsmodels finds for the values divided by `scale`, as those of the values."""
    if scale != 1.0:
        rows = Rows(rows.index, rows.values / scale, rows.exogenous)
    # The covariance of the parameters would take longer than the filter, and enters nothing.
    fitted = _model(spec, rows).fit(cov_type="none", method_kwargs={"maxiter": maxiter})
    names = list(fitted.param_names)
    powers = [2 if name == "sigma2" else 0 if name.startswith(("ar.", "ma.")) else 1 for name in names]
    return {
        "names": names,
        "values": [float(value) * scale**power for value, power in zip(fitted.params, powers, strict=True)],
        "converged": bool(fitted.mle_retvals["converged"]),
        "iterations": int(fitted.mle_retvals["iterations"]),
    }


def _told(name: str, iterations: int, maxiter: int) -> str:
    """Return what a user should know of a search that has not converged, and can do."""
    if iterations >= maxiter:
        return (
            f"{name} has not converged in {iterations} iterations: more likely parameters may exist. Raise maxiter, or "
            f"choose lower orders."
        )
    return (
        f"{name} has not converged: the search for its parameters broke off after {iterations} iterations, and more "
        f"likely ones may exist. Choose lower orders, or another transform."
    )


_filters = threading.Lock()


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Yield what this thread is warned of from now on, which nobody else hears. The filters belong to the process."""
    here = threading.get_ident()
    texts: list[str] = []
    with _filters, warnings.catch_warnings():
        show = warnings.showwarning

        def hear(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if threading.get_ident() == here:
                texts.append(str(message))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.simplefilter("always")
        warnings.showwarning = hear
        yield texts
