"""A record like that of a photo network on five targets: every part filled, one target failing."""

from __future__ import annotations

import math

from pocketpress.core.record import (
    Data,
    DataSetEntry,
    FirstDifference,
    FloatMetric,
    Host,
    Latency,
    LayerError,
    Limits,
    Metric,
    PairParity,
    Parity,
    RecipeEntry,
    Record,
    SkippedEntry,
    Source,
    Stage,
    TargetEntry,
)
from pocketpress.core.signature import Signature, TensorSpec

EXACT = Parity(
    samples=100,
    elements=100_000,
    equal=1.0,
    within_1_lsb=1.0,
    max_lsb=0,
    sqnr_reference_db=math.inf,
    sqnr_float_db=31.2,
    argmax_agreement=1.0,
    vacuous=False,
    spread=41.0,
)
CLOSE = EXACT.model_copy(
    update={
        "equal": 0.99981,
        "max_lsb": 2,
        "sqnr_reference_db": 58.3,
        "first_difference": FirstDifference(
            tensor="features_3_add", op="add", max_lsb=1, equal=0.9997, source="mynet.py:41"
        ),
    }
)


def metric(drop: float, low: float, high: float, words: str) -> Metric:
    return Metric(
        name="top1",
        value=0.8856 - drop,
        float_value=0.8856,
        drop=drop,
        drop_ci95=(low, high),
        distinguishable=not low <= 0 <= high,
        test="mcnemar-exact",
        samples=900,
        unit="share",
        words=words,
    )


def latency(median: float, float_median: float) -> Latency:
    speedup = float_median / median
    return Latency(
        median=median,
        p90=median * 1.08,
        float_median=float_median,
        float_p90=float_median * 1.05,
        speedup=speedup,
        speedup_ci95=(speedup * 0.97, speedup * 1.02),
        threads=1,
        runs=240,
        warmup=5,
        timer_overhead=6e-8,
    )


def targets() -> tuple[TargetEntry, ...]:
    litert = TargetEntry(
        name="litert",
        title="LiteRT",
        runtime="ai-edge-litert 2.3.0 (XNNPACK)",
        artifact="mynet.w8a8-static.tflite",
        sha256="3f" * 32,
        size_bytes=3_601_224,
        size_compressed_bytes=3_012_345,
        float_size_bytes=13_992_208,
        float_size_compressed_bytes=12_903_111,
        executed=True,
        metric=metric(
            0.003,
            -0.004,
            0.010,
            "drop 0.3 points, between -0.4 and 1.0: not distinguishable from zero on 900 samples; "
            "9,700 samples would tell",
        ),
        latency_s=latency(0.0031, 0.0092),
        load_s=0.0042,
        peak_rss_bytes=61_200_000,
        memory_delta_bytes=9_800_000,
        parity=EXACT,
        verdict="pass",
    )
    return (
        litert,
        litert.model_copy(
            update={
                "name": "executorch",
                "title": "ExecuTorch",
                "runtime": "executorch 1.5.1 (XNNPACK)",
                "artifact": "mynet.w8a8-static.pte",
                "size_bytes": 3_580_100,
                "latency_s": latency(0.0033, 0.0089),
                "parity": CLOSE,
                "notes": ("runtime needs 4 kB more than the file for its plan",),
            }
        ),
        litert.model_copy(
            update={
                "name": "onnxruntime",
                "title": "ONNX Runtime",
                "runtime": "onnxruntime 1.32.0 (MLAS)",
                "artifact": "mynet.w8a8-static.onnx",
                "latency_s": latency(0.0081, 0.0075),
                "metric": metric(
                    0.019, 0.008, 0.030, "drop 1.9 points, between 0.8 and 3.0: real, on 900 samples"
                ),
                "parity": CLOSE.model_copy(update={"equal": 0.412, "within_1_lsb": 0.83, "max_lsb": 9}),
                "skipped": (SkippedEntry(name="gelu_4", reason="computed in float: no integer kernel"),),
                "verdict": "fail",
                "reasons": (
                    "41.2% of the outputs equal the reference, at least 99.0% must"
                    "; first at add features_3_add",
                    "slower than the float artifact: 8.1 ms against 7.5 ms, speed-up 0.93, "
                    "between 0.90 and 0.94",
                ),
            }
        ),
        TargetEntry(
            name="coreml",
            title="Core ML",
            artifact="mynet.w8a8-static.mlpackage",
            size_bytes=3_650_000,
            size_compressed_bytes=3_020_000,
            float_size_bytes=13_995_000,
            verdict="not executed here",
            reasons=("Core ML executes on macOS",),
        ),
        TargetEntry(
            name="pytorch-mobile",
            title="PyTorch Mobile",
            verdict="skipped",
            reasons=("precision w8a8-static: PyTorch Mobile takes fp32",),
        ),
    )


def layers(count: int = 53) -> tuple[LayerError, ...]:
    return tuple(
        LayerError(
            name=f"features_{i}_conv",
            op="conv2d",
            sqnr_db=44 - 0.22 * i + 5 * math.sin(i * 1.7) - (9 if i in (17, 36) else 0),
            source=f"mynet.py:{20 + i}",
        )
        for i in range(count)
    )


def record() -> Record:
    pairs = (
        ("litert", "executorch", CLOSE),
        ("litert", "onnxruntime", CLOSE.model_copy(update={"equal": 0.412})),
        ("executorch", "onnxruntime", CLOSE.model_copy(update={"equal": 0.411})),
    )
    return Record(
        pocketpress="0.1.0",
        created="2024-05-01T12:00:00Z",
        source=Source(
            reference="mynet.py:model",
            sha256="ab" * 32,
            weights="mynet.safetensors",
            parameters=3_504_872,
            multiply_accumulates=300_774_272,
        ),
        signature=Signature(
            inputs=(TensorSpec("image", (1, 3, 224, 224), "float32"),),
            outputs=(TensorSpec("logits", (1, 1000), "float32", grid_scale=0.12, grid_zero_point=-40),),
            precision="w8a8-static",
        ),
        recipe=RecipeEntry(precision="w8a8-static", estimator="mse", options={"tied_scales": True}, seed=0),
        limits=Limits(max_drop=0.01, max_size_bytes=5_000_000),
        host=Host(
            cpu="Example Xeon 2.4 GHz",
            architecture="x86_64",
            cores=2,
            memory_bytes=25_000_000_000,
            os="Linux 6.1",
            python="3.11.9",
            packages={"ai-edge-litert": "2.3.0", "executorch": "1.5.1", "onnxruntime": "1.32.0"},
        ),
        data=Data(
            calibration=DataSetEntry(reference="calib/", kind="folder", samples=128),
            evaluation=DataSetEntry(reference="eval.npz", kind="npz", samples=900, labelled=True),
        ),
        float_metric=FloatMetric(name="top1", value=0.8856, unit="share", samples=900),
        verdict="fail",
        targets=targets(),
        between=tuple(PairParity(first=a, second=b, parity=p) for a, b, p in pairs),
        layers=layers(),
        stages=(
            Stage(name="export", seconds=1.9),
            Stage(name="quantise", seconds=4.4, note="128 samples"),
            Stage(name="lower litert", seconds=0.08),
            Stage(name="lower executorch", seconds=0.11, cached=True),
            Stage(name="verify", seconds=12.5),
            Stage(name="measure", seconds=21.0),
        ),
        skipped=(SkippedEntry(name="memory of coreml", reason="not executed here"),),
    )
