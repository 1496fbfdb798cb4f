"""Pictures, weights and factories of the benchmarks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from benchmarks.networks.mobilenet_v1 import data_folder, mobilenet_v1_075_192
from benchmarks.networks.mobilenet_v2 import initialised, mobilenet_v2_224
from benchmarks.subjects import SUBJECTS, Pixels, read_pictures
from PIL import Image


def test_pixels_crop_the_centre_and_normalise() -> None:
    image = np.zeros((224, 400, 3), np.uint8)
    image[:, 150:250] = 255
    values = Pixels(224, (0.5, 0.5, 0.5), (0.25, 0.5, 1.0)).of(Image.fromarray(image))
    assert values.shape == (3, 224, 224)
    assert values.dtype == np.float32
    assert values[:, 112, 112].tolist() == [2.0, 1.0, 0.5]
    assert values[:, 112, 0].tolist() == [-2.0, -1.0, -0.5]


def test_pixels_of_the_right_size_are_not_resampled() -> None:
    image = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    values = Pixels(32, (0, 0, 0), (1, 1, 1)).of(Image.fromarray(image))
    np.testing.assert_array_equal(np.rint(values * 255).transpose(1, 2, 0), image)


def test_missing_pictures_say_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="POCKETPRESS_DATA"):
        read_pictures(tmp_path / "none", Pixels(8, (0, 0, 0), (1, 1, 1)), 1)


def test_pictures_are_read_in_order_of_names(tmp_path: Path) -> None:
    for name, value in (("b", 200), ("a", 100), ("c", 0)):
        Image.new("RGB", (8, 8), (value,) * 3).save(tmp_path / f"{name}.jpg")
    values = read_pictures(tmp_path, Pixels(8, (0, 0, 0), (1, 1, 1)), 2)
    assert np.rint(values[:, 0, 0, 0] * 255).tolist() == [100, 200]


def test_initialised_network_is_alive_and_repeatable() -> None:
    photos = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first, second = initialised(photos), initialised(photos)
    with torch.no_grad():
        answers = first(photos)
        assert torch.equal(answers, second(photos))
    assert not first.training
    spread_of_inputs = answers.std(dim=0).mean() / answers.std()
    assert spread_of_inputs > 0.1
    norms = [m for m in first.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(float(norm.state_dict()["running_var"].max()) > 0 for norm in norms)
    assert all(int(norm.state_dict()["num_batches_tracked"]) == 1 for norm in norms)


def test_parameters_of_the_standard_network() -> None:
    network, _ = mobilenet_v2_224()
    assert sum(p.numel() for p in network.parameters()) == 3_504_872


def test_names_are_keys() -> None:
    assert all(name == subject.name for name, subject in SUBJECTS.items())


def test_saved_weights_come_back(tmp_path: Path) -> None:
    if not (data_folder() / "mobilenet").is_dir():
        pytest.skip(f"no data at {data_folder()}; set POCKETPRESS_DATA")
    subject = SUBJECTS["mobilenet_v1_075"]
    subject.save_weights(tmp_path / "w.safetensors")
    original, examples = subject.factory()
    loaded, _ = subject.load(tmp_path / "w.safetensors")
    with torch.no_grad():
        assert torch.equal(original(*examples), loaded(*examples))


def test_mobilenet_v1_is_the_network_of_its_file() -> None:
    """The 8-bit file in LiteRT and the dequantised network see the same thing in a photo."""
    path = data_folder() / "mobilenet" / "mobilenet_v1_0.75_192_quant.tflite"
    if not path.is_file():
        pytest.skip(f"no data at {data_folder()}; set POCKETPRESS_DATA")
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]
    photo = Image.open(next(iter(sorted(data_folder().rglob("*.jpg"))))).convert("RGB").resize((192, 192))
    pixels = np.array(photo)
    interpreter.set_tensor(into, pixels[None])
    interpreter.invoke()
    scale, zero_point = out["quantization"]
    expected = scale * (interpreter.get_tensor(out["index"])[0].astype(np.float64) - zero_point)
    network, _ = mobilenet_v1_075_192()
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        got = network(image)[0].softmax(0).numpy()
    assert np.corrcoef(got, expected)[0, 1] > 0.97
