"""What plots of forecasts have in common."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..exceptions import MissingDependencyError, ParamsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check_last", "new_axes", "plot_forecast"]


def plot_forecast(
    known: pd.Series, found: pd.DataFrame, label: str, *, ax: Axes | None = None, coverage: float = 0.95
) -> Axes:
    """Plot what is known, and a forecast with its interval."""
    if ax is None:
        ax = new_axes()
    ax.plot(known.index, known.to_numpy(), color="black", linewidth=1.2, label=str(known.name))
    ax.fill_between(
        found.index, found["lower"], found["upper"], color="tab:orange", alpha=0.25, linewidth=0,
        label=f"{coverage:.0%} interval",
    )  # fmt: skip
    ax.plot(found.index, found["mean"], color="tab:orange", linewidth=1.2, label=label)
    ax.legend(frameon=False, loc="upper left")
    return ax


def new_axes(width: float = 10, height: float = 5) -> Axes:
    """Return axes in a figure of their own, by pyplot, as those of pandas: notebooks and ``plt.show()`` show it."""
    if find_spec("matplotlib") is None:
        raise MissingDependencyError.of("matplotlib", extra="forecasting", purpose="A plot")
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def check_last(last: Any) -> int:
    """Return how many rows to show, or raise ParamsError."""
    if isinstance(last, bool) or not isinstance(last, int | np.integer) or last < 1:
        raise ParamsError(f"last must be a number of rows, 1 or more; got {last!r}.")
    return int(last)
