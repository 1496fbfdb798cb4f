"""Make the files of the photo page: the network pressed for LiteRT.js, and the colour tables.

    python -m apps.photo.page_files

Calibrates as the demo does, on random parts of the four shipped photos, and writes `encoder.web.tflite`
(int8 inside, float32 at its border) and `tables.npy` (float16) into `web/public/photo`. The same environment
gives the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from apps.photo.dataset import SHIPPED_PHOTOS, build, list_photos
from apps.photo.enhance import TABLES_FILE

from pocketpress.cli import show
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

HERE = Path(__file__).parent
PAGE_FOLDER = HERE.parents[1] / "web" / "public" / "photo"
ENCODER, TABLES = "encoder.web.tflite", "tables.npy"

CALIBRATION_SAMPLES, CALIBRATION_SEED = 64, 11
"""As in `apps.photo.demo`, so that the page computes the integers of the demo's artifacts."""


def press_encoder(out: Path) -> None:
    """Press the network to int8 for LiteRT.js and put the artifact at ``out``; takes a minute."""
    with tempfile.TemporaryDirectory() as folder:
        calib = Path(folder) / "calib.npz"
        build(list_photos(SHIPPED_PHOTOS), CALIBRATION_SAMPLES, CALIBRATION_SEED).save(calib)
        options = PressOptions(
            source=f"{HERE / 'network.py'}:factory",
            targets="litert-web",
            out=Path(folder) / "pressed",
            data=str(calib),
            metric=f"{HERE / 'metric.py'}:psnr",
            measure=False,
        )
        with show.live() as events:
            record = press(options, events)
        (target,) = record.targets
        shutil.copyfile(options.out / str(target.artifact), out)


def save_tables(out: Path) -> None:
    """Write the tables as they are shipped, float16, in one array without an archive around it."""
    with np.load(TABLES_FILE, allow_pickle=False) as saved:
        np.save(out, saved["tables"], allow_pickle=False)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=PAGE_FOLDER, help="folder to write into")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    press_encoder(out / ENCODER)
    save_tables(out / TABLES)
    for name in (ENCODER, TABLES):
        print(f"{out / name}: {(out / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
