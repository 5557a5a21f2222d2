"""A snapshot of a study holds all that is known of its trials, in a file that Optuna itself can read."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import pickle
import shutil
import threading
import time
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

optuna = pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402
from optuna.storages import InMemoryStorage, JournalStorage, RDBStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402
from optuna.trial import FrozenTrial, TrialState  # noqa: E402

from persistable.exceptions import StudyError  # noqa: E402
from persistable.fileio import JsonFileIO, fileio_for  # noqa: E402
from persistable.fileio.equality import same  # noqa: E402
from persistable.studies.algorithms import Sampler  # noqa: E402
from persistable.studies.fileio import StudyFileIO  # noqa: E402
from persistable.studies.seeding import LOST, SeededSampler, repeat_lost  # noqa: E402
from persistable.studies.snapshots import detached, restore  # noqa: E402
from persistable.studies.space import Float, suggest_all  # noqa: E402
from persistable.testing.fileio import FileIOConformance  # noqa: E402

COMPLETE, PRUNED, FAIL, WAITING, RUNNING = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
    TrialState.WAITING,
    TrialState.RUNNING,
)
MORNING = datetime(2024, 2, 29, 8, 0, 0, 123456)
CHOICES = (None, True, 3, -0.5, "sgd", "zwölf\n", math.inf, math.nan)


@pytest.fixture(autouse=True)
def quick_and_quiet(monkeypatch, optunas_level_as_before):
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # no machine crashes here
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def trial(state=COMPLETE, values=None, point=None, **fields):
    """Return a trial; `point` maps names to (distribution, value)."""
    point = point or {}
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=([0.5] if values is None and state == COMPLETE else values),
        datetime_start=None if state == WAITING else MORNING,
        datetime_complete=MORNING + timedelta(seconds=1.5) if state.is_finished() else None,
        params={name: value for name, (_, value) in point.items()},
        distributions={name: distribution for name, (distribution, _) in point.items()},
        user_attrs=fields.get("user_attrs", {}),
        system_attrs=fields.get("system_attrs", {}),
        intermediate_values=fields.get("intermediate_values", {}),
    )


def study_of(*trials, storage=None, name="study", directions=("minimize",)):
    study = optuna.create_study(study_name=name, storage=storage or InMemoryStorage(), directions=directions)
    for each in trials:
        study._storage.create_new_trial(study._study_id, template_trial=each)
    return study


def rich_study(storage=None):
    space = {
        "x": (FloatDistribution(-1, 1), 0.1),
        "rate": (FloatDistribution(1e-5, 1, log=True), 1e-3),
        "half": (FloatDistribution(0, 2, step=0.5), 1.5),
        "n": (IntDistribution(1, 9, step=2), 3),
        "kernel": (CategoricalDistribution(CHOICES), None),
    }
    attrs = {"z": [1, {"b": None, "a": "ü"}], "loss": math.nan, "a": math.inf}
    study = study_of(
        trial(values=[0.1, math.inf], point=space, user_attrs=attrs, intermediate_values={10: 1.0, 2: math.nan}),
        trial(PRUNED, [2.0, -math.inf], point={"x": space["x"]}, intermediate_values={0: -math.inf}),
        trial(FAIL, user_attrs={"error": "it diverged"}, system_attrs={"fail_reason": "x" * 50}),
        trial(WAITING, system_attrs={"fixed_params": {"x": 0.25}}),
        storage=storage,
        directions=("minimize", "maximize"),
    )
    study.set_user_attr("who", {"name": "Ada", "age": 36})
    study.set_user_attr("a", [])
    study._storage.set_study_system_attr(study._study_id, "study:metric_names", ["loss", "gain"])
    return study


def search(n_trials, *, name="search"):
    study = optuna.create_study(study_name=name, sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=n_trials)
    return study


FIELDS = (
    "number",
    "state",
    "values",
    "params",
    "distributions",
    "user_attrs",
    "system_attrs",
    "intermediate_values",
    "datetime_start",
    "datetime_complete",
)


def plain(value):
    """Return a value with every mapping sorted: storages keep other orders, which mean nothing."""
    if isinstance(value, dict):
        return [(key, plain(value[key])) for key in sorted(value)]
    return [plain(each) for each in value] if isinstance(value, list) else value


def described(study, *trials):
    return (
        study.study_name,
        [direction.name for direction in study.directions],
        plain(dict(study.user_attrs)),
        plain(dict(study._storage.get_study_system_attrs(study._study_id))),
        [[plain(getattr(each, field)) for field in FIELDS] for each in trials or study.trials],
    )


def assert_same(one, other):
    assert same(described(one), described(other)), (described(one), described(other))


numbers_of_files = count()


def saved(study, folder):
    path = Path(folder, f"{next(numbers_of_files)}.study.log")
    StudyFileIO().save(study, path)
    return path


def loaded(path):
    return StudyFileIO()._load(path)


def journal(path):
    return JournalStorage(JournalFileBackend(str(path)))


def sqlite(path):
    return RDBStorage(f"sqlite:///{path}")


@pytest.fixture(params=["memory", "journal", "sqlite"])
def storage(request, tmp_path):
    made = {
        "memory": lambda: InMemoryStorage(),
        "journal": lambda: journal(tmp_path / "working.log"),
        "sqlite": lambda: sqlite(tmp_path / "working.db"),
    }[request.param]()
    yield made
    if isinstance(made, RDBStorage):
        made.remove_session()
        made.engine.dispose()


# -- the format


class TestStudyFileIO(FileIOConformance):
    fileio = StudyFileIO()
    payloads = (
        optuna.create_study(study_name="without a trial"),
        search(5),
        rich_study(),
    )
    refused = (
        {"x": 1},
        study_of(trial(user_attrs={"model": object()})),
        study_of(trial(system_attrs={"a set": {1}})),
        study_of(trial(user_attrs={(1, 2): "a key that JSON has not"})),
    )

    def equal(self, saved, loaded):
        return same(described(saved), described(loaded))


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_a_choice_that_would_come_back_as_another_is_refused(tmp_path):
    study = study_of(trial(point={"size": (CategoricalDistribution([(1, 2), (3, 4)]), (1, 2))}))
    with pytest.raises(TypeError, match=r"StudyFileIO does not take this Study: trial 0: .*\(1, 2\)"):
        saved(study, tmp_path)


def test_a_reader_who_asks_for_another_format_that_runs_no_code_is_given_this_one():
    assert isinstance(fileio_for("optuna-journal", 1, JsonFileIO()), StudyFileIO)


numbers = st.floats(allow_nan=False)
any_number = st.floats()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | any_number | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
attrs = st.dictionaries(st.text(), json_values, max_size=3)
moments = st.datetimes(datetime(1980, 1, 1), datetime(2080, 1, 1))


@st.composite
def points(draw):
    kind = draw(st.sampled_from(["float", "log", "step", "int", "category"]))
    if kind == "category":
        choices = draw(st.lists(st.sampled_from(CHOICES), min_size=1, unique_by=repr))
        return CategoricalDistribution(choices), draw(st.sampled_from(choices))
    if kind == "int":
        low, steps, step = draw(st.integers(-1000, 1000)), draw(st.integers(0, 1000)), draw(st.integers(1, 7))
        distribution = IntDistribution(low, low + steps * step, step=step)
        return distribution, low + draw(st.integers(0, steps)) * step
    if kind == "step":
        steps = draw(st.integers(0, 100))
        return FloatDistribution(-1.0, -1.0 + 0.25 * steps, step=0.25), -1.0 + 0.25 * draw(st.integers(0, steps))
    bounds = st.floats(1e-300, 1e300) if kind == "log" else st.floats(allow_nan=False, allow_infinity=False)
    low, value, high = sorted([draw(bounds), draw(bounds), draw(bounds)])
    return FloatDistribution(low, high, log=kind == "log"), value


@st.composite
def trials(draw, n_values):
    state = draw(st.sampled_from([COMPLETE, PRUNED, FAIL, WAITING]))
    values = st.lists(numbers, min_size=n_values, max_size=n_values)
    made = trial(
        state,
        draw({COMPLETE: values, PRUNED: st.none() | values}.get(state, st.none())),
        draw(st.dictionaries(st.text(), points(), max_size=4)),
        user_attrs=draw(attrs),
        system_attrs=draw(attrs),
        intermediate_values=draw(st.dictionaries(st.integers(0, 2**40), any_number, max_size=3)),
    )
    made.datetime_start = None if state == WAITING else draw(moments)
    made.datetime_complete = draw(moments) if state.is_finished() else None
    return made


@st.composite
def studies(draw):
    directions = draw(st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=3))
    study = study_of(
        *draw(st.lists(trials(len(directions)), max_size=4)), name=draw(st.text(min_size=1)), directions=directions
    )
    for name, value in draw(attrs).items():
        study.set_user_attr(name, value)
    for name, value in draw(attrs).items():
        study._storage.set_study_system_attr(study._study_id, name, value)
    return study


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)
@given(study=studies())
def test_every_study_comes_back_trial_by_trial(study, tmp_path):
    path = saved(study, tmp_path)
    again = loaded(path)
    assert_same(study, again)
    assert_same(study, detached(study))
    assert saved(again, tmp_path).read_bytes() == path.read_bytes()


@settings(
    max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)
@given(study=studies())
def test_a_line_says_what_optuna_would_write_for_the_same_trial(study, tmp_path):
    own = saved(study, tmp_path)
    theirs = own.with_suffix(".optuna")
    study_of(*study.trials, storage=journal(theirs), name=study.study_name, directions=study.directions)

    def records(path):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            del record["worker_id"]
            for moment in {"datetime_start", "datetime_complete"} & record.keys():
                if record[moment] is not None:  # Optuna 4.9 wrote local times
                    record[moment] = datetime.fromisoformat(record[moment]).astimezone()
            if record["op_code"] in (0, 4):  # the attributes of a study have lines of their own
                yield plain(record)

    assert same([*records(own)], [*records(theirs)])


def test_equal_studies_give_equal_bytes_whichever_storage_they_are_in(storage, tmp_path):
    study = rich_study(storage)
    assert saved(study, tmp_path).read_bytes() == saved(rich_study(), tmp_path).read_bytes()


def test_the_order_in_which_attributes_and_parameters_were_set_says_nothing(tmp_path):
    x, n = (FloatDistribution(0, 1), 0.5), (IntDistribution(1, 2), 1)
    one = study_of(trial(point={"x": x, "n": n}, user_attrs={"a": 1, "b": {"c": 2, "d": 3}}))
    other = study_of(trial(point={"n": n, "x": x}, user_attrs={"b": {"d": 3, "c": 2}, "a": 1}))
    assert saved(one, tmp_path).read_bytes() == saved(other, tmp_path).read_bytes()


def test_attributes_come_back_as_json_gives_them():
    study = study_of(trial(user_attrs={"pair": (1, 2), "keys": {1: "a", None: "b", "c": "d"}}))
    attrs = detached(study).trials[0].user_attrs
    assert attrs == {"pair": [1, 2], "keys": {"1": "a", "null": "b", "c": "d"}}


def test_choices_that_are_equal_but_not_the_same_stay_what_they_are():
    one, true = CategoricalDistribution([1, 2]), CategoricalDistribution([True, False])
    study = study_of(trial(point={"a": (one, 1)}), trial(point={"a": (true, True)}))
    assert [each.params["a"] for each in detached(study).trials] == [1, True]
    assert type(detached(study).trials[1].params["a"]) is bool
    assert same(detached(study).trials[1].distributions["a"].choices, (True, False))


def test_the_bytes_of_a_study_never_change(tmp_path, in_zone):
    in_zone("Asia/Tokyo")
    study = study_of(
        trial(point={"x": (FloatDistribution(0, 1), 0.25)}, user_attrs={"a": None}, intermediate_values={1: 2})
    )
    study.set_user_attr("team", "blue")
    assert saved(study, tmp_path).read_bytes() == (
        b'{"directions":[1],"op_code":0,"study_name":"study","worker_id":"persistable"}\n'
        b'{"op_code":2,"study_id":0,"user_attr":{"team":"blue"},"worker_id":"persistable"}\n'
        b'{"datetime_complete":"2024-02-28T23:00:01.623456+00:00","datetime_start":"2024-02-28T23:00:00.123456+00:00",'
        b'"distributions":{"x":"{\\"name\\": \\"FloatDistribution\\", \\"attributes\\": {\\"step\\": null, '
        b'\\"low\\": 0.0, \\"high\\": 1.0, \\"log\\": false}}"},"intermediate_values":{"1":2.0},"op_code":4,'
        b'"params":{"x":0.25},"state":1,"study_id":0,"system_attrs":{},"user_attrs":{"a":null},"value":0.5,'
        b'"values":null,"worker_id":"persistable"}\n'
    )


@pytest.fixture
def in_zone(monkeypatch):
    """Return a function that moves this process to another time zone."""

    def move(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def test_a_time_is_the_same_moment_in_another_time_zone(tmp_path, in_zone):
    in_zone("Asia/Tokyo")
    path = saved(study_of(trial()), tmp_path)
    assert loaded(path).trials[0].datetime_start == MORNING
    in_zone("America/New_York")
    there = loaded(path)
    assert there.trials[0].datetime_start == MORNING - timedelta(hours=14)
    assert saved(there, tmp_path).read_bytes() == path.read_bytes()


def test_optuna_itself_opens_a_copy(tmp_path):
    study = rich_study()
    path = saved(study, tmp_path)
    opened = optuna.load_study(study_name=None, storage=journal(shutil.copy(path, tmp_path / "copy.log")))
    for each in opened.get_trials(deepcopy=False):  # Optuna 4.9 takes times as they are written, with their zone
        for moment in ("datetime_start", "datetime_complete"):
            value = getattr(each, moment)
            setattr(each, moment, value and value.astimezone().replace(tzinfo=None))
    assert_same(study, opened)
    opened.optimize(lambda trial: (trial.suggest_float("x", -1, 1), 1.0), n_trials=2)
    assert opened.trials[3].params == {"x": 0.25}, "what was enqueued runs first"
    assert len(opened.trials) == 5


def test_optuna_opens_what_a_snapshot_says_in_its_own_journal_too(tmp_path):
    path = tmp_path / "working.log"
    study = optuna.create_study(storage=journal(path))
    study.optimize(lambda trial: trial.suggest_int("n", 1, 3), n_trials=3)
    with pytest.raises(ValueError, match="opened with Optuna's JournalStorage"):
        loaded(path)  # it has lines for parts of trials
    assert_same(detached(study), study)


# -- what of a study lasts


def test_trials_that_run_at_the_end_are_left_out(tmp_path):
    study = study_of(trial(), trial(WAITING), trial(RUNNING), trial(RUNNING))
    assert [each.state for each in loaded(saved(study, tmp_path)).trials] == [COMPLETE, WAITING]
    assert [each.state for each in study.trials] == [COMPLETE, WAITING, RUNNING, RUNNING], "the study is left alone"


def test_trials_that_run_before_others_are_lost_so_that_numbers_stay():
    point = {"x": (FloatDistribution(0, 1), 0.25)}
    running = trial(RUNNING, point=point, user_attrs={"a": 1}, intermediate_values={0: 1.0})
    study = study_of(running, trial(values=[7.0]))
    lost, complete = detached(study).trials
    assert (lost.number, lost.state, lost.params) == (0, FAIL, {"x": 0.25})
    assert lost.user_attrs == {"a": 1, LOST: True}
    assert lost.intermediate_values == {0: 1.0}
    assert (complete.number, complete.value) == (1, 7.0)
    assert study.trials[0].user_attrs == {"a": 1}, "the study is left alone"
    assert detached(study).trials == detached(study).trials, "and two copies are equal"
    assert repeat_lost(detached(study)) == [2], "and it is one that can be repeated"


def test_a_snapshot_of_a_study_that_workers_go_on_with_is_one_moment_of_it(tmp_path):
    study = optuna.create_study(storage=journal(tmp_path / "working.log"))
    stop = threading.Event()

    def work():
        while not stop.is_set():
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        shots = [detached(study).trials for _ in range(20)]
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    final = study.trials
    for shot in shots:
        assert [each.number for each in shot] == list(range(len(shot)))
        for each in shot:
            assert each.user_attrs.get(LOST) or each == final[each.number]


def test_other_studies_of_the_storage_are_not_taken_along(tmp_path):
    storage = journal(tmp_path / "many.log")
    study_of(trial(values=[1.0]), name="one", storage=storage)
    other = study_of(trial(values=[2.0]), name="other", storage=storage)
    copied = detached(other)
    assert [each.value for each in copied.trials] == [2.0]
    assert [each.study_name for each in copied._storage.get_all_studies()] == ["other"]


# -- a loaded study is a study


def test_a_loaded_study_goes_on_like_any_other(tmp_path):
    study = loaded(saved(search(5), tmp_path))
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=5)
    asked = study.ask({"x": FloatDistribution(-1, 1)})
    study.tell(asked, 3.0)
    study.enqueue_trial({"x": 0.0})
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=1)
    study.set_user_attr("note", "mine")
    assert len(study.trials) == 12
    assert study.best_params == {"x": 0.0}
    assert [each.number for each in study.trials] == list(range(12))
    assert study.user_attrs == {"note": "mine"}


def test_the_best_trial_is_known_without_running_one():
    study = search(20)
    assert detached(study).best_trial == study.best_trial
    several = study_of(trial(values=[1.0, 2.0]), trial(values=[2.0, 2.0]), directions=("minimize", "maximize"))
    assert detached(several).best_trials == several.best_trials


def test_what_is_enqueued_runs_first():
    study = study_of(trial(), trial(WAITING, system_attrs={"fixed_params": {"x": 0.25}}))
    study = detached(study)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert study.trials[1].params == {"x": 0.25}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda study: pickle.loads(pickle.dumps(study))])
def test_a_copy_of_a_loaded_study_has_its_trials_and_goes_its_own_way(copied, tmp_path):
    path = saved(search(3), tmp_path)
    study = loaded(path)
    twin = copied(study)
    path.unlink()
    assert twin.trials == study.trials
    twin.optimize(lambda trial: trial.suggest_float("x", -1, 1), n_trials=1)
    assert (len(twin.trials), len(study.trials)) == (4, 3)


def test_what_is_done_to_a_loaded_study_does_not_reach_the_next_one(tmp_path):
    path = saved(rich_study(), tmp_path)
    first = loaded(path)
    first.get_trials(deepcopy=False)[0].user_attrs["z"].append("changed")
    first.optimize(lambda trial: (1.0, 2.0), n_trials=1)
    assert_same(loaded(path), rich_study())


def test_a_detached_study_shares_nothing_with_the_one_it_came_from():
    study = study_of(trial(user_attrs={"a": [1]}))
    detached(study).get_trials(deepcopy=False)[0].user_attrs["a"].append(2)
    assert study.trials[0].user_attrs == {"a": [1]}


def test_loading_says_nothing(tmp_path, run_python):
    path = saved(search(2), tmp_path)
    code = """if True:
        import sys
        sys.stderr = sys.stdout
        from pathlib import Path
        import optuna
        from persistable.studies.fileio import StudyFileIO
        optuna.logging.set_verbosity(optuna.logging.DEBUG)
        study = StudyFileIO()._load(Path(sys.argv[1]))
        print(len(study.trials))
        optuna.create_study(study_name="loud")
    """
    said = run_python(code, str(path)).splitlines()
    assert said[0] == "2"
    assert "loud" in said[1], "and what others do is logged as before"


def test_what_other_threads_say_meanwhile_is_logged(tmp_path):
    path = saved(search(1), tmp_path)
    heard, here = [], threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record):
            heard.append(record.getMessage())

    def meanwhile(record):
        if record.thread == here:  # this is the moment in which a load keeps the logger quiet
            other = threading.Thread(target=lambda: optuna.create_study(study_name="loud"))
            other.start()
            other.join()
        return True

    listener, logger = Listener(), logging.getLogger("optuna.storages._in_memory")
    logger.addHandler(listener)
    logger.addFilter(meanwhile)
    optuna.logging.disable_default_handler()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        loaded(path)
    finally:
        logger.removeFilter(meanwhile)
        logger.removeHandler(listener)
        optuna.logging.enable_default_handler()
    assert heard == ["A new study created in memory with name: loud"]


# -- files that are none


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\x80\x04}",
        b"\x80\n",
        b"[]\n",
        b"{}\n",
        b'{"op_code":4}\n',
        b'{"op_code":0,"study_name":"x"}\n',
        b'{"op_code":0,"study_name":"x","directions":[9]}\n',
        b'{"op_code":0,"study_name":"x","directions":[1]}\n{"op_code":0,"study_name":"y","directions":[1]}\n',
        b'{"op_code":0,"study_name":"x","directions":[1]}\n{"op_code":4,"study_id":0}\n',
        b'{"op_code":0,"study_name":"x","directions":[1]}\n{"op_code":1,"study_id":0}\n',
        b'{"op_code":0,"study_name":"x","directions":[1]}\n{"op_code":',
        b'{"op_code":0,"study_name":"x","directions":[1]}\n\n',
    ],
)
def test_a_file_that_is_no_snapshot_is_refused_by_its_name(content, tmp_path):
    path = tmp_path / "payload.study.log"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"payload\.study\.log is not a study as StudyFileIO writes it: .*\."):
        loaded(path)


# -- back into a storage


def test_a_study_is_restored_into_any_storage(storage):
    snapshot = rich_study()
    study = study_of(storage=storage, directions=("minimize", "maximize"))
    assert restore(snapshot, study) == 4
    assert_same(snapshot, study)
    assert restore(snapshot, study) == 0
    assert_same(snapshot, study)


def test_only_what_is_missing_is_restored(storage):
    snapshot = study_of(*[trial(values=[float(value)]) for value in range(5)])
    study = study_of(*snapshot.trials[:2], storage=storage)
    assert restore(snapshot, study) == 3
    assert_same(snapshot, study)


def test_a_study_that_has_gone_further_is_left_alone(storage):
    snapshot = study_of(trial(), trial(WAITING))
    study = study_of(trial(), trial(values=[3.0]), trial(RUNNING), storage=storage)
    before = described(study)
    assert restore(snapshot, study) == 0
    assert same(described(study), before)


def test_a_restoration_that_was_interrupted_goes_on_where_it_was():
    class Failing(InMemoryStorage):
        left = 2

        def create_new_trial(self, study_id, template_trial=None):
            if self.left == 0:
                raise OSError("the disk is full")
            self.left -= 1
            return super().create_new_trial(study_id, template_trial)

    snapshot = search(5)
    storage = Failing()
    study = study_of(storage=storage, name="search")
    with pytest.raises(OSError, match="full"):
        restore(snapshot, study)
    assert len(study.trials) == 2
    storage.left = 10
    assert restore(snapshot, study) == 3
    assert_same(snapshot, study)


def test_running_trials_are_not_restored_as_such():
    study = study_of()
    assert restore(study_of(trial(RUNNING), trial(), trial(RUNNING)), study) == 2
    assert [each.state for each in study.trials] == [FAIL, COMPLETE]


def test_a_trial_that_ran_when_the_snapshot_was_taken_may_have_finished_since():
    snapshot = detached(study_of(trial(RUNNING), trial(), trial()))
    study = study_of(trial(values=[9.0]), trial())
    assert restore(snapshot, study) == 1
    assert [each.values for each in study.trials] == [[9.0], [0.5], [0.5]]


def test_attributes_that_the_study_has_are_its_own():
    snapshot, study = study_of(trial()), study_of()
    snapshot.set_user_attr("a", "of the snapshot")
    snapshot.set_user_attr("b", "of the snapshot")
    study.set_user_attr("a", "of the study")
    restore(snapshot, study)
    assert study.user_attrs == {"a": "of the study", "b": "of the snapshot"}


X = FloatDistribution(0, 1)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(trial(values=[2.0], point={"x": (X, 0.5)}), id="another value"),
        pytest.param(trial(values=[1.0], point={"x": (X, 0.25)}), id="another point"),
        pytest.param(trial(FAIL, point={"x": (X, 0.5)}), id="another end"),
        pytest.param(trial(RUNNING), id="no end"),
    ],
)
def test_two_studies_of_one_name_are_not_mixed(other, storage):
    snapshot = study_of(trial(values=[1.0], point={"x": (X, 0.5)}), trial())
    study = study_of(other, storage=storage)
    before = described(study)
    with pytest.raises(StudyError, match=r"Trial 0 of 'study' is .* these are two studies"):
        restore(snapshot, study)
    assert same(described(study), before)


def test_a_study_of_other_directions_is_not_mixed_in():
    study = study_of(directions=("maximize",))
    with pytest.raises(StudyError, match="its directions are minimize, those of the study are maximize"):
        restore(study_of(trial()), study)
    assert study.trials == []


@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler", "NSGAIISampler"])
def test_a_search_that_goes_on_from_a_snapshot_draws_what_it_would_have_drawn(sampler, storage, tmp_path):
    space = {"x": Float(-1, 1), "y": Float(0, 2, step=0.5)}

    def run(study, n_trials):
        study.sampler = SeededSampler(Sampler(sampler), 3, space)
        study.optimize(lambda trial: sum(suggest_all(trial, space).values()) ** 2, n_trials=n_trials)
        return [(each.params, each.value) for each in study.trials]

    in_one_go = run(study_of(), 18)
    first = study_of()
    run(first, 12)
    snapshot = loaded(saved(first, tmp_path))
    study = study_of(storage=storage)
    restore(snapshot, study)
    assert run(study, 6) == in_one_go
    assert run(snapshot, 6) == in_one_go
