"""verify, du, doctor, prune, rm, cp, report: what they do, refuse, and say."""

from __future__ import annotations

import os
import time

import pytest
from mixed_store import ModelP, ModelParams

from persistable import LocalStore
from persistable._text import size


@pytest.fixture
def on(run, mixed, monkeypatch):
    """Return a function that runs a command on the mixed store."""
    monkeypatch.setenv("PERSISTABLE_DATA_DIR", str(mixed.folder))
    return run


@pytest.fixture
def chain(tmp_path):
    """A whole chain in a store of its own, made two days ago."""
    from mixed_store import DataP, DataParams

    store = LocalStore(tmp_path / "chain", fsync=False)
    data = DataP(store, DataParams(4), payload_name="data")
    model = ModelP(store, ModelParams(1.0), {"data": data}, payload_name="model")
    model.load_generate()
    for path in (tmp_path / "chain").rglob("*"):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    return data, model


def test_verify_finds_what_is_damaged_and_says_what_to_do(on, mixed):
    status, out, _ = on("verify")
    assert status == 1
    assert "fault" in out
    for key in (mixed.damaged, mixed.gone):
        [line] = [line for line in out.split("\n") if key[:8] in line]
        assert line.startswith("fault")
        assert "load_generate() makes it again" in line
    levels = {one["key"]: one["level"] for one in on("verify", "--json").json}
    assert levels[mixed.damaged] == "fault"
    assert levels[mixed.models[0].key] == "ok"


def test_verify_of_some_looks_at_those_only(on, mixed):
    assert on("verify", mixed.models[0].key).status == 0
    assert on("verify", mixed.gone).status == 1
    assert [one["key"] for one in on("verify", mixed.data.key[:8], "--json").json] == [mixed.data.key]
    assert on("verify", "-p", "data").status == 0


def test_the_first_argument_of_verify_may_be_the_store(run, mixed):
    assert run("verify", mixed.folder, mixed.data.key).status == 0
    assert "There is no artifact 'notakey'" in run("verify", mixed.folder, "notakey").err
    assert "did you mean model?" in run("verify", mixed.folder, "-p", "modl").err


def test_du_says_what_takes_the_room(on):
    status, out, _ = on("du")
    assert status == 0
    assert "model" in out
    assert "total" in out
    assert {one["payload_name"] for one in on("du", "--json").json["names"]} >= {"data", "model"}


def test_doctor_prints_one_finding_a_line(on, run, tmp_path):
    status, out, _ = on("doctor")
    assert status == 0
    assert out.startswith("ok ")
    assert run("doctor", tmp_path / "none").status == 1
    assert run("doctor", "nosuch://place").status == 1
    assert run("doctor", "nosuch://place", "--json").json[0]["level"] == "fault"


def test_prune_is_a_plan_unless_it_is_told_to_delete(run, chain, tmp_path):
    data, model = chain
    arguments = ["prune", tmp_path / "chain", "-w", "payload_name == 'model'", "--larger-than", "1B"]
    status, out, _ = run(*arguments)
    assert status == 0
    assert model.key[:8] in out
    assert out.endswith("To remove it, add --delete.\n")
    assert model.exists()
    status, out, err = run(*arguments, "--delete")
    assert (status, model.exists()) == (2, True)
    assert "--yes" in err
    status, out, _ = run(*arguments, "--delete", "--yes")
    assert (status, model.exists(), data.exists()) == (0, False, True)
    assert out.startswith("Removed: 1 entry")


def test_prune_as_json_is_the_plan_and_then_what_was_done(run, chain, tmp_path):
    _, model = chain
    arguments = ["prune", tmp_path / "chain", "-p", "model", "--larger-than", "1B", "--json"]
    assert [one["key"] for one in run(*arguments).json["artifacts"]] == [model.key]
    assert run(*arguments, "--delete").json.keys() == {"error", "type"}
    [done] = run(*arguments, "--delete", "--yes").json
    assert done["removed"]
    assert done["key"] == model.key


def test_prune_keeps_what_a_kept_one_was_made_from(run, chain, tmp_path):
    data, model = chain
    status, _, _ = run("prune", tmp_path / "chain", "--unreachable", "--keep", "model", "--delete", "--yes")
    assert (status, data.exists(), model.exists()) == (0, True, True)
    assert run("prune", tmp_path / "chain", "--unreachable").status == 2  # from what?
    run("prune", tmp_path / "chain", "--unreachable", "--keep", data.key[:8], "--delete", "--yes")
    assert (data.exists(), model.exists()) == (True, False)


@pytest.mark.parametrize(
    "arguments",
    [["--older-than", "soon"], ["--larger-than", "much"], ["--keep", "0123"], ["--unreachable"], ["-p", "modl"]],
)
def test_prune_refuses_what_makes_no_sense_in_one_line(on, arguments):
    status, out, err = on("prune", *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1


def test_prune_speaks_the_words_of_the_command_line(on):
    assert "3 has no unit: 3d, 3h, 3min" in on("prune", "--older-than", "3").err
    assert "5 has no unit: 5B, 5MB, 5GB" in on("prune", "--larger-than", "5").err
    assert "--keep" in on("prune", "--unreachable").err


def test_prune_says_what_stays_and_why_when_it_deletes_too(on):
    planned = on("prune", "--older-than", "0s", "-p", "model", "-w", "metrics.rmse > 0").out
    done = on("prune", "--older-than", "0s", "-p", "model", "-w", "metrics.rmse > 0", "--delete", "--yes")
    assert done == (0, planned, "")
    assert "artifacts, younger than an hour." in planned


def test_rm_says_what_goes_and_how_much_that_is(on, mixed):
    room = sum(path.stat().st_size for path in (mixed.folder / mixed.damaged.folder).iterdir())
    _, _, err = on("rm", mixed.damaged, mixed.generating)
    assert f"  {size(room)}, corrupt: " in err
    assert ", generating: " in err


def test_rm_refuses_what_something_was_made_from_and_what_nobody_agrees_to(run, chain, tmp_path):
    data, model = chain
    status, _, err = run("rm", data.key, "-d", tmp_path / "chain", "--yes")
    assert status == 2
    assert model.key[:8] in err
    assert "--force" in err
    assert run("rm", model.key, "-d", tmp_path / "chain").status == 2  # nobody is there to be asked
    assert data.exists()
    assert model.exists()


def test_rm_removes_one_with_all_that_was_made_from_it_or_by_force(run, chain, tmp_path):
    data, model = chain
    status, out, _ = run("rm", data.key[:10], model.key[:10], "-d", tmp_path / "chain", "--yes")
    assert status == 0
    assert out.count("removed") == 2
    assert not data.exists()
    again = ModelP(data.data_dir, model.params, {"data": data}, payload_name="model")
    data.persist()
    again.load_generate()
    [told] = run("rm", data.key, "-d", tmp_path / "chain", "--yes", "--force", "--json").json
    assert told["key"] == data.key
    assert not data.exists()
    assert model.exists()


def test_rm_goes_on_after_one_that_cannot_go(on, mixed):
    status, out, err = on("rm", mixed.generating, mixed.models[0].key, "--yes")
    assert status == 2
    assert err.startswith("persistable: ")
    assert mixed.models[0].key[:8] in out
    assert not mixed.models[0].exists()


def test_cp_copies_with_upstreams_or_without(run, chain, tmp_path):
    data, model = chain
    status, out, _ = run("cp", model.key[:8], tmp_path / "one", "-d", tmp_path / "chain")
    assert status == 0
    assert out.splitlines()[-1].startswith("2 artifacts copied")
    assert run("cp", model.key, tmp_path / "two", "-d", tmp_path / "chain", "--no-upstreams").status == 0
    assert not (tmp_path / "two" / "data").exists()
    told = run("cp", "--all", tmp_path / "one", "-d", tmp_path / "chain", "--json").json
    assert {one["key"]: one["state"] for one in told} == {data.key: "there", model.key: "there"}


@pytest.mark.parametrize("arguments", [["target"], ["--all", "3f9a", "target"], ["--all"]])
def test_cp_needs_keys_or_all_and_a_target(on, arguments):
    status, out, err = on("cp", *arguments)
    assert (status, out) == (2, "")
    assert "--help" in err or "--all" in err


def test_cp_tells_of_what_cannot_be_copied(on, mixed, tmp_path):
    status, out, _ = on("cp", mixed.gone, tmp_path / "target")
    assert status == 2
    assert "failed" in out


def test_report_writes_a_page(on, tmp_path):
    page = tmp_path / "page.html"
    status, out, _ = on("report", "-o", page, "--title", "What there is")
    assert status == 0
    assert out.startswith(f"Written: {page}")
    assert "What there is" in page.read_text()
    assert on("report", "-o", page, "--json").json["bytes"] == page.stat().st_size
    assert on("report", "-o", tmp_path / "none" / "page.html").status == 2
