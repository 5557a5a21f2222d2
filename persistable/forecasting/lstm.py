"""LSTM: a recurrent network that reads the last values, by torch.

The same seed gives the same weights in every process of a machine: one thread fits, with random numbers of its own, and
nothing that the caller has set in torch has a say in it, or is other than before when it is done.

References
----------
.. [1] Hochreiter, S., and Schmidhuber, J. (1997), "Long Short-Term Memory", *Neural Computation* 9(8), 1735-1780.
.. [2] Loshchilov, I., and Hutter, F. (2019), "Decoupled Weight Decay Regularization", *ICLR*, for AdamW.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from .._progress import epochs
from ..exceptions import ForecastingError, MissingDependencyError, ParamsError
from ..fileio import FileIO, TorchFileIO
from .forecaster import Fitting, Forecaster
from .model import ModelP, ModelParams
from .plots import new_axes
from .rows import Rows
from .transforms import Array, Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor
    from torch.nn import Module

__all__ = ["Lstm", "LstmP", "LstmParams"]

_CHUNK: Final = 64
"""Rows that the network answers at once: always as many, so that an answer does not depend on what follows it."""

_PATHS: Final = 4 * _CHUNK - 1
"""How many paths are simulated for the intervals of far steps; with the forecast itself they fill their chunks."""

_WHOLE: Final = {
    "lags": 1, "hidden_size": 1, "num_layers": 1, "horizon": 1, "epochs": 1, "batch_size": 1, "patience": 1, "seed": 0,
}  # fmt: skip
"""Whole numbers among the params, and the lowest that each may be."""


@dataclass(kw_only=True)
class LstmParams(ModelParams):
    """What the network is like, and how it is fitted.

    Parameters
    ----------
    window : int
        Which window of the split the model is fitted for, counted from 0.
    lags : int
        How many values before a row the network reads.
    hidden_size : int
        The size of its memory.
    num_layers : int
        How many layers of LSTM there are.
    dropout : float
        The share of a layer's outputs that is left out while fitting, 0 or more and below 1.
    horizon : int
        How many steps the network forecasts at once; 1 if there are exogenous columns.
    epochs : int
        How often it sees each row at most.
    batch_size : int
        After how many rows the weights are changed.
    learning_rate : float
        By how much, above 0 and at most 1.
    weight_decay : float
        By how much weights shrink, relative to the learning rate: 0 or more, at most 1 / `learning_rate`.
    validation_share : float
        The share of the training rows, its last ones, that is held back to tell when to stop.
    patience : int
        After how many epochs without a lower validation loss the fit stops. The best weights are kept.
    seed : int
        Of the first weights, the batches and the dropout.

    Raises
    ------
    ParamsError
        If one of them cannot be used.

    Examples
    --------
    >>> LstmParams(hidden_size=8, learning_rate=0)
    Traceback (most recent call last):
    ...
    persistable.exceptions.ParamsError: learning_rate must be a number, above 0, at most 1; got 0.
    """

    lags: int = 20
    hidden_size: int = 16
    num_layers: int = 1
    dropout: float = 0.0
    horizon: int = 1
    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    validation_share: float = 0.15
    patience: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, lowest in _WHOLE.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < lowest:
                raise ParamsError(f"{name} must be a whole number, {lowest} or more; got {value!r}.")
            setattr(self, name, int(value))
        if self.seed >= 2**63:
            raise ParamsError(f"seed must be below 2**63, got {self.seed!r}.")
        self.dropout = _checked("dropout", self.dropout, "0 or more and below 1", 0 <= _number(self.dropout) < 1)
        rate, decay = self.learning_rate, self.weight_decay
        self.learning_rate = _checked("learning_rate", rate, "above 0, at most 1", 0 < _number(rate) <= 1)
        # Each step shrinks a weight by rate * decay of it.
        most = 1 / self.learning_rate
        allowed = f"0 or more, at most 1 / learning_rate = {most:g}"
        self.weight_decay = _checked("weight_decay", decay, allowed, 0 <= _number(decay) <= most)
        share = self.validation_share
        self.validation_share = _checked("validation_share", share, "above 0 and below 1", 0 < _number(share) < 1)


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return float(value) if is_number else np.nan


def _checked(name: str, value: Any, allowed: str, is_allowed: bool) -> float:
    """Return a number as the float that it is: one model has one key, in whatever way it is written."""
    if not is_allowed:
        raise ParamsError(f"{name} must be a number, {allowed}; got {value!r}.")
    return float(value)


class Lstm(Forecaster):
    """A fitted LSTM, made from its payload and the rows that it was fitted to.

    The network reads `lags` standardised values, oldest first, and beside each the exogenous columns of the row after
    it: with the last value it learns those of the row that is to be forecast. A linear layer makes the forecast of the
    last output.

    Notes
    -----
    The standard error of a step is that of the forecasts of the validation rows, by lead. Those rows have told when to
    stop, so that it is a little low. Beyond `horizon` steps the network reads its own forecasts, and standard errors
    are those of 255 simulated paths, whose errors, normal and alike to those of the validation rows, the network reads
    as well: what it has learnt of how errors last or fade is in the intervals. They are off by some 4 %, as so many
    paths are, and what the network has not learnt is not in them. The mean is the forecast that reads no errors.

    A forecast is the same to the last bit for a model that was fitted or loaded, whatever process asks, on the machine
    where it is made. It does not depend on how many rows or steps follow it in the same call; at another place in a
    call it may differ by rounding in single precision.
    """

    family = "lstm"

    def __init__(self, payload: Mapping[str, Any], history: pd.DataFrame) -> None:
        super().__init__(payload, history)
        self._first = _first_seen(self.rows)

    # -----------------------------------------------------------------------------------------------------------------
    # The fit

    @classmethod
    def _fit(cls, rows: Rows, params: LstmParams, fitting: Fitting) -> dict[str, Any]:
        first = _first_seen(rows)
        table = np.column_stack([rows.values, rows.exogenous])[first:]
        if params.horizon > 1 and table.shape[1] > 1:
            raise ForecastingError(
                f"The series has {table.shape[1] - 1} exogenous columns, whose values between a row and its target "
                f"horizon={params.horizon} steps later the network would not see. Choose horizon=1, or a series "
                f"without exogenous columns."
            )
        n_seen, n_validation = len(table), max(params.horizon, round(params.validation_share * len(table)))
        n_train = n_seen - n_validation - params.lags - params.horizon + 1
        if n_train < 1:
            raise ForecastingError(
                f"An LSTM with lags={params.lags} and horizon={params.horizon} needs {params.lags + params.horizon} "
                f"values to learn from, but of {n_seen}, the last {n_validation} are held back to tell when to stop "
                f"(validation_share={params.validation_share:g}). Choose fewer lags or a shorter horizon, or train "
                f"with more rows."
            )
        seen = table[: n_seen - n_validation]
        with np.errstate(over="ignore"):
            # A column that is constant while the network learns has nothing to be scaled by.
            mean, std = seen.mean(axis=0), np.where(np.ptp(seen, axis=0) == 0, 1.0, seen.std(axis=0))
        if not np.isfinite(std).all():
            raise ForecastingError(
                f"Values as large as {np.abs(seen).max():g} cannot be standardised. Look for outliers in the series."
            )
        inputs, targets = _examples((table - mean) / std, params.lags, params.horizon)
        held_back = n_seen - n_validation - params.lags
        config = {
            "lags": params.lags,
            "inputs": table.shape[1],
            "hidden_size": params.hidden_size,
            "num_layers": params.num_layers,
            "dropout": params.dropout,
            "horizon": params.horizon,
        }
        with _alone(params.seed), np.errstate(over="ignore", invalid="ignore"):  # _train() looks at its losses
            network = _network(config)
            validation = inputs[held_back:], targets[held_back:]
            losses, best_epoch = _train(network, (inputs[:n_train], targets[:n_train]), validation, params, fitting)
            errors = (targets[held_back:] - _answers(network, inputs[held_back:], params.horizon)) * std[0]
            state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        fitting.metrics |= {
            "epochs": len(losses["train"]),
            "best_epoch": best_epoch,
            "validation_loss": losses["validation"][best_epoch - 1],
            "losses": losses,
        }
        return {
            "config": config,
            "scaler": {"mean": mean.tolist(), "std": std.tolist()},
            "sigma": _root_mean_square(errors),
            "sigma_of_sum": _root_mean_square(np.cumsum(errors, axis=1)),
            # Times itself, the covariance of the errors by lead; that of few rows has no other root.
            "error_root": (np.linalg.qr(errors, mode="r") / np.sqrt(len(errors))).tolist(),
            "losses": losses,
            "best_epoch": best_epoch,
            **state,
        }

    # -----------------------------------------------------------------------------------------------------------------
    # Forecasts

    @cached_property
    def _trained(self) -> Module:
        """The network, with the weights of the payload; made where :func:`_alone` keeps its first ones from showing."""
        network = _network(self.payload["config"])
        network.load_state_dict({name: self.payload[name] for name in network.state_dict()})
        return network

    def _answered(self, values: Array, exogenous: Array) -> Array:
        """Return the forecasts of all rows that have `lags` rows before them; shape (n - lags, horizon)."""
        config, scaler = self.payload["config"], self.payload["scaler"]
        table = (np.column_stack([values, exogenous]) - scaler["mean"]) / scaler["std"]
        with _alone():
            found = _answers(self._trained, _inputs(table, config["lags"]), config["horizon"])
        answers: Array = found * scaler["std"][0] + scaler["mean"][0]
        return answers

    def _path(self, steps: int, future: Rows) -> Path:
        config, scaler = self.payload["config"], self.payload["scaler"]
        lags, horizon = config["lags"], config["horizon"]
        exogenous = np.concatenate([self.rows.exogenous[-lags:], future.exogenous])
        exogenous = (exogenous - scaler["mean"][1:]) / scaler["std"][1:]
        root = np.array(self.payload["error_root"])
        random = np.random.default_rng(0)  # the same draws for each model and each process
        # The first path is the forecast; the others have errors, and are needed beyond the first block only.
        paths = np.empty((1 if steps <= horizon else 1 + _PATHS, lags + steps + horizon))
        paths[:, :lags] = self.rows.values[-lags:]
        with _alone():
            for start in range(0, steps, horizon):
                read = np.empty((len(paths), lags, config["inputs"]), np.float32)
                read[:, :, 0] = (paths[:, start : start + lags] - scaler["mean"][0]) / scaler["std"][0]
                read[:, :, 1:] = exogenous[start + 1 : start + lags + 1]
                found = _answers(self._trained, read, horizon) * scaler["std"][0] + scaler["mean"][0]
                found[1:] += random.standard_normal((len(paths) - 1, len(root))) @ root
                paths[:, start + lags : start + lags + horizon] = found
        mean, simulated = paths[0, lags : lags + steps], paths[1:, lags : lags + steps]
        se, se_of_sum = (np.array(self.payload[name])[:steps] for name in ("sigma", "sigma_of_sum"))
        if steps > horizon:
            se = np.concatenate([se, simulated.std(axis=0)[horizon:]])
            se_of_sum = np.concatenate([se_of_sum, simulated.cumsum(axis=1).std(axis=0)[horizon:]])
        return Path(mean, se, se_of_sum)

    def _one_step(self, test: Rows) -> tuple[Array, Array]:
        lags = self.payload["config"]["lags"]
        values = np.concatenate([self.rows.values[-lags:], test.values])
        exogenous = np.concatenate([self.rows.exogenous[-lags:], test.exogenous])
        return self._answered(values, exogenous)[:, 0], np.full(len(test.values), self.payload["sigma"][0])

    def _residuals(self) -> Array:
        found = np.full(len(self.rows.values), np.nan)
        start = self._first + self.payload["config"]["lags"]
        answers = self._answered(self.rows.values[self._first :], self.rows.exogenous[self._first :])
        found[start:] = self.rows.values[start:] - answers[:, 0]
        return found

    # -----------------------------------------------------------------------------------------------------------------
    # What it is

    @property
    def n_parameters(self) -> int:
        """How many coefficients were fitted: the weights of the network. The variance of the errors is none."""
        return sum(self.payload[name].numel() for name in self.payload if name.startswith(("lstm.", "head.")))

    def summary(self) -> str:
        """Return the size of the network, and how its fit went, as a text of several lines."""
        config, losses, best = self.payload["config"], self.payload["losses"], self.payload["best_epoch"]
        layers = "1 layer" if config["num_layers"] == 1 else f"{config['num_layers']} layers"
        exogenous = f", {config['inputs'] - 1} exogenous" if config["inputs"] > 1 else ""
        return "\n".join(
            [
                f"LSTM, {layers} of {config['hidden_size']}, {self.n_parameters} weights",
                f"reads {config['lags']} values{exogenous}, forecasts {config['horizon']} at once",
                f"best epoch {best} of {len(losses['train'])}",
                f"loss {losses['train'][best - 1]:.6g} in training, {losses['validation'][best - 1]:.6g} in validation "
                f"(of standardised values)",
                f"standard error of the first step {self.payload['sigma'][0]:.6g} (transform {self.transform!r})",
            ]
        )


class LstmP(ModelP[LstmParams]):
    """A fitted LSTM as an artifact; see :class:`Lstm`, and :class:`.ModelP` for what it is given.

    The payload is kept as safetensors: the weights, and beside them the size of the network, the scaler, the standard
    errors and the losses. A fit shows a progress bar, where people are looking. Metrics: ``epochs``, ``best_epoch``,
    ``validation_loss``, and ``losses``, each epoch's in training and in validation, of standardised values.
    """

    forecaster_class = Lstm
    params_class = LstmParams

    def _payload_io(self) -> FileIO[Any]:
        return TorchFileIO()

    @contextmanager
    def _fitting(self, settings: LstmParams) -> Iterator[Fitting]:
        with super()._fitting(settings) as fitting, epochs(self.payload_name, settings.epochs) as show:
            fitting.show = show
            yield fitting

    def plot_loss(self, ax: Axes | None = None) -> Axes:
        """Plot the losses by epoch, and which epoch was the best.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot; in a new figure, if not given.

        Returns
        -------
        matplotlib Axes
        """
        payload = self.payload
        if ax is None:
            ax = new_axes()
        for name, losses in payload["losses"].items():
            ax.plot(range(1, len(losses) + 1), losses, label=name)
        ax.axvline(payload["best_epoch"], color="black", linewidth=0.8, linestyle=":", label="best epoch")
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss, of standardised values")
        ax.legend(frameon=False)
        return ax


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def _first_seen(rows: Rows) -> int:
    """Return the first row that has a value: a difference has none at the first date."""
    return int(np.argmax(np.isfinite(rows.values)))


def _inputs(table: Array, lags: int) -> Array:
    """Return what the network reads for each row from `lags` on; shape (n - lags, lags, columns), single precision.

    Examples
    --------
    >>> values, exogenous = np.arange(4.0), 10 * np.arange(4.0)
    >>> _inputs(np.column_stack([values, exogenous]), 2)[0].tolist()  # before row 2
    [[0.0, 10.0], [1.0, 20.0]]
    """
    ahead = np.column_stack([table[:-1, 0], table[1:, 1:]])
    windows = np.lib.stride_tricks.sliding_window_view(ahead, lags, axis=0)
    with np.errstate(over="ignore"):  # what single precision cannot hold is infinite, and its loss is looked at
        return np.ascontiguousarray(windows.transpose(0, 2, 1), dtype=np.float32)


def _examples(table: Array, lags: int, horizon: int) -> tuple[Array, Array]:
    """Return what the network reads, and the `horizon` values that it is to answer, wherever there are as many."""
    targets = np.lib.stride_tricks.sliding_window_view(table[lags:, 0], horizon)
    return _inputs(table, lags)[: len(targets)], targets


def _root_mean_square(errors: Array) -> list[float]:
    found: list[float] = np.sqrt(np.mean(errors**2, axis=0)).tolist()
    return found


# ---------------------------------------------------------------------------------------------------------------------
# The network

_guard = threading.RLock()


@contextmanager
def _alone(seed: int | None = None) -> Iterator[None]:
    """Let torch compute with one thread, as if nobody had set anything; for a fit, with random numbers from `seed` on.

    What was set before is put back. All of that belongs to the process, so that one thread of it is in here at a time.
    """
    if find_spec("torch") is None:
        raise MissingDependencyError.of("torch", extra="torch", purpose="An LSTM")
    import torch

    with _guard, ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if seed is not None:
            was_set, was_lenient = (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            )
            stack.callback(torch.use_deterministic_algorithms, was_set, warn_only=was_lenient)
            torch.use_deterministic_algorithms(True)
            torch.default_generator.manual_seed(seed)  # torch.manual_seed() would also seed what no fork restores
        yield


def _network(config: Mapping[str, Any]) -> Module:
    """Return a new network; its first weights are drawn from torch's generator."""
    from torch import float32, nn

    hidden_size, num_layers, dropout = config["hidden_size"], config["num_layers"], config["dropout"]
    given: dict[str, Any] = {"device": "cpu", "dtype": float32}  # whatever the caller's defaults are
    return nn.ModuleDict(
        {
            "lstm": nn.LSTM(
                config["inputs"],
                hidden_size,
                num_layers,
                batch_first=True,
                dropout=dropout if num_layers > 1 else 0.0,  # of the layers but the last one
                **given,
            ),
            "dropout": nn.Dropout(dropout),
            "head": nn.Linear(hidden_size, config["horizon"], **given),
        }
    )


def _run(network: Any, inputs: Tensor) -> Tensor:
    outputs, _ = network["lstm"](inputs)
    answers: Tensor = network["head"](network["dropout"](outputs[:, -1]))
    return answers


def _answers(network: Module, inputs: Array, horizon: int) -> Array:
    """Return the network's answers, in chunks of one size; shape (n, horizon)."""
    import torch

    network.eval()
    found = np.empty((len(inputs), horizon))
    with torch.inference_mode():
        for start in range(0, len(inputs), _CHUNK):
            some = inputs[start : start + _CHUNK]
            chunk = np.zeros((_CHUNK, *inputs.shape[1:]), np.float32)
            chunk[: len(some)] = some
            found[start : start + _CHUNK] = _run(network, torch.from_numpy(chunk))[: len(some)].numpy()
    return found


def _train(
    network: Module,
    train: tuple[Array, Array],
    validation: tuple[Array, Array],
    params: LstmParams,
    fitting: Fitting,
) -> tuple[dict[str, list[float]], int]:
    """Fit the network, leave the best weights in it, and return the losses and the best epoch, counted from 1."""
    import torch

    inputs = torch.from_numpy(train[0])
    targets = torch.from_numpy(train[1].astype(np.float32))
    optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
    order = torch.Generator(device="cpu").manual_seed(params.seed)
    losses: dict[str, list[float]] = {"train": [], "validation": []}
    best_epoch, best = 0, dict[str, Any]()
    for epoch in range(1, params.epochs + 1):
        network.train()
        total = 0.0
        shuffled: Any = torch.randperm(len(inputs), generator=order, device="cpu")
        for batch in shuffled.split(params.batch_size):
            optimizer.zero_grad()
            loss: Any = torch.nn.functional.mse_loss(_run(network, inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses["train"].append(total / len(inputs))
        losses["validation"].append(
            float(np.mean((validation[1] - _answers(network, validation[0], params.horizon)) ** 2))
        )
        latest = losses["validation"][-1]
        if not np.isfinite([total, latest]).all():
            raise ForecastingError(
                f"The loss is {losses['train'][-1]} in training and {latest} in validation after epoch {epoch} of "
                f"{params.epochs}: the fit has run away. Choose a smaller learning_rate (now "
                f"{params.learning_rate:g}), or look for outliers in the series."
            )
        if best_epoch == 0 or latest < losses["validation"][best_epoch - 1]:
            best_epoch, best = epoch, {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if fitting.show is not None:
            fitting.show(epoch, latest)
        if fitting.report is not None:
            fitting.report(epoch, latest)
        if epoch - best_epoch >= params.patience:
            break
    network.load_state_dict(best)
    if best_epoch == params.epochs:
        fitting.warn(
            f"The validation loss was lowest in the last of {params.epochs} epochs, so that more epochs may lower it "
            f"further."
        )
    return losses, best_epoch
