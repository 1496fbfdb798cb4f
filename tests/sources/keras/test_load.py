"""Keras files as sources: names, shapes, old versions, hostile files."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.sources.keras.models import (
    classifier,
    computed,
    feeds_of,
    hdf5,
    keras,
    keras2,
    layers,
    parts,
    randomised,
    saved,
    written,
)  # fmt: skip

from pocketpress.core.errors import PocketpressError, SourceError
from pocketpress.sources.keras import archive, build
from pocketpress.sources.keras import hdf5 as checks
from pocketpress.sources.keras.hdf5 import check_hdf5
from pocketpress.sources.keras.load import load_keras
from pocketpress.sources.keras.read import read_keras
from pocketpress.sources.load import load_source, saved_kind
from pocketpress.verify.reference import interpret


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("net"), classifier())


def test_names_of_the_network_are_kept(net: Path) -> None:
    source = load_source(str(net))
    program = source.program
    assert (source.name, program.inputs, program.outputs) == ("net", ("image",), ("scores",))
    assert program.type("image").shape == (1, 8, 8, 3)
    assert source.parameters == 6 * 27 + 4 * 6 + 6 * 4 + 4
    assert "node stem (Conv2D)" in {node.source for node in program.nodes}
    assert [saved_kind(f"a/net{s}") for s in (".keras", ".h5", ".hdf5", ".KERAS")] == ["keras"] * 4


def test_two_inputs_and_two_outputs(tmp_path: Path) -> None:
    image, extra = layers.Input((6, 6, 3), name="image"), layers.Input((4,), name="extra")
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)), extra])
    model = randomised(
        keras.Model([image, extra], [layers.Dense(2, name="a")(x), layers.Dense(3, name="b")(x)])
    )
    program = load_source(str(saved(tmp_path, model))).program
    assert (program.inputs, program.outputs) == (("image", "extra"), ("a", "b"))
    feeds = feeds_of(model)
    got = interpret(program, dict(zip(program.inputs, feeds, strict=True)))
    for name, wanted in zip("ab", computed(model, *feeds), strict=True):
        np.testing.assert_allclose(got[name], wanted, atol=1e-5)


def test_open_sizes_are_set_by_input(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        randomised(keras.Sequential([layers.Input((None, None, 3), name="image"), layers.Conv2D(2, 3)])),
    )
    with pytest.raises(SourceError, match=r"shape of input image is open: got \?,\?,\?,3; give --input"):
        load_keras(path)
    assert load_source(str(path), shapes=((1, 5, 6, 3),)).program.type("image").shape == (1, 5, 6, 3)
    with pytest.raises(SourceError, match=r"input image has another shape: got \(1, 3, 5, 6\)"):
        load_keras(path, [(1, 3, 5, 6)])
    with pytest.raises(SourceError, match="has 1 inputs: got 2 shapes"):
        load_keras(path, [(1, 5, 6, 3), (1,)])


def test_a_file_of_keras_2(tmp_path: Path) -> None:
    path, model = keras2(tmp_path)
    with pytest.raises(
        (TypeError, ValueError), match="groups"
    ):  # the reason for the repairs: Keras 3 alone cannot
        keras.saving.load_model(path)
    program = load_source(str(path)).program
    feeds = feeds_of(model)
    got = interpret(program, {"image": feeds[0]})["pool"]
    np.testing.assert_allclose(got, computed(model, *feeds)[0], atol=1e-5)


def test_the_suffix_does_not_matter(net: Path, tmp_path: Path) -> None:
    (tmp_path / "net.h5").write_bytes(net.read_bytes())
    assert read_keras(tmp_path / "net.h5").suffix == ".weights.h5"
    legacy = saved(tmp_path, classifier(), "old.h5")
    assert read_keras(legacy.rename(tmp_path / "old.keras")).suffix == ".h5"


@pytest.mark.slow
def test_another_backend_in_the_process_is_said(net: Path) -> None:
    pytest.importorskip("jax", reason="Keras' NumPy backend imports it")
    code = (
        "import keras\nfrom pocketpress.core.errors import SourceError\n"
        "from pocketpress.sources.keras.backend import import_keras\n"
        "try:\n    import_keras()\nexcept SourceError as error:\n    print(error)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == (
        "Keras runs on another backend in this process: got numpy; allowed: torch; "
        "set KERAS_BACKEND=torch before keras is imported, or use the command line\n"
    )


def refused(path: Path, said: str) -> None:
    with pytest.raises(PocketpressError) as caught:
        load_keras(path)
    assert said in str(caught.value) and "\n" not in str(caught.value), caught.value


def test_files_that_are_not_networks(net: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none.keras", "no such file")
    for name, content in {
        "text": b"hello",
        "empty": b"",
        "cut": net.read_bytes()[:2000],
        "magic": b"\x89HDF\r\n\x1a\n",
    }.items():
        (tmp_path / f"{name}.keras").write_bytes(content)
        refused(tmp_path / f"{name}.keras", "is not a readable Keras file")
    with zipfile.ZipFile(tmp_path / "bare.keras", "w") as bare:
        bare.writestr("config.json", "{}")
    refused(tmp_path / "bare.keras", "has no model.weights.h5; save the whole model")
    (tmp_path / "weights.h5").write_bytes(hdf5(lambda f: f.create_dataset("w", data=[1.0])))
    refused(tmp_path / "weights.h5", "holds weights without a network")
    with pytest.raises(SourceError, match="a Keras file holds its weights"):
        load_source(str(net), weights=tmp_path / "w.safetensors")


def test_a_sequential_model_without_a_shape(tmp_path: Path) -> None:
    refused(
        saved(tmp_path, keras.Sequential([layers.Dense(3)])),
        "does not say the shape of its input; save the model with",
    )


def external_dataset(file: Any) -> None:
    file.create_dataset("w", (16,), "float32", external=[("/etc/passwd", 0, 64)])


def virtual_dataset(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "w", (4,))
    file.create_virtual_dataset("w", layout)


def linked(link: Any) -> Callable[[Any], None]:
    def fill(file: Any) -> None:
        file.create_group("a/b")["w"] = link

    return fill


def cyclic(file: Any) -> None:
    group = file.create_group("a")
    group["a"] = group


HDF5: dict[str, tuple[Callable[[Any], None], str]] = {
    "external link": (linked(h5py.ExternalLink("/etc/passwd", "/w")), "/a/b/w is a link: got ExternalLink"),
    "soft link": (linked(h5py.SoftLink("/a")), "/a/b/w is a link: got SoftLink"),
    "external storage": (external_dataset, "/w is stored in another file"),
    "virtual": (virtual_dataset, "/w is stored in another file"),
    "text": (lambda f: f.create_dataset("w", data=["x"]), "/w holds no numbers"),
    "references": (lambda f: f.create_dataset("w", (2,), h5py.ref_dtype), "/w holds no numbers"),
    "claim": (lambda f: f.create_dataset("w", (1 << 40,), "float32"), "/w claims more than it holds"),
    "bomb": (
        lambda f: f.create_dataset("w", data=np.zeros(1 << 23, np.float32), compression="gzip"),
        "claims more than",
    ),
    "filter": (lambda f: f.create_dataset("w", data=np.ones(99), compression="lzf"), "unknown filters"),
    "cycle": (cyclic, "too many or too deeply nested groups"),
}


@pytest.mark.parametrize("name", HDF5)
def test_hostile_weights_are_refused_before_they_are_read(name: str, net: Path, tmp_path: Path) -> None:
    fill, said = HDF5[name]
    config, _ = parts(net)
    refused(written(tmp_path / "net.keras", config, hdf5(fill)), said)
    with h5py.File(io.BytesIO(hdf5(fill)), "r") as file, pytest.raises(SourceError, match="net"):
        check_hdf5(file, "net")


def test_limits_of_archives(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, _ = parts(net)
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("config.json", json.dumps(config))
        bomb.writestr("model.weights.h5", bytes(20 << 20))
    refused(tmp_path / "bomb.keras", "model.weights.h5 is too large: got 20971520 bytes in 20")
    with zipfile.ZipFile(tmp_path / "twice.keras", "w") as twice, pytest.warns(UserWarning):
        twice.writestr("config.json", "{}")
        twice.writestr("config.json", "[]")
    refused(tmp_path / "twice.keras", "has config.json more than once")
    monkeypatch.setattr(checks, "MAX_BYTES", 100)
    refused(net, "holds too many weights; allowed: 100 bytes")
    monkeypatch.setattr(archive, "MAX_WEIGHT_BYTES", 100)
    refused(net, "model.weights.h5 is too large")


def changed(net: Path, tmp_path: Path, name: str, **values: Any) -> Path:
    """The network of ``net`` with another configuration of one layer."""
    config, weights = parts(net)
    (found,) = (x for x in config["config"]["layers"] if x["name"] == name)
    found["config"].update(values)
    return written(tmp_path / "net.keras", config, weights)


@pytest.mark.parametrize(
    ("layer", "values", "said"),
    [
        ("image", {"batch_shape": [None, 1 << 20, 1 << 20, 3]}, "a shape is too large"),
        ("image", {"batch_shape": [None, 12000, 12000, 3]}, "a shape is too large"),
        ("scores", {"units": 1 << 40}, "more weights than the file holds"),
        ("scores", {"units": 1 << 18}, "more weights than the file holds"),
        ("scores", {"units": 5}, "the weights do not fit the network"),
        ("stem", {"kernel_size": [1 << 62, 3]}, "a shape is too large"),
        ("stem", {"filters": 7}, "cannot be rebuilt: got ValueError: Input 0"),
        ("stem", {"filters": -7}, "cannot be rebuilt"),
        ("stem", {"unheard_of": 1}, "cannot be rebuilt"),
    ],
)
def test_configurations_that_do_not_fit(
    layer: str, values: Any, said: str, net: Path, tmp_path: Path
) -> None:
    refused(changed(net, tmp_path, layer, **values), said)


def test_double_precision_is_refused(net: Path, tmp_path: Path) -> None:
    path = changed(net, tmp_path, "scores", dtype="float64")
    refused(path, "layer scores does not compute in float32: got float64; save the network in float32")


def test_large_activations_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MAX_ACTIVATION", 1000)
    model = keras.Sequential([layers.Input((4, 4, 3)), layers.UpSampling2D(8, name="grow")])
    refused(saved(tmp_path, model), "the result of layer grow is too large: got (None, 32, 32, 3)")


def test_weights_that_are_missing_are_found(net: Path, tmp_path: Path) -> None:
    config, weights = parts(net)

    def fill(file: Any) -> None:
        with h5py.File(io.BytesIO(weights), "r") as whole:
            for key in whole:
                whole.copy(key, file)
        del file["layers/dense/vars/1"]

    refused(written(tmp_path / "net.keras", config, hdf5(fill)), "the weights do not fit the network")


def test_nan_in_a_weight_is_named(tmp_path: Path) -> None:
    model = classifier()
    model.get_layer("stem").kernel.assign(np.full((3, 3, 3, 6), np.nan))
    refused(saved(tmp_path, model), "weight stem/kernel is missing, or holds NaN or infinity: got 162 of 162")


def test_mutated_files_give_a_network_or_one_clear_line(net: Path, tmp_path: Path) -> None:
    """Flipped, cut and doubled bytes of both kinds of files, seeded."""
    rng = random.Random(0)
    legacy = saved(tmp_path, classifier(), "old.h5").read_bytes()
    for kind, whole in ((".keras", net.read_bytes()), (".h5", legacy)):
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                place = rng.randrange(len(data))
                action = rng.randrange(3)
                if action == 0:
                    data[place] = rng.randrange(256)
                elif action == 1:
                    del data[place : place + rng.randint(1, 40)]
                else:
                    data[place:place] = data[place : place + rng.randint(1, 40)]
            path = tmp_path / f"mutant{kind}"
            path.write_bytes(bytes(data))
            try:
                load_keras(path)
            except PocketpressError as error:
                assert "\n" not in str(error)
