"""The LSTM: the network that a plain loop of torch finds, whatever the caller has set, and what it forecasts."""

from __future__ import annotations

import hashlib
import math
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from persistable import ForecastingError, MissingDependencyError, ParamsError, content_digest  # noqa: E402
from persistable.forecasting.forecaster import Fitting, forecaster_of  # noqa: E402
from persistable.forecasting.lstm import Lstm, LstmP, LstmParams  # noqa: E402
from persistable.forecasting.series import SeriesP, SeriesParams  # noqa: E402
from persistable.forecasting.split import SplitP, SplitParams  # noqa: E402

SMALL = {"lags": 6, "hidden_size": 4, "epochs": 5, "batch_size": 16}


def frame_of(values, **exogenous) -> pd.DataFrame:
    index = pd.date_range("2020-01-01", periods=len(values), freq="D")
    return pd.DataFrame({"x": np.asarray(values, float), **exogenous}, index=index)


def wave(n: int, noise: float = 0.1, seed: int = 0) -> np.ndarray:
    return 50 + 5 * np.sin(np.arange(n) / 4) + noise * np.random.default_rng(seed).normal(size=n)


def fitted(frame, transform="none", fitting=None, **params) -> Lstm:
    return Lstm(Lstm.fit(frame, LstmParams(**{**SMALL, **params}), transform=transform, fitting=fitting), frame)


def weights(payload) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in payload.items() if isinstance(value, torch.Tensor)}


FRAME = frame_of(wave(150))


@pytest.fixture(scope="module")
def model() -> Lstm:
    return fitted(FRAME)


# ---------------------------------------------------------------------------------------------------------------------
# Params


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lags": 0}, "lags must be a whole number, 1 or more; got 0"),
        ({"hidden_size": 2.5}, "hidden_size must be a whole number, 1 or more; got 2.5"),
        ({"num_layers": True}, "got True"),
        ({"horizon": 0}, "horizon"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"patience": 0}, "patience"),
        ({"seed": -1}, "seed must be a whole number, 0 or more"),
        ({"seed": 2**63}, r"seed must be below 2\*\*63"),
        ({"dropout": 1}, "dropout must be a number, 0 or more and below 1; got 1"),
        ({"dropout": "a"}, "got 'a'"),
        ({"learning_rate": 0}, "learning_rate must be a number, above 0, at most 1; got 0"),
        ({"learning_rate": math.inf}, "got inf"),
        ({"weight_decay": -1}, "weight_decay must be a number, 0 or more, at most 1 / learning_rate = 100; got -1"),
        ({"weight_decay": 101}, "at most 1 / learning_rate = 100; got 101"),
        ({"validation_share": 1.0}, "validation_share must be a number, above 0 and below 1; got 1.0"),
        ({"validation_share": math.nan}, "got nan"),
        ({"window": -1}, "window must be a whole number"),
    ],
)
def test_params_that_cannot_be_used_are_refused(params, message):
    with pytest.raises(ParamsError, match=message):
        LstmParams(**params)


def test_one_model_has_one_way_to_write_its_params():
    params = LstmParams(lags=np.int64(4), learning_rate=1, dropout=0)
    assert (type(params.lags), type(params.learning_rate), type(params.dropout)) == (int, float, float)


# ---------------------------------------------------------------------------------------------------------------------
# The fit


def by_hand(values, exogenous, *, lags, hidden_size, epochs, batch_size, lr, layers, dropout, horizon, seed):
    """Return the weights after each epoch, and the validation losses: the same fit, written out plainly."""
    torch.manual_seed(seed)
    lstm = torch.nn.LSTM(
        1 + exogenous.shape[1], hidden_size, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
    )
    left_out, head = torch.nn.Dropout(dropout), torch.nn.Linear(hidden_size, horizon)
    n, held_back = len(values), max(horizon, round(0.15 * len(values)))
    table = np.column_stack([values, exogenous])
    scaled = (table - table[: n - held_back].mean(0)) / table[: n - held_back].std(0)
    rows = range(lags, n - horizon + 1)
    inputs = [[[scaled[t - k, 0], *scaled[t - k + 1, 1:]] for k in range(lags, 0, -1)] for t in rows]
    targets = [scaled[t : t + horizon, 0] for t in rows]
    inputs, targets = (torch.tensor(np.array(each), dtype=torch.float32) for each in (inputs, targets))
    train = [i for i, t in enumerate(rows) if t + horizon <= n - held_back]
    validation = [i for i, t in enumerate(rows) if t >= n - held_back]
    optimizer = torch.optim.AdamW([*lstm.parameters(), *head.parameters()], lr=lr, weight_decay=0.0)
    order = torch.Generator().manual_seed(seed)
    states, losses = [], []
    for _ in range(epochs):
        lstm.train()
        left_out.train()
        for batch in torch.randperm(len(train), generator=order).split(batch_size):
            optimizer.zero_grad()
            answers = head(left_out(lstm(inputs[batch])[0][:, -1]))
            ((answers - targets[batch]) ** 2).mean().backward()
            optimizer.step()
        lstm.eval()
        left_out.eval()
        with torch.no_grad():
            answers = head(lstm(inputs[validation])[0][:, -1])
            losses.append(float(((answers - targets[validation]) ** 2).mean()))
        states.append({f"lstm.{name}": value.clone() for name, value in lstm.state_dict().items()})
        states[-1] |= {f"head.{name}": value.clone() for name, value in head.state_dict().items()}
    return states, losses


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"exogenous": True, "seed": 3},
        {"horizon": 3, "transform": "difference"},
        {"num_layers": 2, "dropout": 0.3, "seed": 7},
        {"dropout": 0.3, "learning_rate": 0.3},  # so large that the best epoch is not the last one
    ],
    ids=str,
)
def test_the_weights_are_those_of_a_plain_loop_to_the_last_bit(case):
    case = {**case}
    columns = {"e": np.cos(np.arange(150.0)), "f": np.arange(150.0) ** 2} if case.pop("exogenous", False) else {}
    frame, transform = frame_of(wave(150), **columns), case.pop("transform", "none")
    payload = Lstm.fit(frame, LstmParams(**{**SMALL, **case}), transform=transform)
    table = frame.to_numpy()
    values, exogenous = table[:, 0], table[:, 1:]
    if transform == "difference":
        values, exogenous = np.diff(values), exogenous[1:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            states, losses = by_hand(
                values, exogenous, lags=6, hidden_size=4, epochs=5, batch_size=16, lr=case.get("learning_rate", 1e-2),
                layers=case.get("num_layers", 1), dropout=case.get("dropout", 0.0), horizon=case.get("horizon", 1),
                seed=case.get("seed", 0),
            )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    best = int(np.argmin(losses))
    assert payload["best_epoch"] == best + 1
    assert weights(payload) == weights(states[best])
    np.testing.assert_allclose(payload["losses"]["validation"], losses, rtol=1e-5)


FIT = """if True:
    import hashlib
    import numpy as np, pandas as pd, torch
    from persistable.forecasting.lstm import Lstm, LstmParams
    torch.set_num_threads(2)
    torch.rand(2)
    index = pd.date_range("2020-01-01", periods=150, freq="D")
    values = 50 + 5 * np.sin(np.arange(150) / 4) + 0.1 * np.random.default_rng(0).normal(size=150)
    frame = pd.DataFrame({"x": values}, index=index)
    payload = Lstm.fit(frame, LstmParams(lags=6, hidden_size=4, epochs=5, batch_size=16, dropout=0.2))
    found = {name: value.numpy().tobytes() for name, value in payload.items() if isinstance(value, torch.Tensor)}
    print(torch.get_num_threads(), hashlib.sha256(repr(found).encode()).hexdigest())
"""


def test_the_weights_are_the_same_in_every_process_and_with_any_number_of_threads(run_python):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = weights(fitted(FRAME, dropout=0.2).payload)
    finally:
        torch.set_num_threads(threads)
    assert run_python(FIT).split() == ["2", hashlib.sha256(repr(here).encode()).hexdigest()]


def state_of_the_process():
    return (
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
    )


def test_nothing_that_the_caller_has_set_changes_or_matters(model):
    def fail(epoch, loss):
        raise KeyError("told to stop")

    before = state_of_the_process()
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(99)
        told = state_of_the_process()
        with torch.inference_mode(), torch.autocast("cpu"):
            again = fitted(FRAME)
            found = again.forecast(3)
            with pytest.raises(KeyError, match="told to stop"):
                fitted(FRAME, fitting=Fitting(report=fail))
        assert state_of_the_process() == told
    finally:
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
        torch.set_rng_state(torch.tensor(before[0], dtype=torch.uint8))
    assert state_of_the_process() == before
    assert weights(again.payload) == weights(model.payload)
    assert found.equals(model.forecast(3))


def test_fits_in_several_threads_do_not_disturb_each_other():
    alone = [weights(fitted(FRAME, seed=seed, dropout=0.2, epochs=2).payload) for seed in range(3)]
    found = {}

    def fit(seed):
        found[seed] = weights(fitted(FRAME, seed=seed, dropout=0.2, epochs=2).payload)

    threads = [threading.Thread(target=fit, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(3)] == alone
    assert alone[0] != alone[1]


def test_a_fit_stops_when_the_validation_loss_does_not_fall_and_keeps_the_best_weights():
    noise = frame_of(np.random.default_rng(1).normal(size=120))
    fitting = Fitting()
    model = fitted(noise, fitting=fitting, epochs=60, patience=3, learning_rate=0.05)
    losses, best = model.payload["losses"]["validation"], model.payload["best_epoch"]
    assert best == int(np.argmin(losses)) + 1
    assert len(losses) == best + 3 < 60
    assert fitting.metrics == {
        "epochs": len(losses),
        "best_epoch": best,
        "validation_loss": min(losses),
        "losses": model.payload["losses"],
    }
    # The weights are those of a fit that ended there.
    shorter = fitted(noise, epochs=best, patience=3, learning_rate=0.05)
    assert weights(shorter.payload) == weights(model.payload)


def test_what_goes_on_is_told_after_each_epoch_and_so_is_a_fit_that_was_too_short():
    reported, shown, told = [], [], []
    fitting = Fitting(report=lambda *now: reported.append(now), show=lambda *now: shown.append(now), warn=told.append)
    model = fitted(FRAME, fitting=fitting)
    assert reported == shown == list(enumerate(model.payload["losses"]["validation"], 1))
    assert model.payload["best_epoch"] == 5
    assert told == ["The validation loss was lowest in the last of 5 epochs, so that more epochs may lower it further."]


def test_a_study_prunes_a_fit_by_an_exception_that_comes_through():
    class Pruned(Exception):
        pass

    def report(epoch, loss):
        if epoch == 2:
            raise Pruned

    fitting = Fitting(report=report)
    with pytest.raises(Pruned):
        fitted(FRAME, fitting=fitting)


def test_a_loss_that_is_no_number_is_an_error_with_its_epoch_and_a_way_out():
    values = wave(150)
    values[140] = 1e200
    with pytest.raises(
        ForecastingError, match=r"in validation after epoch 1 of 5: .*smaller learning_rate \(now 0.01\)"
    ):
        fitted(frame_of(values))
    values[10] = 1e200
    with pytest.raises(ForecastingError, match=r"as large as 1e\+200 cannot be standardised. Look for outliers"):
        fitted(frame_of(values))


def test_too_few_rows_are_an_error_with_the_numbers():
    with pytest.raises(ForecastingError, match=r"lags=20 and horizon=2 needs 22 values.* of 25, the last 4 are held"):
        fitted(frame_of(wave(25)), lags=20, horizon=2)
    assert fitted(frame_of(wave(26)), lags=20, horizon=2, epochs=1).n_parameters == 122
    with pytest.raises(ForecastingError, match=r"needs 7 values.* of 2, the last 1"):
        fitted(frame_of([1, 3, 2]), "difference")


def test_a_horizon_goes_with_no_exogenous_columns():
    frame = frame_of(wave(60), e=np.arange(60.0))
    with pytest.raises(ForecastingError, match=r"1 exogenous columns.*horizon=2.*Choose horizon=1"):
        fitted(frame, horizon=2)


def test_columns_that_are_constant_while_the_network_learns_are_no_obstacle():
    switch = np.r_[np.zeros(130), np.ones(20)]
    model = fitted(frame_of(wave(150), e=np.full(150, 0.1), s=switch))
    assert model.payload["scaler"]["std"][1:] == [1.0, 1.0]
    assert np.isfinite(model.payload["losses"]["validation"]).all()


def test_without_torch_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("persistable.forecasting.lstm.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"An LSTM needs 'torch'.*persistable\[torch\]"):
        fitted(FRAME)


# ---------------------------------------------------------------------------------------------------------------------
# Forecasts


def test_a_wave_is_learnt_better_than_by_the_last_value():
    frame = frame_of(wave(400))
    train, test = frame.iloc[:320], frame.iloc[320:]
    model = fitted(train, lags=12, hidden_size=8, epochs=30)
    found = model.one_step(test)
    error = math.sqrt(((found["mean"] - test["x"]) ** 2).mean())
    naive = math.sqrt((frame["x"].diff().iloc[320:] ** 2).mean())
    assert error < 0.4 * naive
    inside = (found["lower"] < test["x"]) & (test["x"] < found["upper"])
    assert 0.8 < inside.mean() <= 1
    path = model.forecast(25)
    assert np.abs(path["mean"].to_numpy() - test["x"].to_numpy()[:25]).max() < 3
    assert path["mean"].max() - path["mean"].min() > 5  # it goes on swinging


def test_what_is_forecast_is_what_the_network_answers():
    frame = frame_of(wave(120), e=np.cos(np.arange(120.0)))
    train, test = frame.iloc[:100], frame.iloc[100:]
    model = fitted(train)
    payload = model.payload
    lstm, head = torch.nn.LSTM(2, 4, batch_first=True), torch.nn.Linear(4, 1)
    for name, layer in (("lstm", lstm), ("head", head)):
        layer.load_state_dict({key[5:]: value for key, value in payload.items() if key.startswith(f"{name}.")})
    scaled = (frame.to_numpy() - payload["scaler"]["mean"]) / payload["scaler"]["std"]

    def answer(t):
        read = [[scaled[t - k, 0], scaled[t - k + 1, 1]] for k in range(6, 0, -1)]
        with torch.no_grad():
            return float(head(lstm(torch.tensor([read], dtype=torch.float32))[0][:, -1])[0, 0])

    mean, std = payload["scaler"]["mean"][0], payload["scaler"]["std"][0]
    np.testing.assert_allclose(
        model.one_step(test)["mean"], [answer(t) * std + mean for t in range(100, 120)], rtol=1e-6
    )
    residuals = model.residuals
    assert residuals.isna().sum() == 6
    by_hand = [frame["x"].iloc[t] - answer(t) * std - mean for t in range(6, 100)]
    np.testing.assert_allclose(residuals.iloc[6:], by_hand, atol=1e-4)
    np.testing.assert_allclose(payload["sigma"][0], math.sqrt((residuals.iloc[85:] ** 2).mean()))
    steps = []
    for t in range(100, 105):  # from its own forecasts, and the exogenous values to come
        scaled[t, 0] = answer(t)
        steps.append(scaled[t, 0] * std + mean)
    np.testing.assert_allclose(model.forecast(5, test.iloc[:5])["mean"], steps, rtol=1e-5)


def errors_of(path_or_forecast: pd.DataFrame) -> np.ndarray:
    return ((path_or_forecast["upper"] - path_or_forecast["mean"]) / 1.959963984540054).to_numpy()


def test_steps_are_forecast_in_blocks_of_which_the_first_has_the_errors_of_the_validation_rows():
    model = fitted(FRAME, horizon=3)
    found = model.forecast(7)
    np.testing.assert_allclose(errors_of(found)[:3], model.payload["sigma"], rtol=1e-9)
    for steps in range(1, 7):
        assert found.iloc[:steps].equals(model.forecast(steps))
    assert model.one_step(frame_of(wave(151)).iloc[150:])["mean"].iloc[0] == found["mean"].iloc[0]


def test_intervals_of_levels_are_those_of_the_sum_of_steps():
    frame = frame_of(np.exp(np.random.default_rng(0).normal(0, 0.01, 200).cumsum()))
    model = fitted(frame, "log_return", horizon=2)
    found = model.forecast(4)
    expected = model.payload["sigma_of_sum"]
    np.testing.assert_allclose(np.log(found["upper"] / found["mean"])[:2] / 1.959963984540054, expected, rtol=1e-9)
    assert model.residuals.isna().sum() == 7


def test_the_errors_that_are_drawn_have_the_covariance_of_the_validation_errors():
    """Also where there are fewer of those than leads."""
    for n, horizon in ((150, 3), (40, 8)):
        payload = fitted(frame_of(wave(n)), horizon=horizon).payload
        root = np.array(payload["error_root"])
        covariance = root.T @ root
        np.testing.assert_allclose(np.sqrt(np.diag(covariance)), payload["sigma"], rtol=1e-9)
        np.testing.assert_allclose(np.sqrt(covariance.sum()), payload["sigma_of_sum"][-1], rtol=1e-9)
    assert len(root) == 1 < 8
    assert np.isfinite(fitted(frame_of(wave(40)), horizon=8).forecast(20)).all(axis=None)


def autoregression(coefficient: float, n: int, seed: int) -> np.ndarray:
    noise, values = np.random.default_rng(seed).normal(size=n), np.zeros(n)
    for row in range(1, n):
        values[row] = coefficient * values[row - 1] + noise[row]
    return values


@pytest.mark.parametrize("horizon", [1, 2])
def test_differences_that_go_on_have_intervals_that_cover_the_levels_of_many_steps(horizon):
    frame = frame_of(autoregression(0.7, 1500, seed=1).cumsum())
    model = fitted(frame.iloc[:600], "difference", lags=3, epochs=12, batch_size=32, horizon=horizon)
    inside = []
    for row in range(606, 1490, 8):
        known = model.extended(frame.iloc[600:row])
        found, levels = known.forecast(6), frame["x"].iloc[row : row + 6]
        inside.append((found["lower"] < levels) & (levels < found["upper"]))
    covered = np.mean(inside, axis=0)
    assert (covered > 0.87).all(), covered
    assert (covered < 0.99).all(), covered


def test_levels_that_return_to_their_mean_have_intervals_that_do_not_grow_for_ever():
    values = autoregression(0.5, 600, seed=1)
    model = fitted(frame_of(values), lags=3, epochs=12, batch_size=32)
    errors = errors_of(model.forecast(20))
    np.testing.assert_allclose(errors[5:] / errors[0], np.sqrt(1 / (1 - 0.5**2)), rtol=0.2)


def test_a_forecast_does_not_depend_on_how_many_follow(model):
    test = frame_of(wave(350)).iloc[150:]
    whole = model.one_step(test)
    for rows in (1, 63, 64, 65, 130):
        assert model.one_step(test.iloc[:rows]).equals(whole.iloc[:rows])
    for row in (1, 70, 199):  # from another place in a call: equal but for rounding
        other = fitted_on(model, pd.concat([FRAME, test.iloc[:row]])).one_step(test.iloc[row:])
        np.testing.assert_allclose(other["mean"], whole["mean"].iloc[row:], rtol=1e-6)


def fitted_on(model, history):
    from persistable.forecasting.rows import digest_of_rows

    return Lstm({**model.payload, "history": digest_of_rows(history)}, history)


def test_a_model_says_what_it_is(model):
    assert model.n_parameters == 4 * 4 * (1 + 4 + 2) + 4 + 1
    summary = model.summary()
    assert "LSTM, 1 layer of 4, 117 weights" in summary
    assert "reads 6 values, forecasts 1 at once" in summary
    assert "best epoch 5 of 5" in summary
    assert isinstance(forecaster_of(model.payload, FRAME), Lstm)
    with pytest.raises(ForecastingError, match="fitted to other rows"):
        Lstm(model.payload, FRAME.iloc[1:])


# ---------------------------------------------------------------------------------------------------------------------
# The artifact


@pytest.fixture
def chain(tmp_path):
    csv = tmp_path / "wave.csv"
    frame_of(wave(160)).to_csv(csv, index_label="date")
    series_p = SeriesP(tmp_path / "data", SeriesParams(content=content_digest(csv), csv=csv, target="x"))
    split_p = SplitP(tmp_path / "data", SplitParams.hold_out(0.2), series_p=series_p)

    def model_p() -> LstmP:
        return LstmP(tmp_path / "data", LstmParams(**SMALL), series_p=series_p, split_p=split_p)

    return model_p


LOAD = """if True:
    import sys
    from pathlib import Path
    from persistable import content_digest
    from persistable.forecasting import LstmP, LstmParams, SeriesP, SeriesParams, SplitP, SplitParams
    folder = Path(sys.argv[1])
    csv = folder / "wave.csv"
    series_p = SeriesP(folder / "data", SeriesParams(content=content_digest(csv), csv=csv, target="x"))
    split_p = SplitP(folder / "data", SplitParams.hold_out(0.2), series_p=series_p)
    params = LstmParams(lags=6, hidden_size=4, epochs=5, batch_size=16)
    model_p = LstmP(folder / "data", params, series_p=series_p, split_p=split_p)
    model_p.load()
    print(model_p.forecast(9).to_numpy().tobytes().hex(), model_p.one_step().to_numpy().tobytes().hex())
"""


def test_a_model_that_was_loaded_in_another_process_forecasts_the_same_to_the_last_bit(chain, tmp_path, run_python):
    model_p = chain()
    payload = model_p.load_generate()
    fresh = [model_p.forecast(9), model_p.one_step()]
    loaded = run_python(LOAD, str(tmp_path)).split()
    assert loaded == [frame.to_numpy().tobytes().hex() for frame in fresh]
    again = chain().load()
    assert list(again) == list(payload)
    assert weights(again) == weights(payload)
    assert {**again, **weights(again)} == {**payload, **weights(payload)}


def test_the_manifest_tells_how_the_fit_went_and_the_losses_can_be_plotted(chain):
    model_p = chain()
    payload = model_p.load_generate()
    metrics = model_p.manifest.metrics
    assert metrics["rows"] == 128
    assert metrics["n_parameters"] == model_p.n_parameters == 117
    assert metrics["losses"] == payload["losses"]
    assert (metrics["epochs"], metrics["best_epoch"]) == (5, payload["best_epoch"])
    assert metrics["validation_loss"] == min(payload["losses"]["validation"])
    assert metrics["warnings"][0].startswith("The validation loss was lowest in the last of 5 epochs")
    pytest.importorskip("matplotlib")
    ax = model_p.plot_loss()
    assert [line.get_label() for line in ax.lines] == ["train", "validation", "best epoch"]
    assert list(ax.lines[1].get_ydata()) == payload["losses"]["validation"]
    assert model_p.plot_loss(ax) is ax


EPOCHS = """if True:
    import time
    from persistable._progress import epochs
    with epochs("my {lstm}", 4) as show:
        for epoch in (1, 2, 3):
            time.sleep(0.15)  # tqdm draws no oftener than every 0.1 s
            show(epoch, 1 / epoch)
"""


def test_a_fit_at_a_terminal_shows_epochs_the_loss_and_the_time_left():
    pytest.importorskip("tqdm")
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    root = os.fspath(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", EPOCHS], stderr=theirs, env={**os.environ, "PYTHONPATH": root, "TQDM_DISABLE": ""}
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # the other end of a terminal is closed
        os.close(ours)
    assert process.wait(60) == 0, said
    assert "my {lstm}:  25% |" in said.decode()
    assert "3/4 epochs, validation loss 0.3333, 00:0" in said.decode()
