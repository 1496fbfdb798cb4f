"""Every architecture through every runtime: the same integers, or floats close to the network's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press
from pocketpress.zoo.build import noise
from pocketpress.zoo.names import parse

INTEGER = (
    "mobilenet_v1,width=0.25,size=32",
    "mobilenet_v2,width=0.35,size=32",
    "mobilenet_v3_small,width=0.75,size=32",
    "mobilenet_v3_large,width=0.35,size=32",
    "shufflenet_v2,width=0.5,size=32",
    "squeezenet,width=0.25,size=32",
    "efficientnet_lite0,width=0.35,size=32",
    "resnet8",
    "ds_cnn",
)
PARTLY_FLOAT = ("mobilevit_xxs,size=64", "tiny_bert,size=16", "gru", "lstm")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*INTEGER, *PARTLY_FLOAT])
def test_an_architecture_in_every_runtime(name: str, tmp_path: Path) -> None:
    choice = parse(f"{name},classes=5")
    np.savez(tmp_path / "noise.npz", x=noise(choice, 16).numpy())
    record = press(
        PressOptions(
            f"zoo:{choice}", "litert,executorch,onnxruntime", tmp_path / "out", precision="w8a8-fast",
            data=str(tmp_path / "noise.npz"), estimator="min-max", measure=False,
        )
    )  # fmt: skip
    for target in record.targets:
        assert target.executed and target.parity is not None
        if name in INTEGER:
            assert target.parity.equal == 1.0, target.name
        else:
            assert target.verdict in ("pass", "vacuous"), (target.name, target.reasons)
