"""Quiet by default, loud when asked, and always recorded beside the artifact."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from persistable import Persistable


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


@pytest.fixture
def _no_handlers(monkeypatch):
    """As in a fresh process: pytest puts handlers of its own on the root logger."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


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


@pytest.mark.usefixtures("_no_handlers")
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
