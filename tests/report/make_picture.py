"""Make the picture of a report that the README shows: ``python tests/report/make_picture.py``.

It runs the example of the catalogue in a folder that is no checkout, takes the path and the machine of whoever runs it
out of the page, and photographs the plot of the fits, the best of them selected, with headless Chromium.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from persistable import Catalog

ROOT = Path(__file__).parents[2]
EXAMPLE = "examples/06_find_and_explain.py"
PICTURE = ROOT / "examples" / "report.png"
SIZE = (1300, 760)
LARGEST = 120_000  # bytes
SHOWN = {"store": "/home/ann/co2-fits/artifacts", "user": "ann", "host": "laptop"}


def make_report(folder: Path) -> tuple[Path, str]:
    """Run the example in `folder`; return its page, and the path of the best fit in its store."""
    for file in (EXAMPLE, "example-data/co2.csv"):
        (folder / file).parent.mkdir()
        shutil.copy(ROOT / file, folder / file)
    places = {"PERSISTABLE_EXAMPLE_DIR": str(folder), "PERSISTABLE_INDEX_DIR": str(folder / "index")}
    user = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), SHOWN["user"])
    subprocess.run([sys.executable, EXAMPLE], cwd=folder, env={**os.environ, **places, **user}, check=True)
    os.environ.update(places)
    store = folder / "co2-fits" / "artifacts"
    best = Catalog(store).find("fit_p", sort="metrics.rmse", limit=1)[0]
    page = folder / "co2-fits" / "report.html"
    text = page.read_text("utf-8").replace(str(store), SHOWN["store"])
    page.write_text(text.replace(f'"{platform.node()}"', f'"{SHOWN["host"]}"'), "utf-8")
    return page, best.path


def photograph(page: Path, view: dict[str, str], picture: Path) -> None:
    """Write what Chromium shows of a view of `page`."""
    width, height = SIZE
    flags = ["headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "hide-scrollbars"]
    flags += ["force-device-scale-factor=1", f"window-size={width},{height}", f"screenshot={picture}"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags.append(f"user-data-dir={profile}")
        address = f"{page.as_uri()}#{urlencode(view)}"
        subprocess.run(["chromium", *(f"--{flag}" for flag in flags), address], check=True, stderr=subprocess.DEVNULL)


def shrink(picture: Path) -> None:
    """Give a picture that is too large a palette, if Pillow is installed."""
    if picture.stat().st_size <= LARGEST:
        return
    try:
        from PIL import Image
    except ImportError:
        return
    with Image.open(picture) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)


def main() -> None:
    """Make the picture, and say how large it is."""
    with tempfile.TemporaryDirectory() as folder:
        page, best = make_report(Path(folder).resolve())
        view = {"name": "fit_p", "view": "plot", "x": "params.alpha", "logx": "1", "y": "metrics.rmse", "logy": "1"}
        photograph(page, {**view, "colour": "params.degree", "selected": best}, PICTURE)
    shrink(PICTURE)
    size = PICTURE.stat().st_size
    print(f"{PICTURE.relative_to(ROOT)}: {size:,} bytes")
    if size > LARGEST:
        sys.exit(f"It is larger than {LARGEST:,} bytes.")


if __name__ == "__main__":
    main()
