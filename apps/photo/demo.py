"""The demo: press the photo network to every runtime, enhance the shipped photos with each artifact.

    python -m apps.photo.demo --out demo

Calibrates and evaluates on random parts of the four shipped photos with synthetic errors, so it needs no
data; the numbers on 200 held-out photos are in the model card.
"""

from __future__ import annotations

import argparse
import io
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from apps.photo.dataset import SHIPPED_PHOTOS, build, list_photos, shipped_pairs
from apps.photo.enhance import enhance_with
from apps.photo.metric import psnr_of_photos
from numpy.typing import NDArray
from PIL import Image

import pocketpress
from pocketpress.cli import show
from pocketpress.core.record import Limits, Record
from pocketpress.core.targets import all_targets
from pocketpress.pipeline.cache import default_folder
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press
from pocketpress.report.render import Picture, render

HERE = Path(__file__).parent
MAX_DROP_DB = 0.3


def make_data(folder: Path, calibration: int, evaluation: int) -> tuple[Path, Path]:
    """Write calib.npz and eval.npz from the shipped photos."""
    photos = list_photos(SHIPPED_PHOTOS)
    paths = (folder / "calib.npz", folder / "eval.npz")
    for path, count, seed in zip(paths, (calibration, evaluation), (11, 12), strict=True):
        build(photos, count, seed).save(path)
    return paths


def press_all(out: Path, calib: Path, evaluation: Path) -> Record:
    """int8 for the four runtimes, measured and judged; fp32 for PyTorch Mobile."""
    options = PressOptions(
        source=f"{HERE / 'network.py'}:factory",
        targets="litert,executorch,onnxruntime,coreml",
        out=out,
        data=str(calib),
        evaluation=str(evaluation),
        metric=f"{HERE / 'metric.py'}:psnr",
        # Processors without integer dot products are slower in int8: that is said, and no error here.
        limits=Limits(max_drop=MAX_DROP_DB, allow_slower=True),
        cache=default_folder(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    with show.live() as events:
        record = press(options, events)
    show.record(record, out, as_json=False)
    return record


def enhance_photos(
    record: Record, folder: Path, pictures: Path
) -> tuple[list[list[Picture]], list[tuple[str, str, float, float]]]:
    """Enhance every shipped photo with every executed artifact; returns report rows and PSNR per picture."""
    pictures.mkdir(parents=True, exist_ok=True)
    rows: list[list[Picture]] = []
    scores: list[tuple[str, str, float, float]] = []
    executed = [t for t in record.targets if t.executed and t.artifact is not None]
    for name, clean, degraded in shipped_pairs():
        _save(degraded, pictures / f"{name}-before.jpg")
        before = psnr_of_photos(degraded, clean)
        for target in executed:
            with pocketpress.open(folder / str(target.artifact), isolated=True) as session:
                after = enhance_with(degraded, session)
            _save(after, pictures / f"{name}-after-{target.name}.jpg")
            scores.append((name, target.name, before, psnr_of_photos(after, clean)))
        side_by_side = np.concatenate([degraded, after], axis=1)
        _save(side_by_side, pictures / f"{name}-before-after.jpg")
        rows.append([_picture(degraded, f"{name}, before"), _picture(after, f"{name}, after")])
    return rows, scores


def _save(photo: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(photo).save(path, quality=90)


def _picture(photo: NDArray[np.uint8], caption: str, width: int = 360) -> Picture:
    image = Image.fromarray(photo)
    image.thumbnail((width, width))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return Picture(caption, stream.getvalue(), "image/jpeg")


def save_pytorch_mobile(out: Path) -> Path:
    """The fp32 network for apps that still carry PyTorch Mobile."""
    spec = all_targets()["pytorch-mobile"]
    options = PressOptions(
        source=f"{HERE / 'network.py'}:factory", targets=spec.name, precision="fp32", out=out, measure=False
    )
    press(options)
    return out / f"network{spec.suffix}"


def main() -> None:
    """Run everything and say where the results are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--calibration", type=int, default=64, help="calibration samples")
    parser.add_argument("--evaluation", type=int, default=96, help="evaluation samples")
    given = parser.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    print("making calibration and evaluation samples from the four shipped photos")
    calib, evaluation = make_data(out, given.calibration, given.evaluation)
    pressed = out / "pressed"
    record = press_all(pressed, calib, evaluation)
    rows, scores = enhance_photos(record, pressed, out / "pictures")
    page = render(record, pictures=rows, title="Photo enhancement")
    (pressed / "report.html").write_text(page, encoding="utf-8")
    mobile = save_pytorch_mobile(out / "pytorch-mobile")
    for name, target, before, after in scores:
        print(f"{name:12} {target:12} PSNR {before:5.2f} dB before, {after:5.2f} dB after")
    print("these are parts of four photos: held-out numbers are in apps/photo/MODEL_CARD.md")
    print(f"artifacts: {pressed}   pytorch mobile: {mobile}")
    print(f"pictures:  {out / 'pictures'}")
    print(f"report:    {pressed / 'report.html'}")
    sys.exit(3 if record.verdict in ("fail", "vacuous") else 0)


if __name__ == "__main__":
    main()
