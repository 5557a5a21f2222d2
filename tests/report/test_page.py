"""The page in a browser: what a person searches, sorts, clicks and reads; and what a hostile store cannot do."""

from __future__ import annotations

import re
import time

import pytest

from persistable import write_report
from persistable._text import shown as text_of
from persistable.catalog import Catalog

MODELS = "#name=model"
EVALUATIONS = "#name=evaluation"

QUERIES = {
    "lasso": 30,
    "LASSO depth=5": 10,
    "params.kind = ridge and params.alpha > 1": 6,
    "alpha > 1": 12,
    "alpha>=1.584893 depth!=2": 8,
    "metrics.converged = True": 60,
    "dependencies.features.dependencies.prices.params.market = EUR/USD": 30,
    'params.kind = "ridge"': 30,
    "seconds < 1000 user != nobody": 60,
    "at > 2100-01-01": 0,
    # what Catalog.find takes
    "params.kind == 'ridge' and (params.depth == 2 or params.depth == 5)": 20,
    "params.depth in (2, 5)": 40,
    "params.depth not in [2, 5] and params.kind in ['ridge']": 10,
    "not params.kind == 'ridge'": 30,
    "1 < params.alpha <= 2": 6,
    "1 < params.alpha < metrics.epochs": 12,
    "params.depth == 2.0": 20,
    "params.depth == '2'": 0,
    "params.kind != 2": 60,
    "params.kind == 'RIDGE'": 0,
    "params['kind'] == \"ridge\"": 30,
    "params.alpha is not None": 60,
    "metrics.converged is True": 60,
    "metrics.converged": 60,
    "'odel' in payload_name": 60,
    "lasso or params.depth == 5": 40,
    "trained in the house": 0,
}

PROBLEMS = {
    "params.alpha >": "params.alpha > what?",
    "params.alpha * 2 > 5 and params.kind == 'ridge'": "What is * for?",
    "params.options[0] == 1": "Elements of lists have no search here: params.options[0].",
    "(" * 10_000: "This is nested too deeply.",
    "1 == 2": "Two constants need no comparison.",
    "params.alpha > 0)": "What is ) for?",
}

ODD_QUERIES = {
    "params.one == 1": 2,
    "params.one == 1.0": 2,
    "params.one == True": 0,
    "params.lags == (1, 2)": 1,
    "params.lags == [1, 2]": 0,
    "params.lags != [1, 2]": 2,
    "params.list == [1, 'a', None, True, 1e-07]": 2,
    "2 in params.lags": 1,
    "params.path == 'a/b'": 2,
    "'a/' in params.path": 2,
    "params.none is None": 2,
    "params.none == 'None'": 0,
    "params.nan > 0": 0,
    "params.inf > 1e300": 2,
    "params.flag": 2,
    "'tagged' in tags": 2,
    "not params.one == 1 and params.one is not None": 0,
    "params.text in ('it is', 'it was')": 2,
}


class TestTheTable:
    def test_says_what_and_where_it_is(self, page, models_page):
        page.open(models_page)
        assert page.driver.title == page.one("h1").text == "Sixty models"
        assert str(models_page.parent / "store") in page.one("#about").text
        assert page.found == "124 artifacts"
        assert page.texts("#names button") == ["all124", "evaluation60", "features2", "model60", "prices2"]

    def test_of_one_name_has_a_column_for_each_param_and_metric_that_differs(self, page, models_page):
        page.open(models_page)
        page.button("evaluation").click()
        assert page.found == "60 of 124 artifacts"
        assert {"rmse", "mae", "model › kind", "model › alpha", "model › depth"} <= set(page.titles)
        assert "coverage" not in page.titles

    def test_is_sorted_by_a_click_with_numbers_as_numbers(self, page, models_page):
        page.open(models_page, MODELS)
        page.button("alpha", ".head").click()
        ascending = [float(text) for text in page.column("alpha")]
        assert ascending == sorted(ascending)
        assert ascending[0] == 0.001
        page.button("alpha", ".head").click()
        assert page.column("alpha")[0] == "3.9811"
        assert page.one("[aria-sort=descending]").text == "alpha ▾"

    def test_is_searched_by_words_and_conditions(self, page, models_page):
        page.open(models_page, MODELS)
        for query, count in QUERIES.items():
            page.search(query)
            assert page.found == f"{count} of 124 artifacts", query
            assert not page.one("#problems").is_displayed(), query

    def test_finds_what_the_catalogue_finds(self, page, odd):
        page.open(odd.page)
        for query, count in ODD_QUERIES.items():
            page.search(query)
            assert page.found.startswith(f"{count} "), query
            assert len(Catalog(odd.folder).find(where=query)) == count, query

    def test_shows_values_as_python_writes_them(self, page, odd):
        page.open(odd.page, "#name=odd&selected=odd%2F" + odd.keys[0])
        shown = dict(zip(page.texts("#detail .pairs th"), page.texts("#detail .pairs td"), strict=True))
        for name, value in odd.readable.items():
            assert shown[name] == text_of(value, 1000), name
        assert (shown["one"], shown["one_point_zero"], shown["small"]) == ("1", "1.0", "1e-05")
        page.open(odd.page, "#columns=params&sort=key")
        assert page.column("params")[0].startswith("one=1, one_point_zero=1.0, small=1e-05, minus=-0.0, text='it is'")

    def test_says_what_a_condition_cannot_mean(self, page, models_page):
        page.open(models_page, MODELS)
        page.search("params.alhpa > 1")
        assert page.one("#problems").text == "No artifact here has params.alhpa. Did you mean params.alpha?"
        for query, problem in PROBLEMS.items():
            page.search(query)
            assert page.one("#problems").text.startswith(problem), query
            assert page.found.startswith(("60 of", "30 of")), query  # what is understood is heeded
        page.one("#search").send_keys("\ue00c")  # Esc
        assert page.found == "60 of 124 artifacts"
        assert not page.one("#problems").is_displayed()

    def test_has_the_columns_that_are_chosen(self, page, models_page):
        page.open(models_page, MODELS)
        page.one("#chooser summary").click()
        page.one("#columns label[title=host] input").click()
        page.one('#columns label[title="params.kind"] input').click()
        assert "on" in page.titles
        assert "kind" not in page.titles
        page.button("As usual").click()
        assert "kind" in page.titles
        page.press("\ue00c")
        assert not page.one("#columns").is_displayed()

    def test_is_used_with_keys_alone(self, page, models_page):
        page.open(models_page, MODELS)
        page.press("/", "lasso")
        page.run("document.querySelector('.grid').focus()")
        page.press("\ue015", "\ue015")  # down
        first = page.one(".row.selected").get_attribute("id")
        assert first == "row-1"
        assert page.one(".grid").get_attribute("aria-activedescendant") == first
        page.press(" ", "\ue010")  # space, End
        assert page.one(".row.selected").get_attribute("id") == "row-29"
        page.press(" ")
        assert page.button("Compare", "#tabs").text == "Compare2"
        page.press("\ue00c")
        assert not page.one("#detail").is_displayed()

    def test_stands_on_one_sheet_and_the_next_when_printed(self, page, models_page):
        page.open(models_page)
        page.run("dispatchEvent(new Event('beforeprint'))")
        assert len(page.all(".body .row")) == 124
        page.run("dispatchEvent(new Event('afterprint'))")
        assert len(page.all(".body .row")) < 124


class TestTheDetail:
    def test_of_an_artifact_tells_all_that_is_known_of_it(self, page, models_page):
        page.open(models_page, EVALUATIONS)
        page.search("metrics.rmse > 0")
        page.one(".body .row").click()
        for text in ("coverage", "rmse", "rows", "by", "python", "persistable 2", "pickle", "Made from", "model"):
            assert text in page.detail
        key = page.one("#detail .key").text
        code = page.one("#detail code").text
        assert code.startswith("from persistable import Catalog")
        assert f'.load("evaluation/{key[:8]}")' in code
        assert str(models_page.parent / "store") in code

    def test_leads_to_its_upstreams_and_back(self, page, models_page):
        page.open(models_page, EVALUATIONS)
        page.one(".body .row").click()
        page.button("model", "#detail").click()
        assert page.one("#detail h2").text.startswith("model")
        page.button("prices", "#detail").click()
        assert "and 1 more" in page.detail  # one of features, and thirty models: thirty links are shown
        page.back()
        assert page.one("#detail h2").text.startswith("model")
        page.back()
        assert page.one("#detail h2").text.startswith("evaluation")

    def test_says_what_was_made_again_since_it_was_used(self, page, models_page):
        page.open(models_page)
        page.button("⟳ outdated").click()
        assert page.found == "61 of 124 artifacts"
        page.button("features").click()
        page.one(".body .row").click()
        assert "Made again with other content since it was used: prices." in page.one("#detail .problem").text
        page.button("model", "#detail").click()
        page.button("evaluation", "#detail").click()
        assert page.one("#detail .problem").text == "Made from what is outdated: model."

    def test_of_what_is_copied_says_so(self, page, models_page):
        page.open(models_page, MODELS)
        page.one(".body .row").click()
        button = page.button("Copy key")
        page.run(
            "window.said = []; new MutationObserver(() => said.push(arguments[0].textContent))"
            ".observe(arguments[0], {childList: true})",
            button,
        )
        button.click()
        assert page.wait(lambda: "Copied" in page.run("return said"))


class TestTheLineage:
    def test_is_drawn_and_clicked_through(self, page, models_page):
        page.open(models_page, EVALUATIONS)
        page.search("rmse > 0")
        page.one(".body .row").click()
        page.button("Lineage", "#detail").click()
        names = page.texts(".node .name")
        assert sorted(names) == ["evaluation", "features", "model", "prices"]
        assert len(page.all(".edge")) == 4
        node = next(node for node in page.all(".node") if "prices" in node.text)
        node.click()
        assert page.one("#detail h2").text.startswith("prices")
        assert "prices" in page.one(".node.selected").text
        page.button("Start from prices").click()
        page.one(".bar input").click()
        assert len(page.all(".node")) == 62  # and all that is made from it: features, 30 models, 30 evaluations

    def test_marks_the_edges_to_what_was_made_again(self, page, models_page):
        page.open(models_page, MODELS)
        page.search("outdated != no")
        page.one(".body .row").click()
        page.button("Lineage", "#detail").click()
        assert len(page.all(".edge.again")) == 2
        assert len(page.all(".node.outdated")) == 2

    def test_runs_from_left_to_right_and_nothing_overlaps(self, page, models_page):
        page.open(models_page, "#view=lineage&below=1&root=" + self.prices_of(page, models_page))
        boxes = page.run(
            "return [...document.querySelectorAll('.node rect')].map(b => [b.x, b.y, b.width, b.height]"
            ".map(value => value.baseVal.value))"
        )
        for number, (x, y, width, height) in enumerate(boxes):
            for other_x, other_y, *_ in boxes[:number]:
                assert abs(x - other_x) >= width or abs(y - other_y) >= height

    @staticmethod
    def prices_of(page, models_page):
        page.open(models_page, "#name=prices")
        page.one(".body .row").click()
        return "prices%2F" + page.one("#detail .key").text


class TestTheComparison:
    def test_puts_the_differences_first_and_marks_them(self, page, models_page):
        page.open(models_page, MODELS)
        page.search("depth = 3 kind = ridge alpha < 0.01")
        boxes = page.all(".body input")
        assert len(boxes) == 3
        for number in range(3):
            page.all(".body input")[number].click()
        page.button("Compare", "#tabs").click()
        rows = page.texts(".stage > .scroll > .compare tbody th[scope=row]")
        assert "alpha" in rows
        assert "depth" not in rows
        assert len(page.all(".differs")) >= 3
        page.one(".same summary").click()
        assert "depth" in page.texts(".same tbody th[scope=row]")

    def test_goes_up_to_the_params_of_upstreams(self, page, models_page):
        page.open(models_page, EVALUATIONS)
        page.button("model › alpha", ".head").click()
        for number in (0, 29):
            page.all(".body input")[number].click()
        page.button("Compare", "#tabs").click()
        rows = page.texts(".stage > .scroll > .compare tbody th[scope=row]")
        assert {"rmse", "model", "model › alpha"} <= set(rows)
        page.all(".compare thead .close")[1].click()
        assert "Mark two or more" in page.one("#view").text


class TestThePlot:
    def test_shows_metrics_over_params_and_leads_to_the_artifacts(self, page, models_page):
        page.open(models_page, EVALUATIONS)
        page.button("Plot", "#tabs").click()
        page.choose("#plot-x", "model › alpha")
        page.choose("#plot-y", "rmse")
        page.choose("#plot-colour", "model › kind")
        assert len(page.all("circle.dot")) == 60
        assert page.texts(".legend li") == ["model › kind", "lasso", "ridge"]
        page.one("#plot-logx").click()
        assert "0.001" in page.texts(".tick text")
        assert "model › alpha, log" in page.texts(".axis-title")
        page.run("document.querySelector('circle.dot').dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))")
        assert "rmse = 0.00" in page.one("#tooltip").text
        page.run("document.querySelector('circle.dot').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
        assert page.one("#detail h2").text.startswith("evaluation")
        assert len(page.all("circle.selected")) == 1

    def test_begins_with_a_score_over_a_param_that_differs(self, page, models_page):
        page.open(models_page, EVALUATIONS + "&view=plot")
        assert self.axes(page) == ["model › alpha", "rmse"]  # not the rows, which are a count
        page.open(models_page, "#name=evaluation&view=plot&q=dependencies.model.params.alpha+%3D+0.001")
        assert self.axes(page) == ["model › depth", "rmse"]
        page.open(models_page, "#name=features&view=plot")
        assert self.axes(page)[0] == "prices › market"  # nothing else differs: texts are an axis as well

    def test_says_where_several_are_on_one_place(self, page, models_page):
        page.open(models_page, MODELS + "&view=plot&x=params.depth&y=metrics.epochs")
        assert page.one("#left-out").text == "60 artifacts shown, up to 20 on one place."
        assert page.texts(".several") == ["×20"] * 3
        page.run("document.querySelector('circle.dot').dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))")
        assert "20 points on one place" in page.one("#tooltip").text

    @staticmethod
    def axes(page):
        return page.texts(".axis-title")

    def test_fits_beside_the_detail(self, page, models_page):
        page.open(models_page, EVALUATIONS + "&view=plot")
        page.run("document.querySelector('circle.dot').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
        assert page.one("#detail").is_displayed()
        scroll = page.one("#view .scroll")
        assert page.run("return arguments[0].scrollWidth <= arguments[0].clientWidth", scroll)

    def test_takes_texts_for_categories(self, page, models_page):
        page.open(models_page, EVALUATIONS + "&view=plot&x=dependencies.model.params.kind&y=metrics.rmse")
        assert {"lasso", "ridge"} <= set(page.texts(".tick text"))
        assert not page.one("#plot-logx").is_enabled()

    def test_counts_what_it_leaves_out(self, page, models_page):
        page.open(models_page, "#view=plot&x=size&y=metrics.rmse")
        assert re.fullmatch("60 artifacts shown.*; 64 left out: no rmse.", page.one("#left-out").text)

    def test_colours_many_numbers_by_degrees(self, page, models_page):
        page.open(models_page, EVALUATIONS + "&view=plot&colour=dependencies.model.params.alpha")
        assert len(page.all("circle.graded")) == 60
        assert page.texts(".legend li")[0] == "model › alpha"


class TestTheAddress:
    def test_says_what_is_shown_and_brings_it_back(self, page, models_page):
        page.open(models_page, EVALUATIONS)
        page.search("rmse < 0.006")
        page.button("rmse", ".head").click()
        page.all(".body .row")[2].click()
        found, key = page.found, page.one("#detail .key").text
        address = page.driver.current_url
        page.open(models_page, "#" + address.partition("#")[2])
        assert page.found == found
        assert page.one("#detail .key").text == key
        assert page.one("#search").get_attribute("value") == "rmse < 0.006"

    @pytest.mark.parametrize(
        "hash", ["#view=nothing&sort=&cols", "#selected=x&root=y&compare=z&x=%00", "#%E0%A4%A&q=%22"]
    )
    def test_may_be_nonsense(self, page, models_page, hash):
        page.open(models_page, hash)
        assert page.found.endswith("artifacts")

    def test_goes_back_step_by_step(self, page, models_page):
        page.open(models_page)
        page.button("model").click()
        page.button("Plot", "#tabs").click()
        page.back()
        assert page.all(".grid")
        assert page.found.startswith("60 of")
        page.back()
        assert page.found == "124 artifacts"


class TestAMixedStore:
    def test_is_listed_with_everything_that_is_not_whole_marked(self, page, mixed):
        page.open(mixed.page)
        assert page.found == "11 artifacts, 5 other entries"
        marks = " ".join(page.texts("#marks button"))
        assert "notes.txt" in page.column("name")
        for state in ("corrupt", "newer", "generating", "failed", "unfinished", "1.x", "foreign"):
            assert state in marks
        page.button("✖ corrupt").click()
        page.one(".body .row").click()
        assert "damaged" in page.one("#detail .problem").text

    @pytest.mark.parametrize("view", ["table", "plot", "lineage", "compare"])
    def test_shows_hostile_names_and_values_harmlessly(self, page, mixed, view):
        key = mixed.store.models[2].key
        others = "".join(f"&compare=model%2F{model.key}" for model in mixed.store.models)
        page.open(mixed.page, f"#view={view}&selected=model%2F{key}{others}")
        assert page.driver.title == "</title><script>document.title='run'</script>"
        assert "<script>alert('params')</script>" in page.detail
        assert "\\x1b[31mred" in page.detail
        assert "abc\\u202egnp.exe" in page.detail
        assert "__proto__.constructor" in page.detail
        assert "10,000 characters" in page.detail
        assert "🙂 日本語" in page.detail
        assert not page.all("b[onmouseover], #detail script, #view script")
        assert page.run("return [Object.prototype.constructor === Object, ({}).x]") == [True, None]

    def test_can_be_asked_for_params_with_odd_names(self, page, mixed):
        page.open(mixed.page)
        for query in ("params.options.__proto__.constructor = 1", "params.options.html != x", "japanese"):
            page.search(query)
            assert page.found.startswith("0" if query == "japanese" else "1 of"), query

    def test_runs_no_markup_that_gets_into_the_page_all_the_same(self, page, mixed):
        page.open(mixed.page)
        refused = page.run(
            "try { document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>'); return 'inserted' }"
            "catch (error) { return error.name }"
        )
        assert refused == "TypeError"
        assert all("TrustedHTML" in complaint for complaint in page.complaints())


class TestLooks:
    @pytest.mark.parametrize(("theme", "is_dark"), [("light", False), ("dark", True)])
    def test_follow_the_system_and_can_be_turned(self, page, models_page, theme, is_dark):
        page.prefer(theme)
        page.open(models_page)
        assert self.is_dark(page) is is_dark
        page.one("#theme").click()
        assert self.is_dark(page) is not is_dark
        page.one("#theme").click()
        assert self.is_dark(page) is is_dark

    def test_fit_a_narrow_window(self, page, models_page):
        page.resize(500, 900)
        page.open(models_page, MODELS)
        assert page.run("return document.documentElement.scrollWidth") <= 500
        page.one(".body .row").click()
        assert page.one("#detail").rect["width"] == 500
        page.button("×", "#detail").click()
        assert not page.one("#detail").is_displayed()

    @staticmethod
    def is_dark(page):
        colour = page.run("return getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour.strip("rgb()").split(","))) < 200


class TestTenThousandArtifacts:
    def test_open_and_filter_fast(self, page, many_page):
        start = time.perf_counter()
        page.open(many_page)
        assert page.found == "10,000 artifacts"
        opened = time.perf_counter() - start
        page.driver.execute_async_script("setTimeout(arguments[0], 1000)")  # as long as a person needs to begin
        milliseconds = page.run(
            "const search = document.getElementById('search'); return arguments[0].map(text => {"
            "const start = performance.now(); search.value = text; search.dispatchEvent(new Event('input'));"
            "document.body.offsetHeight; return performance.now() - start })",
            ["r", "ri", "rid", "params.alpha > 0.1", "metrics.rmse < 0.01 best", ""],
        )
        assert opened < 30  # 0.6 s where nothing else runs
        assert sorted(milliseconds)[len(milliseconds) // 2] < 2000  # 40 ms there
        assert many_page.stat().st_size < 5_000_000

    def test_have_only_those_rows_in_the_page_that_can_be_seen(self, page, many_page):
        page.open(many_page)
        assert len(page.all(".body .row")) < 100
        page.run("document.querySelector('.grid').scrollTop = 1e9")
        assert page.one("#row-9999")

    def test_are_plotted(self, page, many_page):
        page.open(many_page, "#name=model&view=plot&x=params.alpha&y=metrics.rmse&logx=1")
        assert page.run("return document.querySelectorAll('circle.dot').length") == 9900


class TestNothing:
    def test_of_a_store_without_artifacts_says_so(self, page, tmp_path):
        (tmp_path / "store").mkdir()
        page.open(write_report(tmp_path / "store", tmp_path / "report.html"))
        assert page.found == "0 artifacts"
        assert page.one("#view .empty").text == "This store holds no artifacts yet."

    def test_that_a_condition_holds_for_is_named(self, page, tmp_path, models_page):
        path = write_report(models_page.parent / "store", tmp_path / "report.html", where="params.alpha > 1000")
        page.open(path)
        assert (
            page.one("#view .empty").text == "No artifact was like this when the report was made: params.alpha > 1000"
        )
        page.open(path, "#view=plot")
        assert "No numbers to plot" in page.one("#view").text
