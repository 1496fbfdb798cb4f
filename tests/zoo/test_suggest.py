"""What is suggested: ranking, reasons, and the errors, from measurements made up by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pocketpress.core.errors import CheckFailed, UserError
from pocketpress.pipeline.zoo import suggest as module
from pocketpress.pipeline.zoo.store import Measurements, Store, Timing, here
from pocketpress.pipeline.zoo.suggest import Budget, candidates, rank, suggest
from pocketpress.zoo.names import parse

IMAGES = "image-classification"
MILLISECONDS = {
    "mobilenet_v3_large": (9.0, 6_000_000),
    "efficientnet_lite0": (11.0, 5_000_000),
    "mobilenet_v2": (6.0, 4_000_000),
    "mobilenet_v1": (8.0, 4_500_000),
    "mobilenet_v2,width=0.5": (2.0, 2_200_000),
    "shufflenet_v2": (3.0, 2_400_000),
    "mobilenet_v3_small": (2.5, 2_700_000),
}
SHAPE = (1, 3, 224, 224)


def rows(known: Mapping[str, tuple[float, int]], target: str = "litert") -> list[Timing]:
    return [
        Timing(network=n, target=target, precision="w8a8-static", size_bytes=s, median_s=ms / 1e3, runs=9)
        for n, (ms, s) in known.items()
    ]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(module, "reference", lambda: None)
    made = Store(None)
    made.add(rows(MILLISECONDS))
    return made


def budget(**options: object) -> Budget:
    given = {"task": IMAGES, "targets": "litert", "shape": SHAPE, "measures": False, **options}
    return Budget(**given)  # type: ignore[arg-type]


def test_the_most_accurate_that_fits_comes_first(store: Store) -> None:
    found = suggest(budget(max_latency_s=7e-3), store)
    # published top-1: V2 71.8 %, ShuffleNetV2 69.4 %, V3-Small 67.5 %, V2 0.5 65.4 %
    assert [str(c.choice) for c in found.fitting] == ["mobilenet_v2", "shufflenet_v2", "mobilenet_v3_small"]
    first = found.fitting[0]
    assert (first.latency_s, first.size_bytes, first.basis) == (6e-3, 4_000_000, "this machine")
    assert first.ranked_by == "top-1 71.8% on ImageNet-1k"
    reasons = {str(c.choice): c.excluded for c in found.others}
    assert reasons["efficientnet_lite0"] == "--max-latency: 11 ms in litert"
    assert reasons["mobilenet_v2,width=0.5"] == "not looked at: 3 of higher rank fit"
    assert reasons["mobilenet_v2,width=1.4"] == "not measured on this machine or the reference one"


def test_a_size_that_the_weights_alone_break_needs_no_measurement(store: Store) -> None:
    found = suggest(budget(max_size_bytes=2_500_000), store)
    reasons = {str(c.choice): c.excluded for c in found.others}
    assert reasons["mobilenet_v2,width=1.4"] == "--max-size: its weights alone are 6.11 MB"
    assert reasons["mobilenet_v3_small"] == "--max-size: its weights alone are 2.54 MB"
    assert [str(c.choice) for c in found.fitting] == ["shufflenet_v2", "mobilenet_v2,width=0.5"]


def test_every_target_must_keep_the_limit(store: Store) -> None:
    slower = {name: (2 * ms, size) for name, (ms, size) in MILLISECONDS.items()}
    store.add(rows(slower, "onnxruntime"))
    found = suggest(budget(targets="litert,onnxruntime", max_latency_s=7e-3), store)
    names = [str(c.choice) for c in found.fitting]
    assert names == ["shufflenet_v2", "mobilenet_v3_small", "mobilenet_v2,width=0.5"]
    reasons = {str(c.choice): c.excluded for c in found.others}
    assert reasons["mobilenet_v2"] == "--max-latency: 12 ms in onnxruntime"


@pytest.mark.slow
def test_a_target_without_the_precision_is_left_out_and_named(store: Store) -> None:
    row = Timing(network="resnet8", target="litert", precision="w8a16", size_bytes=9, median_s=1e-3)
    store.add([row])
    asked = budget(
        targets="litert,executorch,coreml", precision="w8a16", max_latency_s=1.0, shape=(1, 3, 32, 32)
    )
    found = suggest(asked, store)
    assert (found.targets, found.left_out) == (("litert",), ("executorch", "coreml"))
    assert [str(c.choice) for c in found.fitting] == ["resnet8"]


def test_nothing_fits_and_the_nearest_is_named(store: Store) -> None:
    with pytest.raises(CheckFailed) as caught:
        suggest(budget(max_latency_s=1e-3, max_size_bytes=2_500_000), store)
    said = str(caught.value)
    assert said.startswith("no network of the zoo fits: got --max-latency 1 ms and --max-size 2.50 MB; ")
    # ShuffleNetV2 at 3 ms and MobileNetV3-Small at 2.5 ms (and too large) are further away
    assert "the nearest: mobilenet_v2,width=0.5 at 2.00x (--max-latency: 2 ms in litert)," in said
    assert said.endswith(
        "; raise --max-latency to 2 ms, give a smaller --input, or press the nearest with --prune"
    )
    with pytest.raises(CheckFailed) as caught:
        suggest(budget(max_latency_s=1e-9, targets="litert,onnxruntime", measures=False), store)
    assert "name one --target (the slowest and the largest count)" in str(caught.value)


def test_a_network_that_cannot_be_lowered_says_why(store: Store) -> None:
    store.add([Timing(network="gru", target="litert", precision="w8a8-static", failure="no such operator")])
    store.add(rows({"ds_cnn": (0.1, 40_000)}))
    found = suggest(budget(task="keyword-spotting", shape=None, max_latency_s=1.0), store)
    assert [str(c.choice) for c in found.fitting] == ["ds_cnn"]
    assert {str(c.choice): c.excluded for c in found.others}["gru"] == "litert: no such operator"


def test_the_reference_machine_is_asked_only_when_nothing_may_be_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other: Measurements = here(1).adding(rows(MILLISECONDS))
    monkeypatch.setattr(module, "reference", lambda: other)
    found = suggest(budget(max_latency_s=7e-3), Store(None))
    assert {c.basis for c in found.fitting} == {"reference machine"}


def test_what_is_hopeless_is_not_measured(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """MobileNetV2 1.4 computes 1.94 times as much as 1.0, which took 6 ms."""
    asked: list[str] = []

    def measured(choice: object, *_: object) -> list[Timing]:
        asked.append(str(choice))
        return rows({str(choice): (1.0, 1)})

    monkeypatch.setattr(module, "measured", measured)
    found = suggest(budget(max_latency_s=5e-3, measures=True, top=1), store)
    reasons = {str(c.choice): c.excluded or "" for c in found.others}
    assert reasons["mobilenet_v2,width=1.4"].startswith(
        "--max-latency: about 11.6 ms, scaled from mobilenet_v2"
    )
    assert "mobilenet_v2,width=1.4" not in asked
    assert asked == [str(found.fitting[0].choice)]


def test_small_images_are_ranked_by_what_is_known_of_them() -> None:
    ranked = rank(candidates(budget(shape=(1, 3, 32, 32), classes=10, max_latency_s=1.0)))
    assert [str(c.choice) for c in ranked[:3]] == ["resnet56", "resnet20", "resnet8"]
    rest = [c.macs for c in ranked[3:]]
    assert rest == sorted(rest, reverse=True) and all(c.known is None for c in ranked[3:])
    assert ranked[3].ranked_by.endswith("M multiply-accumulates, no accuracy known")


def test_without_a_shape_the_published_sizes_compete() -> None:
    found = {str(c) for c in candidates(budget(shape=None, max_latency_s=1.0))}
    assert {"mobilenet_v2,width=0.35,size=96", "mobilenet_v1,width=0.25,size=128", "mobilevit_xxs"} <= found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"task": "detection", "max_latency_s": 1.0}, "unknown task: got detection; allowed: image-cl"),
        ({}, "no budget; give --max-latency, --max-size or both"),
        ({"shape": (1, 3, 7, 9), "max_latency_s": 1.0}, "no network of the task takes this input"),
        ({"targets": "coreml", "max_latency_s": 1.0}, "no target is executed here at w8a8-static"),
        ({"precision": "w9", "max_latency_s": 1.0}, "unknown precision: got w9"),
    ],
)
def test_wrong_questions_are_one_line(store: Store, options: dict[str, object], says: str) -> None:
    with pytest.raises(UserError) as caught:
        suggest(budget(**options), store)
    assert says in str(caught.value)


def test_names_of_timings_are_the_shortest(store: Store) -> None:
    assert all(str(parse(t.network)) == t.network for t in store.found.timings)
