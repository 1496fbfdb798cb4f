"""The keyword network: features by hand, an honest split, and what the shipped weights hear."""

from __future__ import annotations

import io
import os
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from examples.keywords.data import STRANGER, TEST_TAKES, read_recordings
from examples.keywords.features import BANDS, FRAMES, RATE_HZ, SAMPLES, log_mel, one_second
from examples.keywords.networks import WEIGHTS, keywords
from examples.keywords.train import Recipe, at_speed, augment, measure, train

SILENCE = (np.log(1e-5) + 4) / 4


def tone(hertz: float, samples: int = SAMPLES) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE_HZ)).astype(np.float32)


def recordings(path: Path, takes: int) -> Path:
    """Every digit is a pitch."""
    rows = []
    for speaker in ("george", STRANGER):
        for digit in range(10):
            for take in range(takes):
                sound = tone(200 * (digit + 1) + 3 * take, 4000)
                blob = io.BytesIO()
                with wave.open(blob, "wb") as file:
                    file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
                    file.writeframes((sound * 32767).astype(np.int16).tobytes())
                rows.append({"wav": blob.getvalue(), "digit": digit, "speaker": speaker, "take": take})
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_second_is_49_frames_of_40_bands() -> None:
    assert log_mel(np.zeros(SAMPLES, np.float32)).shape == (FRAMES, BANDS)
    assert log_mel(np.zeros(320, np.float32)).shape == (1, BANDS)
    np.testing.assert_allclose(log_mel(np.zeros(SAMPLES, np.float32)), SILENCE, rtol=1e-6)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 2500.0])
def test_a_tone_is_loudest_in_the_band_that_holds_it(hertz: float) -> None:
    # Band b is centred at the (b + 1)-th of 41 equal steps of 2595 log10(1 + f / 700) from 60 to 3800 Hz.
    low, high, at = (2595 * np.log10(1 + f / 700) for f in (60, 3800, hertz))
    expected = round((at - low) / (high - low) * 41) - 1
    assert (log_mel(tone(hertz)).argmax(axis=1) == expected).all()


def test_twice_the_amplitude_adds_the_same_everywhere() -> None:
    # log(4 P) - log(P) = 1.386, over 4.
    loud, soft = log_mel(tone(1000)), log_mel(tone(1000) / 2)
    peak = soft.argmax(axis=1)
    rows = np.arange(FRAMES)
    np.testing.assert_allclose(loud[rows, peak] - soft[rows, peak], np.log(4) / 4, atol=1e-4)


def test_a_second_holds_the_recording_or_its_middle() -> None:
    short = one_second(np.ones(2000, np.float32))
    assert short.size == SAMPLES and short.sum() == 2000 and short[3000] == 1 and short[2999] == 0
    assert one_second(np.ones(2000, np.float32), 10)[10:2010].all()
    assert one_second(np.arange(10_000, dtype=np.float32))[0] == 1000


def test_the_split_keeps_takes_and_the_stranger_apart(tmp_path: Path) -> None:
    to_learn, to_test = read_recordings(recordings(tmp_path / "r.parquet", TEST_TAKES + 2))
    assert len(to_learn.digits) == 10 * 2 and not to_learn.is_stranger.any()
    assert to_test.is_stranger.sum() == 10 * (TEST_TAKES + 2)
    assert (~to_test.is_stranger).sum() == 10 * TEST_TAKES
    learned = {sound.tobytes() for sound in to_learn.sounds}
    heard = [s.tobytes() for s, odd in zip(to_test.sounds, to_test.is_stranger, strict=True) if not odd]
    assert not learned & set(heard)


def test_a_file_of_another_rate_is_refused(tmp_path: Path) -> None:
    blob = io.BytesIO()
    with wave.open(blob, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(640))
    row = {"wav": blob.getvalue(), "digit": 0, "speaker": "george", "take": 0}
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "r.parquet")
    with pytest.raises(ValueError, match="16000"):
        read_recordings(tmp_path / "r.parquet")


def test_twice_the_speed_is_half_as_long_and_an_octave_higher() -> None:
    fast = at_speed(tone(500), 2.0)
    assert len(fast) == SAMPLES // 2
    np.testing.assert_allclose(fast, tone(1000, len(fast)), atol=1e-3)


def test_augmentation_leaves_most_of_the_features_alone() -> None:
    features = torch.from_numpy(np.stack([log_mel(tone(200.0 * k)) for k in range(1, 9)]))
    silent = features.amin()
    quiet = Recipe(loudness=0.0, noise=0.0)
    changed = augment(features, quiet, np.random.default_rng(0))
    moved = changed != features
    assert (changed[moved] == silent).all()
    assert 0 < moved.float().mean() < (8 + 8) / 40


def test_the_factory_answers_to_its_input() -> None:
    network, (example,) = keywords()
    assert not network.training and example.shape == (1, FRAMES, BANDS)
    assert (WEIGHTS / "keywords.safetensors").stat().st_size < 1e5
    with torch.no_grad():
        scores, silent = network(example), network(torch.full_like(example, SILENCE))
    assert scores.shape == (1, 10) and (scores - silent).abs().max() > 0.5


@pytest.mark.slow
def test_training_repeats_and_learns_pitches(tmp_path: Path) -> None:
    source = recordings(tmp_path / "r.parquet", TEST_TAKES + 8)
    recipe = Recipe(epochs=10, batch=16, learning_rate=0.02, label_smoothing=0.0, speeds=(1.0,))
    accuracy = train(source, recipe, tmp_path / "a")
    assert all(found.share > 0.8 for found in accuracy.values())
    train(source, recipe, tmp_path / "b")
    name = "keywords.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_shipped_network_hears_digits() -> None:
    folder = Path(os.environ.get("POCKETPRESS_DATA", "../shared/data")) / "spoken_digits"
    if not (folder / "recordings.parquet").is_file():
        pytest.skip("needs the spoken digits ($POCKETPRESS_DATA/spoken_digits/recordings.parquet)")
    _, to_test = read_recordings(folder / "recordings.parquet")
    network, _ = keywords()
    assert measure(network, to_test.chosen(~to_test.is_stranger)).share == pytest.approx(0.992, abs=2e-3)
    assert measure(network, to_test.chosen(to_test.is_stranger)).share == pytest.approx(0.94, abs=2e-3)
