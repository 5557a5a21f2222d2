"""ls, show, log, why, tree, diff, outdated: what they print, mark and find; and that nothing is ever unpickled."""

from __future__ import annotations

import json
import os

import pytest
from mixed_store import HOSTILE, DataP, DataParams, ModelP, ModelParams

from persistable import LocalStore, Persistable, PersistableParams
from persistable.catalog import Catalog


@pytest.fixture
def on(run, mixed, monkeypatch):
    """Return a function that runs a command on the mixed store."""
    monkeypatch.setenv("PERSISTABLE_DATA_DIR", str(mixed.folder))
    return run


def line_of(text: str, words: str) -> str:
    [line] = [line for line in text.split("\n") if words in line]
    return line


# -- ls ----------------------------------------------------------------------------------------------------------------


def test_ls_lists_the_newest_first_with_the_params_that_vary(on, mixed):
    status, out, _ = on("ls", "-p", "model", "--state", "whole")
    assert status == 0
    line = line_of(out, mixed.models[1].key[:8])
    assert "model" in line
    assert "alpha=2.0" in line
    assert "rmse 0.2" in line
    at = [record.at for record in Catalog(mixed.folder).find("model", state="whole")]
    assert at == sorted(at, reverse=True)


def test_ls_marks_what_is_not_whole_and_says_why(on, mixed):
    out = on("ls").out
    for key, mark in (
        (mixed.damaged, "corrupt"),
        (mixed.newer, "newer"),
        (mixed.half_deleted, "unfinished"),
        (mixed.failed, "failed"),
        (mixed.generating, "generating"),
    ):
        assert mark in line_of(out, key[:8])
    assert "1.x" in out
    assert "notes.txt" not in out
    assert out.splitlines()[-1].endswith("files and folders not ours: --state foreign")
    for out in (on("ls", "--state", "foreign").out, on("ls", "--state", "any").out):
        for path in ("notes.txt", "pictures"):
            assert "foreign" in line_of(out, path)


def test_ls_shows_fifty_and_says_how_many_there_are(run, tmp_path):
    for n in range(53):
        DataP(LocalStore(tmp_path, fsync=False), DataParams(n), payload_name="data").generate()
    out = run("ls", tmp_path).out
    assert len(out.splitlines()) == 1 + 50 + 1
    assert out.splitlines()[-1] == "50 of 53 entries; --all shows all of them"
    assert len(run("ls", tmp_path, "--all").out.splitlines()) == 1 + 53 + 1
    assert len(run("ls", tmp_path, "-n", 3).out.splitlines()) == 1 + 3 + 1
    assert len(run("ls", tmp_path, "--json").json) == 53
    assert len(run("ls", tmp_path, "--json", "-n", 3).json) == 3


def test_ls_filters_and_sorts(on, mixed):
    found = on("ls", "-w", "params.alpha >= 2 and metrics.rmse < 0.25", "--json").json
    assert [one["key"] for one in found] == [mixed.models[1].key]
    alphas = [
        one["params"]["alpha"]
        for one in on("ls", "-p", "model", "-s", "params.alpha", "--state", "whole", "--json").json
    ]
    assert alphas == sorted(alphas)
    assert {one["state"] for one in on("ls", "--state", "corrupt", "--json").json} == {"corrupt"}


def test_a_wrong_condition_is_one_line_that_says_what_can_be_asked(on):
    status, out, err = on("ls", "-w", "params.alpha = 3")
    assert (status, out) == (2, "")
    assert err.startswith("persistable: ")


def test_a_wrong_condition_is_pointed_at(on):
    lines = on("ls", "-w", "params.alpha ? 3\x1b").err.splitlines()
    assert lines[1].strip().startswith("params.alpha ? 3")
    assert all(line.isprintable() for line in lines)
    assert json.loads(on("ls", "-w", "params.alpha ? 3", "--json").out)["error"].count("\n") >= 2


@pytest.mark.parametrize("arguments", [["-s", "-size"], ["-s", "size", "-r"], ["--sort=-size"], ["-rs", "size"]])
def test_ls_sorts_the_largest_first(on, arguments):
    sizes = [one["size"] for one in on("ls", "--state", "whole", "--json", *arguments).json]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 1


def test_ls_sorts_by_a_metric_the_largest_first_or_the_oldest_first(on):
    rmses = [one["metrics"]["rmse"] for one in on("ls", "-p", "model", "-s", "-metrics.rmse", "--json").json[:3]]
    assert rmses == sorted(rmses, reverse=True)
    times = [one["at"] for one in on("ls", "-r", "--state", "whole", "--json").json]
    assert times == sorted(times)


def test_ls_that_finds_nothing_is_no_and_says_what_may_have_been_meant(on):
    status, out, err = on("ls", "-p", "modl")
    assert (status, out) == (1, "")
    assert "did you mean model?" in err
    assert on("ls", "-w", "params.alpha > 1e9").status == 1
    assert on("ls", "-w", "params.alpha > 1e9", "--json")[:2] == (1, "[]\n")


def test_ls_and_show_tell_a_tuple_from_a_list(run, tmp_path):
    store = LocalStore(tmp_path, fsync=False)
    data = DataP(store, DataParams(3), payload_name="data")
    options = {"order": (1, 0, 0), "lags": [1, 2], "nested": {"t": (1,)}}
    model = ModelP(store, ModelParams(1.0, options), {"data": data}, payload_name="model")
    model.load_generate()
    for command in (["ls", "-p", "model"], ["show", model.key]):
        out = run(*command, "-d", tmp_path).out
        assert "(1, 0, 0)" in out
        assert "[1, 2]" in out
    assert line_of(out, "options.nested.t").endswith("  (1,)")


def test_ls_tells_the_names(on, mixed):
    out = on("ls", "--names").out
    assert line_of(out, "data").split()[:2] == ["data", "1"]
    by_name = {one["payload_name"]: one for one in on("ls", "--names", "--json").json}
    assert by_name["data"]["count"] == 1
    assert by_name["data"].keys() == {"payload_name", "count", "bytes", "newest"}


def test_ls_of_an_empty_store_says_so_and_prints_an_empty_array(run, tmp_path):
    status, out, err = run("ls", tmp_path)
    assert (status, out) == (0, "")
    assert err.startswith("No artifacts in ")
    assert run("ls", tmp_path, "--json").json == []


# -- show, log ---------------------------------------------------------------------------------------------------------


def test_show_tells_everything(on, mixed):
    out = on("show", mixed.models[1].key).out
    for words in (
        "model",
        mixed.models[1].key,
        "alpha",
        "2.0",
        "rmse",
        "0.2",
        "plain",
        "data",
        "manifest.json",
        "python",
    ):
        assert words in out, words
    told = on("show", mixed.models[1].key[:6], "--json").json
    assert told["params"] == {"alpha": 2.0, "options": {}}
    assert {"files", "packages", "git", "dependents", "dependencies"} <= told.keys()
    assert on("show", mixed.data.key, "--json").json["dependents"]


def test_show_tells_what_it_can_of_what_is_not_whole(on, mixed):
    for key, mark in ((mixed.damaged, "corrupt"), (mixed.newer, "newer"), (mixed.failed, "failed")):
        status, out, _ = on("show", key)
        assert status == 0
        assert mark in out


def test_a_prefix_suffices_and_an_ambiguous_one_lists_the_candidates(run, tmp_path):
    store = LocalStore(tmp_path, fsync=False)
    made = DataP(store, DataParams(1), payload_name="data")
    made.generate()
    made_too = tmp_path / "data" / (made.key[:4] + made.key[4:][::-1])
    made_too.mkdir()
    (made_too / "manifest.json").write_text("damaged")
    status, _, err = run("show", made.key[:4], "-d", tmp_path)
    assert status == 2
    assert made.key[:8] in err
    assert made_too.name[:8] in err
    assert run("show", made.key[:12], "-d", tmp_path).status == 0
    assert run("show", f"data/{made.key[:12]}", "-d", tmp_path).status == 0


@pytest.mark.parametrize("command", ["show", "why", "log", "tree"])
@pytest.mark.parametrize("key", ["0123", "model/0123", "nothing"])
def test_that_there_is_no_such_artifact_is_an_answer(on, command, key):
    status, out, err = on(command, key)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "abc"],
        ["show", ""],
        ["diff", "0123", "0123"],
        ["rm", "0123", "-y"],
        ["verify", "0123"],
        ["cp", "0123", "x"],
    ],
)
def test_what_makes_no_sense_or_cannot_be_done_is_one_line(on, arguments):
    status, out, err = on(*arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1


def test_a_payload_name_will_do_if_one_artifact_has_it(on, mixed, monkeypatch):
    monkeypatch.chdir(mixed.folder.parent)
    for command in ("show", "why", "log", "tree", "verify"):
        first, *others = [on(command, word) for word in ("data", f"data/{mixed.data.key[:8]}", "data/")]
        assert first.status == 0, command
        for other in others:  # no more than how they begin: some tell an age
            assert other.out[:14] == first.out[:14], command
    assert on("diff", "data", mixed.data.key).status == 0
    status, out, err = on("show", "model")
    assert (status, out) == (2, "")
    assert "artifacts are of the name model" in err
    assert "persistable ls -p model" in err
    assert "did you mean model?" in on("show", "modl").err


def test_a_place_where_a_key_is_expected_is_told_how_to_name_it(run, mixed, monkeypatch):
    monkeypatch.chdir(mixed.folder.parent)
    assert "persistable -d store COMMAND KEY" in run("show", "store", "-d", mixed.folder).err


def test_why_of_what_persistable_1_wrote_says_so(on, mixed):
    [old] = on("ls", "--state", "1.x", "--json").json
    status, out, _ = on("why", old["key"])
    assert status == 0
    assert "persistable 1.x" in out
    assert on("why", old["key"], "--json").json["state"] == "1.x"
    assert "None" not in on("show", old["key"]).out
    assert "not ours to remove" in on("rm", old["key"], "--yes").err


def test_log_prints_what_the_logger_said(on, mixed):
    assert "Counting." in on("log", mixed.data.key).out
    told = on("log", mixed.data.key, "--json").json
    assert told["file"] == "generation.log"
    assert told["key"] == mixed.data.key


def test_log_of_a_failure_has_the_traceback(on, mixed):
    for arguments in ([], ["--failed"]):
        status, out, err = on("log", mixed.failed, *arguments)
        assert status == 0
        assert "ZeroDivisionError" in out
        assert "raised" in err
    assert on("log", mixed.data.key, "--failed").status == 1


# -- why, tree, diff, outdated -----------------------------------------------------------------------------------------


def test_why_says_what_differs_from_the_nearest_one(on, mixed):
    status, out, _ = on("why", mixed.models[1].key)
    assert status == 0
    assert "alpha: 0.5 -> 2.0" in out
    assert on("why", mixed.models[1].key, "--json").json["state"] == "whole"


def test_why_with_two_keys_says_what_differs_between_them(on, mixed):
    status, out, _ = on("why", mixed.models[0].key, mixed.models[1].key)
    assert status == 0
    assert "alpha: 0.5 -> 2.0" in out


def test_why_of_what_is_not_whole_is_no_crash(on, mixed):
    for key in (mixed.damaged, mixed.newer, mixed.failed, mixed.generating, mixed.half_deleted, mixed.gone):
        status, out, _ = on("why", key)
        assert status in (0, 1)
        assert out


def test_diff_is_1_if_they_differ_and_0_if_not(on, mixed):
    one, other = mixed.models[0].key, mixed.models[1].key
    status, out, _ = on("diff", one, other)
    assert status == 1
    assert "alpha: 0.5 -> 2.0" in out
    assert on("diff", one, one).status == 0
    assert on("diff", one, other, "--json").json["differences"]


@pytest.mark.parametrize(
    ("form", "start"), [("text", "model"), ("mermaid", "graph"), ("dot", "digraph"), ("svg", "<svg")]
)
def test_tree_draws_in_four_ways_to_the_output_or_a_file(on, mixed, tmp_path, form, start):
    key = mixed.models[0].key
    out = on("tree", key, "--format", form).out
    assert out.lstrip().startswith(start)
    assert on("tree", key, "--format", form, "-o", tmp_path / "tree").out == ""
    assert (tmp_path / "tree").read_text() == out


def test_tree_as_json_has_nodes_and_edges(on, mixed):
    assert {"nodes", "edges"} <= on("tree", mixed.models[0].key, "--json").json.keys()


def test_tree_into_a_folder_that_is_not_there_says_so(on, mixed, tmp_path):
    assert "there is no folder" in on("tree", mixed.models[0].key, "-o", tmp_path / "none" / "tree").err


def test_tree_of_dependents_goes_the_other_way(on, mixed):
    out = on("tree", mixed.data.key, "--dependents").out
    assert all(model.key[:8] in out for model in mixed.models)
    found = on("tree", mixed.data.key, "--dependents", "--json").json
    assert {model.key for model in mixed.models} <= {one["key"] for one in found}
    assert "Nothing" in on("tree", mixed.models[0].key, "--dependents").err


def test_outdated_lists_what_was_made_from_content_that_is_no_more(run, tmp_path):
    store = LocalStore(tmp_path, fsync=False)
    data = DataP(store, DataParams(3), payload_name="data")
    model = ModelP(store, ModelParams(1.0), {"data": data}, payload_name="model")
    model.load_generate()
    assert run("outdated", tmp_path).status == 0
    data._payload = None
    DataP._generate_payload, before = lambda self: [7, 7], DataP._generate_payload
    try:
        DataP(store, DataParams(3), payload_name="data").generate()
    finally:
        DataP._generate_payload = before
    status, out, _ = run("outdated", tmp_path)
    assert status == 1
    what, remedy, _ = out.split("\n", 2)
    assert what.startswith(model.key[:8])
    assert "has been made again since" in what
    assert f"generate() model {model.key[:8]} again" in remedy
    [told] = run("outdated", tmp_path, "--json").json
    assert told["key"] == model.key
    assert told["remade"] == ["data"]


# -- harmless ----------------------------------------------------------------------------------------------------------


def test_hostile_names_and_params_are_shown_harmlessly(on, mixed):
    key = mixed.models[2].key
    for command in (
        ["ls"],
        ["ls", "--names"],
        ["show", key],
        ["why", key],
        ["tree", key],
        ["diff", mixed.models[0].key, key],
        ["du"],
    ):
        out = on(*command).out
        assert all(line.isprintable() for line in out.split("\n")), command
    assert on("show", key, "--json").json["params"]["options"]["html"] == HOSTILE["html"]


class Evil:
    """What does harm when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


class EvilP(Persistable[Evil, PersistableParams]):
    path = ""

    def _generate_payload(self) -> Evil:
        return Evil(self.path)


def test_no_command_unpickles_a_payload(run, tmp_path):
    evil = EvilP(LocalStore(tmp_path / "store", fsync=False), PersistableParams(), payload_name="evil")
    evil.path = str(tmp_path / "harm")
    evil.generate()
    key = evil.key
    commands = [
        *(["ls"], ["ls", "--json"], ["ls", "--names"], ["show", key], ["log", key], ["why", key], ["tree", key]),
        *(["diff", key, key], ["outdated"], ["verify"], ["du"], ["doctor"], ["prune"], ["cp", key, tmp_path / "other"]),
        *(["report", "-o", tmp_path / "report.html"], ["rm", key, "--yes"]),
    ]
    for command in commands:
        assert run("-d", tmp_path / "store", *command).status == 0, command
        assert not (tmp_path / "harm").exists(), command


def test_json_is_valid_for_every_command(on, mixed, tmp_path):
    key = mixed.models[2].key
    commands = [
        *(
            ["ls"],
            ["ls", "--names"],
            ["show", key],
            ["log", key],
            ["why", key],
            ["tree", key],
            ["diff", key, mixed.models[0].key],
        ),
        *(["outdated"], ["verify"], ["du"], ["doctor"], ["prune"], ["cp", key, tmp_path / "other"]),
        *(["report", "-o", tmp_path / "report.html"], ["completion", "bash"], ["rm", "0123"], ["ls", "-w", "("]),
    ]
    for command in commands:
        answer = on(*command, "--json")
        json.loads(answer.out, parse_constant=pytest.fail)  # NaN, say
