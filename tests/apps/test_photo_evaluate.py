"""The PSNR table: on the shipped photos always, on the held-out ones where they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from apps.photo.dataset import SHIPPED_PHOTOS, list_photos
from apps.photo.evaluate import (
    BASELINE,
    LEVELS,
    UNTOUCHED,
    Mean,
    float_network,
    psnr_per_photo,
    summarise,
    table,
)

DATA = Path(os.environ.get("POCKETPRESS_DATA", Path(__file__).parents[3] / "shared" / "data"))
HELD_OUT = DATA / "photos" / "test"


def test_mean_and_interval_by_hand() -> None:
    found = Mean.of(np.array([20.0, 22.0, 24.0, 26.0]))
    assert found.mean_db == 23
    assert found.half_width_db == pytest.approx(1.96 * np.sqrt(20 / 3) / 2)


def test_gain_is_paired_photo_by_photo() -> None:
    rows = summarise({UNTOUCHED: np.array([10.0, 30.0]), "other": np.array([12.0, 31.0])})
    assert rows[1].gain.mean_db == 1.5
    assert rows[1].gain.half_width_db == pytest.approx(1.96 * 0.5)
    assert rows[1].better == 1
    assert table(rows).splitlines()[-1] == "| other | 21.50 ± 18.62 | 1.50 ± 0.98 | 100% |"


def test_shipped_photos_gain_with_the_shipped_network() -> None:
    paths = list_photos(SHIPPED_PHOTOS) * 4
    per_photo = psnr_per_photo(paths, {"network": float_network()}, seed=11)
    assert list(per_photo) == [UNTOUCHED, BASELINE, LEVELS, "network"]
    assert np.mean(per_photo["network"]) > np.mean(per_photo[UNTOUCHED]) + 3


@pytest.mark.skipif(
    not HELD_OUT.is_dir(), reason="needs photos/test of the benchmark data ($POCKETPRESS_DATA)"
)
@pytest.mark.slow
def test_held_out_photos_gain_five_decibels_and_beat_the_baseline() -> None:
    per_photo = psnr_per_photo(list_photos(HELD_OUT)[:50], {"network": float_network()}, seed=0)
    rows = {row.method: row for row in summarise(per_photo)}
    assert rows["network"].gain.mean_db > 5
    lead = Mean.of(per_photo["network"] - per_photo[BASELINE])
    assert lead.mean_db - lead.half_width_db > 1
