"""A browser without a window, and pages of stores: sixty models, every kind of entry, ten thousand artifacts."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # report_stores and browser
sys.path.insert(0, str(Path(__file__).parent.parent))  # mixed_store

from browser import Page
from mixed_store import make_mixed_store
from report_stores import make_many, make_models, make_odd

HOSTILE_TITLE = "</title><script>document.title='run'</script>"


@pytest.fixture(scope="session", autouse=True)
def index_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the indices of catalogues out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERSISTABLE_INDEX_DIR", str(tmp_path_factory.mktemp("index")))
        yield


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Return headless Chromium, from Debian's packages chromium and chromium-driver; `make test` asks for them."""
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip("no chromium or no chromedriver here; Debian's packages chromium and chromium-driver bring them")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    quiet = ("background-networking", "component-update", "quic", "sync")  # it asks nobody for anything of its own
    for flag in ("headless=new", "no-sandbox", "no-first-run", "disable-gpu", *(f"disable-{what}" for what in quiet)):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.add_argument("--window-size=1400,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(programs[1], env=dict(os.environ, SE_OFFLINE="true"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.get("about:blank")
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def models_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from persistable.report import write_report

    folder = tmp_path_factory.mktemp("models")
    make_models(folder / "store")
    return write_report(folder / "store", folder / "report.html", title="Sixty models")


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    from persistable.report import write_report

    folder = tmp_path_factory.mktemp("mixed")
    with make_mixed_store(folder / "store") as store:
        path = write_report(folder / "store", folder / "report.html", title=HOSTILE_TITLE)
        yield SimpleNamespace(store=store, page=path)


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return a store of two artifacts with params of every kind, and its page."""
    from persistable.report import write_report

    folder = tmp_path_factory.mktemp("odd")
    keys, readable = make_odd(folder / "store")
    path = write_report(folder / "store", folder / "report.html")
    return SimpleNamespace(folder=folder / "store", page=path, keys=keys, readable=readable)


@pytest.fixture(scope="session")
def many_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from persistable.report import write_report

    folder = tmp_path_factory.mktemp("many")
    make_many(folder / "store", 10_000)
    return write_report(folder / "store", folder / "report.html")


@pytest.fixture
def page(driver: object) -> Iterator[Page]:
    """Return the browser, wide and light. Whatever a test did, no page may have asked for anything from elsewhere."""
    page = Page(driver)
    page.resize(1400, 900)
    page.prefer("light")
    yield page
    assert page.complaints() == []
    assert page.requests() <= {page.opened}
