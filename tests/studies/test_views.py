"""A study can be looked at in every state that it may be in: empty, failed, infeasible, with several objectives."""

from __future__ import annotations

import html.parser
import math
import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution  # noqa: E402
from optuna.trial import TrialState, create_trial  # noqa: E402

from persistable._progress import search  # noqa: E402
from persistable.exceptions import StudyError  # noqa: E402
from persistable.params import plain_numbers, readable  # noqa: E402
from persistable.studies.seeding import LOST, repeat_lost  # noqa: E402
from persistable.studies.views import (  # noqa: E402
    PLOTS,
    StudyViews,
    frame_of,
    html_of,
    metrics_of,
    plot,
    text_of,
)

BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"needs {name}"))
    for name in ("plotly", "matplotlib")
]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def study_of(*values, directions=("minimize",), constraints=None, params=None):
    """Return a study whose trials have these values; of None, the trial failed."""
    study = optuna.create_study(directions=list(directions))
    params = params or {"x": FloatDistribution(0, 1), "kernel": CategoricalDistribution(["rbf", "<b>"])}
    for number, value in enumerate(values):
        drawn = {
            name: number % 7 / 7 if isinstance(kind, FloatDistribution) else kind.choices[number % 2]
            for name, kind in params.items()
        }
        given = {"values": list(value)} if isinstance(value, tuple) else {"value": value}
        attrs = {} if constraints is None else {"constraints": list(constraints[number])}
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, params=drawn, distributions=params, system_attrs=attrs, **given))
    return study


def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    y = trial.suggest_float("rate", 1e-4, 1, log=True)
    trial.suggest_categorical("kernel", ["rbf", "linear"])
    for step in range(4):
        trial.report(x**2 / (step + 1), step)
    if trial.number == 3:
        raise ValueError("no such thing")
    if trial.number == 5:
        raise optuna.TrialPruned
    trial.set_user_attr("note", f"n{trial.number}")
    return x**2 - math.log10(y)


@pytest.fixture(scope="module")
def searched():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    study.optimize(objective, n_trials=20, catch=ValueError)
    return study


@pytest.fixture(scope="module")
def of_two():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=optuna.samplers.RandomSampler(seed=3))
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 3), trial.suggest_float("y", 0, 3)), n_trials=30)
    return study


EMPTY = {
    "empty": lambda: study_of(),
    "only failed trials": lambda: study_of(None, None),
    "only infinite values": lambda: study_of(math.inf, math.inf),
    "two objectives and no trial": lambda: study_of(directions=["minimize", "maximize"]),
}


def with_a_lost_trial():
    study = study_of(3.0)
    lost = study.ask({"x": FloatDistribution(0, 1)})
    study.tell(study.ask({"x": FloatDistribution(0, 1)}), 1.0)
    assert repeat_lost(study, [lost.number]) == [3]
    return study


# ---------------------------------------------------------------------------------------------------------------------
# Numbers and a line


def test_metrics_count_trials_and_name_the_best(searched):
    metrics = metrics_of(searched)
    assert {name: metrics[name] for name in ("n_trials", "n_complete", "n_pruned", "n_failed")} == {
        "n_trials": 20,
        "n_complete": 18,
        "n_pruned": 1,
        "n_failed": 1,
    }
    best = searched.best_trial
    assert (metrics["best_value"], metrics["best_trial"], metrics["best_params"]) == (
        best.value,
        best.number,
        best.params,
    )
    assert metrics["seconds"] == pytest.approx(sum(trial.duration.total_seconds() for trial in searched.trials))
    assert text_of(metrics) == f"18 complete, 1 pruned, 1 failed; best {best.value:.5g} at trial {best.number}"


def test_metrics_can_stand_in_a_manifest(searched, of_two):
    for study in (searched, of_two, study_of(), study_of(math.inf)):
        readable(plain_numbers(metrics_of(study)))


def test_the_best_is_by_the_direction_and_among_equals_the_first():
    assert metrics_of(study_of(2.0, 1.0, 3.0, 1.0))["best_trial"] == 1
    assert metrics_of(study_of(2.0, 3.0, 1.0, 3.0, directions=["maximize"]))["best_trial"] == 1


def test_a_trial_that_violates_a_constraint_is_never_the_best():
    study = study_of(1.0, 2.0, 3.0, constraints=[(0.0, 1.0), (0.0, -1.0), (0.0, 0.0)])
    assert metrics_of(study)["best_trial"] == 1
    study = study_of(1.0, 2.0, constraints=[(0.1,), (math.nan,)])
    metrics = metrics_of(study)
    assert (metrics["best_value"], metrics["best_trial"], metrics["best_params"]) == (None, None, None)
    assert text_of(metrics) == "2 complete; none feasible"
    assert "no trial is feasible" in html_of("tuning", "3f9a", study)


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="Optuna 5")
def test_a_constraint_that_the_objective_sets_counts_too():
    def constrained(trial):
        trial.set_constraint("size", 1.0 - trial.number)
        return float(trial.number)

    study = study_of()
    study.optimize(constrained, n_trials=3)
    assert metrics_of(study)["best_trial"] == study.best_trial.number == 1


def test_several_objectives_have_a_pareto_front(of_two):
    metrics = metrics_of(of_two)
    assert metrics["n_pareto"] == len(of_two.best_trials)
    columns = list(zip(*(trial.values for trial in of_two.trials), strict=True))
    assert metrics["best_values"] == {"0": min(columns[0]), "1": max(columns[1])}
    assert "best_value" not in metrics
    assert f"{metrics['n_pareto']} on the Pareto front; best values " in text_of(metrics)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_objectives_have_the_names_of_the_metrics():
    study = study_of((1.0, 2.0), directions=["minimize", "maximize"])
    study.set_metric_names(["loss", "<accuracy>"])
    assert metrics_of(study)["best_values"] == {"loss": 1.0, "<accuracy>": 2.0}
    assert "&lt;accuracy&gt;, and the Pareto front" in html_of("tuning", "3f9a", study)


def test_a_lost_trial_does_not_count():
    study = with_a_lost_trial()
    metrics = metrics_of(study)
    assert (metrics["n_trials"], metrics["n_failed"]) == (3, 0)
    assert metrics["seconds"] < 60
    assert text_of(metrics) == "2 complete, 1 unfinished; best 1 at trial 2"


def test_a_study_without_values_has_no_best():
    assert text_of(metrics_of(study_of())) == "no trials"
    assert text_of(metrics_of(study_of(None, None))) == "2 failed"
    assert metrics_of(EMPTY["two objectives and no trial"]())["best_values"] == {"0": None, "1": None}


# ---------------------------------------------------------------------------------------------------------------------
# A table


def test_a_table_has_one_row_per_trial(searched):
    pytest.importorskip("pandas")
    frame = frame_of(searched)
    assert list(frame.columns) == [
        "number",
        "state",
        "value",
        "params_x",
        "params_rate",
        "params_kernel",
        "seconds",
        "user_attrs_note",
    ]
    assert list(frame["number"]) == list(range(20))
    assert list(frame["state"][2:6]) == ["COMPLETE", "FAIL", "COMPLETE", "PRUNED"]
    assert frame["value"][2] == searched.trials[2].value
    assert math.isnan(frame["value"][3])
    assert frame["params_x"].tolist() == [trial.params["x"] for trial in searched.trials]
    assert frame["seconds"].ge(0).all()
    assert frame["user_attrs_note"][2] == "n2"


def test_a_table_has_a_column_per_objective(of_two):
    pytest.importorskip("pandas")
    assert list(frame_of(of_two).columns) == [
        "number",
        "state",
        "values_0",
        "values_1",
        "params_x",
        "params_y",
        "seconds",
    ]


def test_a_table_shows_lost_trials_and_not_how_they_are_marked():
    pytest.importorskip("pandas")
    frame = frame_of(with_a_lost_trial())
    assert list(frame["state"]) == ["COMPLETE", "LOST", "COMPLETE", "WAITING"]
    assert not [column for column in frame.columns if LOST in column]


def test_a_table_of_no_trials_has_its_columns():
    pytest.importorskip("pandas")
    assert list(frame_of(study_of()).columns) == ["number", "state", "value", "seconds"]


# ---------------------------------------------------------------------------------------------------------------------
# A card


class Elements(html.parser.HTMLParser):
    """What a card consists of; fails where elements are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_card_shows_counts_the_best_and_its_params_and_a_picture(searched):
    card = Elements(html_of("tuning", "3f9a0c1122334455", searched))
    metrics = metrics_of(searched)
    for shown in ("tuning", "3f9a0c11", "18 complete, 1 pruned, 1 failed", "x", f"{metrics['best_value']:.5g}"):
        assert shown in card.text
    assert "3f9a0c1122334455" not in card.text
    assert card.tags.count("svg") == 1


def test_a_card_needs_nothing_from_elsewhere_and_leaves_the_theme_alone(searched, of_two):
    for study in (searched, of_two):
        card = Elements(html_of("tuning", "3f9a", study))
        assert not {"script", "style", "link", "img"} & set(card.tags)
        assert not {"href", "src", "id", "class"} & {name for name, _ in card.attributes}
        styles = ";".join(value for name, value in card.attributes if name == "style").replace(" ", "")
        assert "url(" not in styles
        assert ";color:" not in styles
        assert "background:" not in styles.replace("background:none", "")
        colors = {value for name, value in card.attributes if name in ("fill", "stroke")}
        assert colors == {"none", "currentColor", "#3b82f6"}


def test_everything_on_a_card_is_escaped():
    evil = "<script>'\"&"
    study = study_of(1.0, 2.0, params={evil: CategoricalDistribution([evil, "b"])})
    card = Elements(html_of(evil, evil, study))
    assert "script" not in card.tags
    assert card.text.count(evil) == 3
    assert evil[:8] in card.text


@pytest.mark.parametrize("improving", [True, False])
def test_a_card_of_thousands_of_trials_is_small(improving):
    values = [-float(n) if improving else math.sqrt(n) + n * 7919 % 1000 / 100 for n in range(2000)]
    params = {f"parameter number {n} of a model with a long name": FloatDistribution(0, 1) for n in range(50)}
    card = html_of("tuning", "3f9a", study_of(*values, params=params))
    assert len(card) < 20_000
    assert "and 38 more" in card
    two = study_of(*((value, n * 31 % 2000) for n, value in enumerate(values)), directions=["minimize", "minimize"])
    assert len(html_of("tuning", "3f9a", two)) < 20_000


def test_a_picture_is_not_flattened_by_a_few_bad_values_and_says_so():
    card = html_of("tuning", "3f9a", study_of(1e9, *(1 + n * 7 % 10 / 10 for n in range(20))))
    assert "1e+09" not in card
    assert "≥ " in Elements(card).text
    card = html_of("tuning", "3f9a", study_of(-1e9, *(1 + n % 10 for n in range(20)), directions=["maximize"]))
    assert "≤ " in Elements(card).text


def test_a_picture_shows_values_of_any_size():
    for values in ([1e308, -1e308, 0.0, 1.0], [5.0], [5.0, 5.0], [0.0] * 9 + [1.0], [math.inf, 1.0]):
        card = html_of("tuning", "3f9a", study_of(*values))
        assert card.count("<svg") == 1
        assert "nan" not in card


@pytest.mark.parametrize("kind", EMPTY)
def test_a_card_of_a_study_without_values_has_no_picture(kind):
    card = html_of("tuning", "3f9a", EMPTY[kind]())
    assert "svg" not in Elements(card).tags


def test_a_card_of_three_objectives_has_no_picture():
    study = study_of((1.0, 2.0, 3.0), directions=["minimize"] * 3)
    card = Elements(html_of("tuning", "3f9a", study))
    assert "svg" not in card.tags
    assert "best value 2" in card.text


def test_a_card_can_be_made_of_metrics_alone(searched):
    whole = Elements(html_of("tuning", "3f9a", searched))
    without = Elements(html_of("tuning", "3f9a", None, metrics_of(searched)))
    assert whole.text.startswith(without.text)
    assert "svg" not in without.tags
    assert "not searched yet" in html_of("tuning", "3f9a")
    assert "no trials" in html_of("tuning", "3f9a", metrics={})


# ---------------------------------------------------------------------------------------------------------------------
# Plots


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", sorted(PLOTS.keys() - {"pareto_front", "hypervolume_history"}))
def test_each_plot_is_drawn_by_each_backend(searched, kind, backend):
    figure = plot(searched, kind, backend=backend)
    module = type(figure.flat[0] if hasattr(figure, "flat") else figure).__module__
    assert module.startswith(backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_objectives_are_plotted_too(of_two, backend):
    plot(of_two, "pareto_front", backend=backend, target_names=["a", "b"])
    plot(of_two, "hypervolume_history", backend=backend, reference_point=[4, -1])
    plot(of_two, "history", backend=backend, target=lambda trial: trial.values[1], target_name="b")
    plot(of_two, "importances", backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["history", "slice", "rank", "parallel_coordinate", "edf", "contour"])
def test_a_single_trial_is_plotted(kind, backend):
    plot(study_of(1.0), kind, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", sorted(PLOTS))
@pytest.mark.parametrize("study", EMPTY)
def test_where_there_is_nothing_to_plot_it_says_so(study, kind, backend):
    if study != "empty" and kind == "timeline":
        kind = "history"  # failed trials have a time too
    with pytest.raises(StudyError, match=f"nothing to plot yet: {kind} needs .*, and the study has "):
        plot(EMPTY[study](), kind, backend=backend)


@pytest.mark.skipif(find_spec("plotly") is None, reason="needs plotly")
def test_importances_know_which_objective_is_to_be_maximized():
    """PED-ANOVA, left alone, would ask what makes the second objective low."""

    def two(trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return x, (x if x < 0.5 else 10 + y)  # high by y, low by x

    study = optuna.create_study(directions=["minimize", "maximize"], sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(two, n_trials=200)
    alone = optuna.create_study(direction="maximize")
    for trial in study.trials:
        alone.add_trial(create_trial(value=trial.values[1], params=trial.params, distributions=trial.distributions))

    def bars(figure, index):
        return dict(zip(figure.data[index].y, figure.data[index].x, strict=True))

    expected = bars(plot(alone, "importances", backend="plotly"), 0)
    assert expected["y"] > expected["x"]
    assert bars(plot(study, "importances", backend="plotly"), 1) == expected
    assert bars(plot(study, "importances", backend="plotly"), 0)["x"] > 0.9


def test_plots_and_backends_that_there_are_not_are_refused(searched):
    with pytest.raises(ValueError, match=r"no plot 'histry' of a study. There is: contour, edf, history"):
        plot(searched, "histry")
    with pytest.raises(ValueError, match=r"backend must be 'auto', 'plotly' or 'matplotlib', got 'bokeh'"):
        plot(searched, "history", backend="bokeh")


MISSING = """if True:
    import os, sys, warnings
    os.environ["MPLBACKEND"] = "agg"
    for name in sys.argv[1].split():
        sys.modules[name] = None
    import optuna
    from persistable.exceptions import MissingDependencyError
    from persistable.studies.views import frame_of, plot
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=1.0))
    for action in (lambda: type(plot(study, "history")).__module__.partition(".")[0],
                   lambda: type(plot(study, "history", backend="plotly")).__module__.partition(".")[0],
                   lambda: len(frame_of(study))):
        try:
            print(action())
        except MissingDependencyError as error:
            print(error)
"""


def test_what_is_not_installed_is_named_with_the_way_to_install_it(run_python):
    both, plotly, pandas = run_python(MISSING, "plotly matplotlib pandas").splitlines()
    assert both == (
        "Plots of a study need 'plotly' or 'matplotlib', and neither is installed. Install one with: pip install plotly"
    )
    assert plotly == "This plot of a study needs 'plotly', which is not installed. Install it with: pip install plotly"
    assert pandas.endswith("pip install 'persistable[pandas]'")


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")
def test_without_plotly_matplotlib_draws(run_python):
    assert run_python(MISSING, "plotly").splitlines()[0] == "matplotlib"


def test_optuna_is_not_imported_before_a_study_is_looked_at(run_python):
    code = "import sys, persistable.studies.views; print({'optuna', 'pandas'} & set(sys.modules))"
    assert run_python(code).strip() == "set()"


# ---------------------------------------------------------------------------------------------------------------------
# The methods


class Shown(StudyViews):
    def __init__(self, study):
        self.study = study

    def _study_to_show(self):
        return self.study

    def _at_hand(self):
        return "tuning", "3f9a", self.study, None


def test_an_object_with_a_study_has_a_method_for_each_view(searched, of_two):
    shown = Shown(searched)
    assert {f"plot_{kind}" for kind in PLOTS} == {name for name in dir(shown) if name.startswith("plot_")}
    assert shown._repr_html_() == html_of("tuning", "3f9a", searched)
    if find_spec("pandas") is not None:
        assert shown.to_frame().equals(frame_of(searched))
    if find_spec("plotly") is not None:
        for kind in PLOTS.keys() - {"hypervolume_history", "pareto_front"}:
            assert getattr(shown, f"plot_{kind}")(backend="plotly") == plot(searched, kind, backend="plotly")
        volume = Shown(of_two).plot_hypervolume_history([4, -1], backend="plotly")
        assert volume == plot(of_two, "hypervolume_history", backend="plotly", reference_point=[4, -1])
        assert Shown(of_two).plot_pareto_front(target_names=["a", "b"]).layout.xaxis.title.text == "a"
        assert len(shown.plot_slice(params=["x"]).data) == 1


# ---------------------------------------------------------------------------------------------------------------------
# The progress of a search

SEARCH = """if True:
    import sys, threading
    from persistable._progress import search
    total = eval(sys.argv[1])
    with search("my {search}", total, 10) as show:
        def run(worker):
            for done in range(11, 14):
                show(done, f"0.{done}")
        show(10, None)
        run(0)
        threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        import time
        time.sleep(0.2)  # tqdm draws no oftener than every 0.1 s
        show(14, "0.{14}")
"""


def said_at_terminal(*arguments, is_terminal=True, **environment):
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty() if is_terminal else os.pipe()
    if is_terminal:
        termios.tcsetwinsize(theirs, (24, 120))
    root = os.fspath(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, **environment}
    process = subprocess.Popen([sys.executable, "-c", SEARCH, *arguments], stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end of a terminal is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait(60) == 0, said
    return said.decode()


def test_a_search_at_a_terminal_shows_trials_the_best_and_the_time_left():
    pytest.importorskip("tqdm")
    said = said_at_terminal("40")
    assert "my {search}:  25% |" in said
    assert "10/40 trials, ? left" in said
    assert "14/40 trials, best 0.{14}, 00:0" in said
    assert "best 0.{14}, 00:00" not in said  # 4 trials took 0.2 s, and there are 26 to go; it was not 14 in 0.2 s


def test_more_trials_than_were_wanted_are_shown_as_they_are():
    pytest.importorskip("tqdm")
    assert "14/14 trials, best 0.{14}, 00:00 left" in said_at_terminal("12")


def test_a_search_by_the_clock_shows_a_counter():
    pytest.importorskip("tqdm")
    said = said_at_terminal("None")
    assert "my {search}: 14 trials, best 0.{14}, 00:00" in said
    assert "left" not in said


def test_where_nobody_is_looking_a_search_shows_nothing():
    assert said_at_terminal("40", is_terminal=False) == ""
    assert said_at_terminal("40", TQDM_DISABLE="1") == ""


def test_where_nobody_is_looking_a_search_may_be_shown_from_many_threads():
    with search("my search", 10, 0) as show:
        threads = [threading.Thread(target=show, args=(n, "0.5")) for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        show(done=10, best=None)
