"""Hand-computed values, directions, shapes and one-line errors."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.data.builders import signature

from pocketpress.core.errors import DataError, UserError
from pocketpress.core.signature import TensorSpec
from pocketpress.data import Sample, resolve_metric, suggest_metric

SCORES = np.array(
    [[3, 1, 0, 0, 0, 0], [0, 5, 1, 0, 0, 0], [1, 2, 3, 9, 4, 5], [0, 0, 0, 0, 0, 1]], np.float32
)
LABELS = np.array([0, 2, 0, 5])


def test_top1_and_top5_by_hand() -> None:
    top1 = resolve_metric("top1").evaluate(SCORES, LABELS)
    assert top1.value == 0.5 and top1.per_sample is not None
    assert top1.per_sample.tolist() == [1, 0, 0, 1]
    top5 = resolve_metric("top-5").per_sample(SCORES, LABELS)
    assert top5 is not None and top5.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("alias", ["top-1", "TOP1", "accuracy", "top_1"])
def test_aliases(alias: str) -> None:
    assert resolve_metric(alias).aggregate(SCORES, LABELS) == 0.5


def test_top5_of_few_classes_is_always_right() -> None:
    assert resolve_metric("top5").aggregate(SCORES[:, :3], np.array([0, 1, 2, 0])) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mse", [1.0, 4.5]), ("mae", [1.0, 1.5]), ("mean-squared-error", [1.0, 4.5])],
)
def test_errors_by_hand(name: str, expected: list[float]) -> None:
    outputs, targets = np.array([[1.0, 2.0], [3.0, 3.0]]), np.array([[2.0, 1.0], [3.0, 0.0]])
    metric = resolve_metric(name)
    score = metric.evaluate(outputs, targets)
    assert not metric.higher_is_better
    assert score.per_sample is not None
    np.testing.assert_allclose(score.per_sample, expected)
    assert score.value == pytest.approx(np.mean(expected))


def test_psnr_by_hand() -> None:
    targets = np.full((2, 3, 12, 12), 0.5, np.float32)
    outputs = targets + np.array([0.1, 0.01], np.float32).reshape(2, 1, 1, 1)
    score = resolve_metric("psnr").evaluate(outputs, targets)
    assert score.per_sample is not None
    np.testing.assert_allclose(score.per_sample, [20, 40], atol=1e-3)
    wide = resolve_metric("psnr:data_range=2").aggregate(outputs, targets)
    assert wide == pytest.approx(30 + 20 * np.log10(2), abs=1e-3)
    assert resolve_metric("psnr").aggregate(targets, targets) == pytest.approx(200)


def test_psnr_asks_for_an_unclear_range() -> None:
    images = np.linspace(-3, 3, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    with pytest.raises(DataError, match="range of the target images is unclear: got -3 to 3"):
        resolve_metric("psnr").evaluate(images, images)


def test_ssim_of_equal_and_of_unrelated_images() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((2, 3, 32, 32)).astype(np.float32)
    score = resolve_metric("ssim").evaluate(np.stack([images[0], rng.random((3, 32, 32))]), images)
    assert score.per_sample is not None
    assert score.per_sample[0] == pytest.approx(1) and abs(score.per_sample[1]) < 0.2
    with pytest.raises(DataError, match="ssim needs images"):
        resolve_metric("ssim").evaluate(SCORES, SCORES)


def test_cosine_by_hand() -> None:
    score = resolve_metric("cosine").evaluate(np.array([[1.0, 0], [1, 1]]), np.array([[0, 2.0], [3, 3]]))
    assert score.per_sample is not None
    np.testing.assert_allclose(score.per_sample, [0, 1], atol=1e-6)


def test_agreement_of_scores_is_the_same_arg_max() -> None:
    metric = resolve_metric("agreement")
    assert not metric.needs_targets and metric.unit == "share"
    score = metric.evaluate(SCORES, SCORES[[0, 1, 2, 0]])
    assert score.per_sample is not None and score.per_sample.tolist() == [1, 1, 1, 0]


def test_agreement_of_images_is_the_share_that_is_not_error() -> None:
    target = np.ones((3, 1, 10, 10))
    outputs = target * np.array([1.0, 1.1, 5.0]).reshape(3, 1, 1, 1)
    score = resolve_metric("agreement").evaluate(outputs, target)
    assert score.per_sample is not None
    np.testing.assert_allclose(score.per_sample, [1, 0.99, 0])


def test_sqnr_by_hand_and_its_limits() -> None:
    target = np.ones((3, 4))
    outputs = np.array([1.0, 1.1, 1.01]).reshape(3, 1) * target
    score = resolve_metric("sqnr").evaluate(outputs, target)
    assert score.per_sample is not None
    np.testing.assert_allclose(score.per_sample, [120, 20, 40])
    assert resolve_metric("sqnr").aggregate(np.ones((1, 4)), np.zeros((1, 4))) == -120


def test_f1_precision_and_recall_by_hand() -> None:
    scores = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]
    labels = np.array([0, 1, 1, 2])
    assert resolve_metric("precision").aggregate(scores, labels) == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert resolve_metric("recall").aggregate(scores, labels) == pytest.approx((1 + 0.5 + 0) / 3)
    assert resolve_metric("f1").aggregate(scores, labels) == pytest.approx((2 / 3 + 0.5 + 0) / 3)
    assert resolve_metric("f1:average=micro").aggregate(scores, labels) == pytest.approx(0.5)
    assert resolve_metric("f1").per_sample(scores, labels) is None


def test_auroc_binary_multiclass_and_multilabel() -> None:
    metric = resolve_metric("auroc")
    assert metric.aggregate(
        np.array([0.1, 0.4, 0.35, 0.8])[:, None], np.array([0, 0, 1, 1])
    ) == pytest.approx(0.75)
    assert metric.aggregate(np.eye(3)[[0, 1, 2]], np.array([0, 1, 2])) == pytest.approx(1)
    labels = np.array([[1, 0], [0, 1], [1, 0]])
    assert metric.aggregate(labels * 0.8 + 0.1, labels) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "higher"),
    [("cohen-kappa", True), ("matthews_corrcoef", True), ("calibration_error", False), ("specificity", True)],
)
def test_any_classification_metric_of_torchmetrics(name: str, higher: bool) -> None:
    metric = resolve_metric(name)
    value = metric.aggregate(np.eye(3)[[0, 1, 2, 0]] * 9, np.array([0, 1, 2, 0]))
    assert metric.higher_is_better is higher
    assert value == pytest.approx(1.0 if higher else 0.0, abs=0.01)


def test_any_regression_metric_of_torchmetrics() -> None:
    x = np.linspace(0, 1, 20)
    metric = resolve_metric("r2_score")
    assert metric.higher_is_better and metric.aggregate(x, x) == pytest.approx(1)
    assert resolve_metric("pearson_corrcoef").aggregate(x, -x) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("topp1", "unknown metric: got topp1; allowed: top1, top5, mse"),
        ("topp1", "did you mean top1?"),
        ("spearman", "did you mean spearman_corrcoef?"),
        ("top1:k=3", "metric top1 has no option k"),
        ("f1:average", "no such module: got f1"),
        ("f1:average=", "metric option is malformed"),
        ("roc", "unknown metric: got roc"),
        ("no_such_module_here:f", "no such module"),
    ],
)
def test_unknown_metrics_are_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        metric = resolve_metric(name)
        metric.evaluate(SCORES, LABELS)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "message"),
    [
        ("top1", SCORES, None, "metric top1 needs targets: got unlabelled data; use --metric agreement"),
        ("top1", SCORES, LABELS[:3], "outputs and targets differ in number: got 4 and 3"),
        (
            "top1",
            SCORES,
            LABELS + 1,
            "labels do not fit the network's classes: got 1 to 6; allowed: whole numbers",
        ),
        ("top1", SCORES, LABELS - 1, "labels do not fit"),
        ("top1", SCORES, LABELS + 0.5, "labels do not fit"),
        ("top1", SCORES, SCORES, "one label per sample"),
        ("mse", SCORES, LABELS, "targets have another shape than the outputs: got (4,); allowed: (4, 6)"),
        ("agreement", SCORES, LABELS, "targets have another shape"),
        ("mse", SCORES * np.nan, SCORES, "is not finite on this data"),
        ("f1:average=none", SCORES, LABELS, "does not give one number"),
        ("f1:average=weird", SCORES, LABELS, "metric f1_score refuses these outputs and targets"),
    ],
)
def test_what_does_not_fit_is_one_line(
    name: str, outputs: np.ndarray, targets: np.ndarray | None, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        resolve_metric(name).evaluate(outputs, targets)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_an_output_is_chosen_by_name() -> None:
    outputs = {"logits": SCORES, "boxes": np.zeros((4, 4))}
    assert resolve_metric("top1@logits").aggregate(outputs, LABELS) == 0.5
    assert resolve_metric("top1").aggregate({"logits": SCORES}, LABELS) == 0.5
    with pytest.raises(UserError, match="judges one output: got 2 outputs; allowed: top1@logits, top1@boxes"):
        resolve_metric("top1").evaluate(outputs, LABELS)
    with pytest.raises(UserError, match="no such output: got probs; allowed: logits, boxes"):
        resolve_metric("top1@probs").evaluate(outputs, LABELS)


def test_several_outputs_are_compared_with_the_float_networks() -> None:
    outputs = {"logits": SCORES, "boxes": np.zeros((4, 4))}
    floats = {"logits": SCORES, "boxes": np.ones((4, 4))}
    assert resolve_metric("agreement@logits").aggregate(outputs, floats) == 1
    assert resolve_metric("sqnr@boxes").aggregate(outputs, floats) == 0


@pytest.mark.parametrize(
    "output", ["Identity:0", "/head/Sigmoid_output_0", "StatefulPartitionedCall:2", "a@b"]
)
def test_names_of_outputs_are_those_of_files(output: str, tmp_path: Path) -> None:
    outputs = {output: SCORES, "boxes": np.zeros((4, 4))}
    assert resolve_metric(f"top1@{output}").aggregate(outputs, LABELS) == 0.5
    folder = tmp_path / "me@work"
    folder.mkdir()
    spec = user_metric(folder, "def f(o, t):\n    return 7")
    assert resolve_metric(f"{spec}@{output}").aggregate(outputs, LABELS) == 7
    assert resolve_metric(spec).aggregate({"boxes": SCORES}, LABELS) == 7


def user_metric(tmp_path: Path, body: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\n" + textwrap.dedent(body))
    return f"{path}:f"


def test_the_users_function_per_sample_and_whole(tmp_path: Path) -> None:
    spec = user_metric(tmp_path, "def f(o, t):\n    return np.abs(o - t).sum(1)\nf.higher_is_better = False")
    metric = resolve_metric(spec)
    score = metric.evaluate(np.ones((2, 3)), np.array([[1.0, 1, 1], [0, 0, 0]]))
    assert not metric.higher_is_better and score.value == 1.5
    assert score.per_sample is not None and score.per_sample.tolist() == [0, 3]
    whole = resolve_metric(user_metric(tmp_path, "def f(o, t):\n    return 7"))
    assert whole.higher_is_better and whole.evaluate(SCORES, LABELS).value == 7
    assert whole.per_sample(SCORES, LABELS) is None


def test_the_users_function_takes_several_outputs_by_name(tmp_path: Path) -> None:
    spec = user_metric(tmp_path, "def f(o, t):\n    return (o['a'] + o['b'])[:, 0] - t")
    outputs = {"a": np.ones((3, 1)), "b": np.full((3, 1), 2.0)}
    assert resolve_metric(spec).aggregate(outputs, np.array([1, 2, 3])) == 1
    one = user_metric(tmp_path, "def f(o, t):\n    return o[:, 0] - t")
    assert resolve_metric(f"{one}@b").aggregate(outputs, np.array([1, 2, 3])) == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def f(o, t):\n    raise RuntimeError('a\\nb')", "failed: got RuntimeError: a; see"),
        ("def f(o, t):\n    return np.zeros((2, 2))", "gives no usable result: got float64 of shape (2, 2)"),
        ("def f(o, t):\n    return 'good'", "gives no usable result"),
        ("def f(o, t):\n    return float('nan')", "is not finite"),
        ("def g(o, t):\n    return 1", "has no function f; allowed: g"),
    ],
)
def test_the_users_mistakes_are_one_line(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_metric(user_metric(tmp_path, body)).evaluate(SCORES, LABELS)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_suggested_metric_follows_the_labels() -> None:
    network = signature((1, 4))
    inputs = {"x": np.zeros((1, 4), np.float32)}
    assert suggest_metric(network, Sample(inputs, np.asarray(3))) == "top1"
    assert suggest_metric(network, Sample(inputs, np.zeros(10, np.float32))) == "mse"
    assert suggest_metric(network, Sample(inputs)) == "agreement"
    assert suggest_metric(network) == "agreement"
    several = replace(network, outputs=(*network.outputs, TensorSpec("more", (1, 2), "float32")))
    assert suggest_metric(several) == "agreement@y"


def test_outputs_that_are_classes_by_hand() -> None:
    """Whole numbers, one per sample or a map of them, are compared with the labels as they are."""
    classes = np.array([0, 1, 0, 5], np.int32)
    assert resolve_metric("top1").aggregate(classes, LABELS) == 0.75
    maps, labels = np.array([[[0, 1], [2, 2]]], np.int32), np.array([[[0, 1], [2, 0]]])
    for name in ("top1", "agreement"):
        assert resolve_metric(name).aggregate(maps, labels) == 0.75
    tokens = np.array([[7, 1, 9], [7, 1, 9]], np.int32)
    found = resolve_metric("agreement").per_sample(tokens, np.array([[7, 1, 9], [7, 2, 8]], np.int32))
    assert found is not None and found.tolist() == pytest.approx([1, 1 / 3])


def test_labels_of_an_output_that_is_classes_call_for_top1() -> None:
    given = signature((1, 4, 4))
    classes = replace(given, outputs=(TensorSpec("y", (1, 4, 4), "int32", grid_scale=1.0),))
    sample = Sample({"x": np.zeros((1, 2), np.float32)}, np.zeros((4, 4), np.int64))
    assert suggest_metric(classes, sample) == "top1" and suggest_metric(given, sample) == "mse"
