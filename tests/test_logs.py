"""Quiet by default, loud when asked, and always recorded beside the artifact."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from typing import Any

import pytest

from persistable import Persistable
from persistable._logs import logger_for, recording


class TalkingP(Persistable[int, None]):
    def _generate_payload(self, depth: int = 0, **untracked: Any) -> int:
        self.logger.debug("not recorded")
        self.logger.info("fitting %d rows", 5)
        self.logger.warning("it converges slowly")
        try:
            raise ValueError("inside")
        except ValueError:
            self.logger.exception("caught")
        worker = threading.Thread(target=lambda: self.logger.info("from a worker thread"))
        worker.start()
        worker.join()
        for upstream in self.tracked_persistable_dependencies.values():
            upstream.load_generate()
        return 1


def log_of(persistable):
    return (persistable.persist_filepath / "generation.log").read_text()


@contextlib.contextmanager
def fresh_logging():
    """As in a fresh process: pytest puts handlers of its own on the root logger, for each test anew."""
    loggers = [logging.getLogger(), logging.getLogger("persistable")]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers = []
    try:
        yield
    finally:
        for logger, handlers, level in before:
            logger.handlers = handlers
            logger.setLevel(level)


def test_a_generation_is_recorded_beside_the_artifact(tmp_path):
    talking = TalkingP(tmp_path, None)
    talking.load_generate()
    log = log_of(talking)
    assert "INFO persistable.talking_p: Generating talking_p" in log
    assert "INFO persistable.talking_p: fitting 5 rows" in log
    assert "WARNING persistable.talking_p: it converges slowly" in log
    assert "ValueError: inside" in log
    assert "from a worker thread" in log
    assert "not recorded" not in log


def test_an_upstream_that_is_made_meanwhile_has_its_own_log(tmp_path):
    upstream = TalkingP(tmp_path, None, payload_name="upstream")
    talking = TalkingP(tmp_path, None, [upstream])
    talking.load_generate()
    assert log_of(talking).count("fitting") == 1
    assert log_of(upstream).count("fitting") == 1
    assert "Generating upstream" not in log_of(talking)


@fresh_logging()
def test_it_is_quiet_by_default(tmp_path, capfd):
    class QuietP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            self.logger.info("hello")
            return 1

    QuietP(tmp_path, None).load_generate()
    QuietP(tmp_path, None).load_generate()
    assert capfd.readouterr() == ("", "")


def test_verbose_writes_to_the_console_once(tmp_path, capsys):
    for _ in range(2):
        loud = TalkingP(tmp_path, None, payload_name="loud", verbose=True)
        loud.load_generate()
    written = capsys.readouterr().err
    assert written.count("fitting 5 rows") == 1
    assert written.count("Loaded loud") == 1


@fresh_logging()
def test_verbose_is_about_one_object_and_not_about_all_of_its_name(tmp_path, capsys):
    for order in ((True, False), (False, True)):
        name = f"some_{order[0]}"
        for verbose in order:
            TalkingP(tmp_path / f"{order}{verbose}", None, payload_name=name, verbose=verbose).generate()
            written = capsys.readouterr().err
            assert written.count("fitting 5 rows") == verbose
            assert written.count("it converges slowly") == 1  # a warning is seen in any case
            assert written.count("not recorded") == 0


@pytest.mark.parametrize("name", ["", "persistable", "persistable.loud_again"])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING])
@fresh_logging()
def test_verbose_does_not_print_what_the_application_prints(capsys, name, level):
    logger, handler = logging.getLogger(name), logging.StreamHandler(sys.stderr)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        loud = logger_for("loud_again", verbose=True)
        loud.info("an info")
        loud.warning("a warning")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    written = capsys.readouterr().err
    assert written.count("an info") == written.count("a warning") == 1


@fresh_logging()
def test_verbose_prints_what_the_application_only_writes_to_a_file(tmp_path, capsys):
    handler = logging.FileHandler(tmp_path / "log")
    logging.getLogger().addHandler(handler)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel(logging.INFO)
    logger_for("filed", verbose=True).info("an info")
    handler.close()
    assert capsys.readouterr().err.count("an info") == 1
    assert (tmp_path / "log").read_text().count("an info") == 1


@fresh_logging()
def test_what_is_disabled_for_all_is_not_printed(capsys):
    logging.disable(logging.INFO)
    try:
        logger_for("disabled", verbose=True).info("an info")
    finally:
        logging.disable(logging.NOTSET)
    assert capsys.readouterr().err == ""


def test_a_dot_in_a_payload_name_makes_no_child_of_another_logger():
    assert logger_for("m.v2").logger.name == "persistable.m_v2"
    assert logger_for("m.v2") is logger_for("m.v2")
    assert logger_for("m.v2") is not logger_for("m.v2", verbose=True)
    assert logger_for("m.v2").logger is logger_for("m.v2", verbose=True).logger
    assert logger_for("m.v2").logger.parent is logging.getLogger("persistable")


class _Unspeakable:
    def __str__(self) -> str:
        raise ZeroDivisionError("on purpose")

    __repr__ = __str__


_ERROR = ValueError("passed on")

_BAD_CALLS = [
    (("%d items", "many"), {}, "INFO persistable.spoken: %d items many"),
    (("%d and %d", 1), {}, "%d and %d 1"),
    (("no place for", 1), {}, "no place for 1"),
    (("%(a)s", {"b": 1}), {}, "%(a)s {'b': 1}"),
    ((_Unspeakable(),), {}, "<_Unspeakable: ZeroDivisionError>"),
    (("it is %s", _Unspeakable()), {}, "it is %s <_Unspeakable: ZeroDivisionError>"),
    (("odd",), {"exc_info": ("no", "such", "thing")}, "INFO persistable.spoken: odd"),
]
_GOOD_CALLS = [
    (("a tuple",), {"exc_info": (ValueError, _ERROR, None)}, "a tuple\nValueError: passed on"),
    (("an exception",), {"exc_info": _ERROR}, "an exception\nValueError: passed on"),
    (("no tuple",), {"exc_info": ()}, "INFO persistable.spoken: no tuple"),
    (("true outside of any",), {"exc_info": True}, "true outside of any"),
    (("a number",), {"exc_info": 1}, "a number"),
    (("none",), {"exc_info": None}, "INFO persistable.spoken: none"),
    (("false",), {"exc_info": False}, "INFO persistable.spoken: false"),
    ((7,), {}, "INFO persistable.spoken: 7"),
    (("%(a)s", {"a": 1}), {}, "INFO persistable.spoken: 1"),
    (("100 %",), {}, "INFO persistable.spoken: 100 %"),
]


@pytest.mark.parametrize(("args", "kwargs", "recorded"), _BAD_CALLS + _GOOD_CALLS)
@pytest.mark.parametrize("verbose", [True, False])
@fresh_logging()
def test_a_call_costs_no_generation_however_bad_it_is(tmp_path, capsys, args, kwargs, recorded, verbose):
    class SpokenP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            self.logger.info(*args, **kwargs)
            return 1

    spoken = SpokenP(tmp_path, None, payload_name="spoken", verbose=verbose)
    assert spoken.load_generate() == 1
    assert recorded in log_of(spoken)
    assert (recorded in capsys.readouterr().err) == verbose


@fresh_logging()
def test_a_bad_call_is_handed_on_as_any_other(capsys):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    with recording() as lines:
        logger_for("spoken").warning("%d items", "many", extra={"more": 1})
    (record,) = records
    assert (record.msg, record.args, record.more) == ("%d items", ("many",), 1)
    assert len(lines) == 1


def test_warnings_are_seen_where_nobody_has_configured_logging(run_python):
    code = """if True:
        import contextlib, io, sys
        with contextlib.redirect_stderr(io.StringIO()) as seen:
            from persistable._logs import logger_for
            logger_for("x").info("an info")
            logger_for("x").warning("Waiting for process 1108")
            logger_for("y", verbose=True).warning("twice?")
        print(seen.getvalue())
    """
    written = run_python(code)
    assert "an info" not in written
    assert written.count("Waiting for process 1108") == written.count("twice?") == 1


def test_a_logger_of_the_users_own_is_used_and_still_recorded(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    talking = TalkingP(tmp_path, None, logger=logging.getLogger("mine"))
    talking.load_generate()
    assert [record.name for record in caplog.records if record.msg == "it converges slowly"] == ["mine"]
    assert caplog.records[0].pathname == __file__
    assert "fitting 5 rows" in log_of(talking)


def test_generations_of_several_threads_are_recorded_apart(tmp_path):
    started = threading.Barrier(2, timeout=30)

    class ThreadedP(Persistable[int, None]):
        def _generate_payload(self) -> int:
            started.wait()
            self.logger.info("I am %s", self.payload_name)
            started.wait()
            return 1

    both = [ThreadedP(tmp_path, None, payload_name=name) for name in ("left", "right")]
    threads = [threading.Thread(target=persistable.load_generate) for persistable in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for persistable in both:
        assert log_of(persistable).count("I am ") == 1
        assert f"I am {persistable.payload_name}" in log_of(persistable)
