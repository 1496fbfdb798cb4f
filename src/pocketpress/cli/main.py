"""``pocketpress``: parse, one call, print.

Results go to stdout, progress to stderr.  Errors are one line and an exit code: 2 the command, a file or the
network; 3 a promise not kept; 4 the machine; 5 trust; 70 our bug; 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from pocketpress import __version__
from pocketpress.cli import apps, device, zoo
from pocketpress.cli.bench import bench

app = typer.Typer(
    name="pocketpress",
    help="One trained network in, the same numbers out on every phone.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(zoo.app, name="zoo")
app.add_typer(device.app, name="device")
app.add_typer(apps.app, name="app")
INTERRUPTED = 130
_verbose = False

Source = Annotated[
    str,
    typer.Argument(
        help="module:factory, file.py:factory, hf:ORG/NAME, zoo:NAME; .pt2, .onnx, .tflite, .keras, .h5 file"
    ),
]
Weights = Annotated[Path | None, typer.Option(help="weights: .safetensors, or a .pt state dict")]
InputShape = Annotated[
    list[str] | None, typer.Option("--input", help="input shape, as 1,3,224,224; once per input")
]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state", help="an output that is an input of the next step, as cache_in=cache_out; once per state"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout instead of a table")]
Threads = Annotated[int, typer.Option(min=1, help="threads of every runtime")]


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="show tracebacks")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    global _verbose
    _verbose = verbose
    if not verbose and not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries' warnings would bury the one line of an error


@app.command()
def press(
    source: Source,
    target: Annotated[
        str,
        typer.Option(
            help="comma-separated: litert, executorch, onnxruntime, coreml, pytorch-mobile, "
            "or the groups android, ios, web"
        ),
    ] = "litert,executorch,onnxruntime,coreml",
    out: Annotated[Path, typer.Option(help="folder for artifacts, record.json and report.html")] = Path(
        "pressed"
    ),
    weights: Weights = None,
    input_: InputShape = None,
    state: States = None,
    stream: Annotated[
        int | None,
        typer.Option(
            min=0, help="press one step of a recurrent network; the axis of the inputs that is time"
        ),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(help="lengths of a sequence, as 32,64,128: an artifact for each, in out/LENGTH"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="calibration data: folder of images, .npz, .parquet or module:function; none synthesises it"
        ),
    ] = None,
    eval_: Annotated[
        str | None, typer.Option("--eval", help="evaluation data; the calibration data by default")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="top1, top5, mse, psnr, ssim, f1, agreement, ... or module:function")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="w8a8-static, w8a8-fast, mixed, w4a8, w8a16, w8-dynamic, w8, w4, w4-block-N, w8-block-N, "
            "palette-N, fp16 or fp32"
        ),
    ] = "w8a8-static",
    estimator: Annotated[
        str,
        typer.Option(
            help="range estimator: auto, l3, min-max, percentile or mse; or file, an 8-bit file's own"
        ),
    ] = "auto",
    tied_scales: Annotated[
        bool, typer.Option("--tied-scales/--no-tied-scales", help="scales on which all runtimes round alike")
    ] = True,
    preprocess: Annotated[
        str | None,
        typer.Option(help="imagenet, unit, minus1to1, or resize=256,crop=224,mean=..:..:..,std=..:..:.."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="names of the classes: a text file, one a line, or a .json list; OUTPUT=FILE for one of "
            "several outputs; none for none"
        ),
    ] = None,
    input_uint8: Annotated[
        bool, typer.Option("--input-uint8", help="the artifact takes raw 0-255 pixels")
    ] = False,
    calibration_samples: Annotated[
        int | None,
        typer.Option(min=1, help="calibration samples at most; by default 512, fewer if large"),
    ] = None,
    rounding_samples: Annotated[
        int,
        typer.Option(min=0, help="samples at most for learned rounding, besides those of calibration"),
    ] = 1024,
    rounding_steps: Annotated[
        int | None,
        typer.Option(min=0, help="steps per block of learned rounding; by default what the precision needs"),
    ] = None,
    evaluation_samples: Annotated[
        int, typer.Option(min=0, help="evaluation samples at most; 0 for all")
    ] = 1000,
    parity_samples: Annotated[
        int, typer.Option(min=1, help="samples compared with the integer reference")
    ] = 100,
    threads: Threads = 1,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="execute every artifact there too: host, arm64, ssh:USER@HOST or adb:SERIAL, or a phone "
            "that bench --phone measured on; once per device or comma-separated"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="of every random choice")] = 0,
    max_drop: Annotated[
        str | None, typer.Option(help="largest drop of the metric: 1% (points), or 0.3 (dB and others)")
    ] = None,
    max_size: Annotated[str | None, typer.Option(help="largest artifact: 2MB, 900KB")] = None,
    max_latency: Annotated[
        str | None, typer.Option(help="largest median latency on this machine and on every --device: 20ms")
    ] = None,
    allow_slower: Annotated[bool, typer.Option("--allow-slower", help="slower than float may pass")] = False,
    allow_larger: Annotated[bool, typer.Option("--allow-larger", help="larger than float may pass")] = False,
    allow_difference: Annotated[
        bool, typer.Option("--allow-difference", help="out of parity may pass")
    ] = False,
    allow_vacuous: Annotated[
        bool, typer.Option("--allow-vacuous", help="outputs that hardly depend on the input may pass")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="time and weigh the artifacts")
    ] = True,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="reuse what was computed from the same content")
    ] = True,
    prune: Annotated[
        str | None, typer.Option(help="remove channels: 2x fewer multiply-accumulates, or 40% fewer")
    ] = None,
    importance: Annotated[
        str, typer.Option(help="of channels: magnitude, bn-scale, or with labels taylor, hessian")
    ] = "magnitude",
    prune_align: Annotated[
        int | None, typer.Option(min=1, help="multiple that pruned widths are of; chosen by default")
    ] = None,
    prune_steps: Annotated[int, typer.Option(min=1, help="prune in steps, fine-tuning between")] = 1,
    prune_for: Annotated[
        str | None, typer.Option(help="prune for the measured latency in this target (--prune-latency)")
    ] = None,
    prune_latency: Annotated[
        float | None, typer.Option(help="latency to reach, as a share of the float network's: 0.6")
    ] = None,
    low_rank: Annotated[
        float | None,
        typer.Option(help="factorise layers where it saves work, keeping this share of the energy"),
    ] = None,
    mask: Annotated[
        str | None, typer.Option(help="zero weights: 2:4, or 50%; smaller once compressed, not faster")
    ] = None,
    finetune: Annotated[
        str | None, typer.Option(help="training data, as --data: fine-tune with the float network as teacher")
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, help="passes over the training data, in float")] = 10,
    qat_epochs: Annotated[
        int, typer.Option(min=0, help="passes over the training data with quantised weights and activations")
    ] = 0,
    finetune_samples: Annotated[int | None, typer.Option(min=2, help="training samples an epoch")] = None,
    loss: Annotated[
        str, typer.Option(help="task loss: auto, cross-entropy, mse, l1, none or module:function")
    ] = "auto",
    learning_rate: Annotated[float | None, typer.Option(help="peak of the one-cycle schedule")] = None,
    batch: Annotated[int, typer.Option(min=2, help="training samples a step")] = 128,
    augment: Annotated[
        bool, typer.Option("--augment/--no-augment", help="crop and mirror training images at random")
    ] = True,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="fine-tune with bfloat16 matrix products")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on where the same command stopped fine-tuning")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check everything and print the plan; write nothing")
    ] = False,
    json_: Json = False,
) -> None:
    """Compress a network, lower it to every target, prove and measure it."""
    from datetime import datetime, timezone

    from pocketpress.cli import units
    from pocketpress.core.record import Limits
    from pocketpress.pipeline.cache import default_folder
    from pocketpress.pipeline.options import PressOptions
    from pocketpress.pipeline.shrink_options import ShrinkOptions

    options = PressOptions(
        source=source,
        targets=target,
        out=out,
        weights=weights,
        shapes=units.shapes(input_),
        states=units.states(state),
        stream=stream,
        data=data,
        evaluation=eval_,
        metric=metric,
        precision=precision,
        estimator=estimator,
        tied=tied_scales,
        preprocess=preprocess,
        labels=tuple(labels or ()),
        input_uint8=input_uint8,
        calibration_samples=calibration_samples,
        rounding_samples=rounding_samples,
        rounding_steps=rounding_steps,
        qat_epochs=qat_epochs,
        evaluation_samples=evaluation_samples or None,
        parity_samples=parity_samples,
        threads=threads,
        devices=",".join(device or ()),
        seed=seed,
        limits=Limits(
            max_drop=units.drop(max_drop),
            max_size_bytes=units.size(max_size),
            max_latency_s=units.duration(max_latency),
            allow_slower=allow_slower,
            allow_larger=allow_larger,
            allow_difference=allow_difference,
            allow_vacuous=allow_vacuous,
        ),
        measure=measure,
        cache=default_folder() if cache else None,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        shrink=ShrinkOptions(
            prune=prune,
            importance=importance,
            prune_align=prune_align,
            prune_steps=prune_steps,
            prune_for=prune_for,
            prune_latency=prune_latency,
            low_rank=low_rank,
            mask=mask,
            finetune=finetune,
            epochs=epochs,
            samples=finetune_samples,
            loss=loss,
            learning_rate=learning_rate,
            batch=batch,
            augment=augment,
            bfloat16=bfloat16,
            resume=resume,
        ),
    )
    from pocketpress.cli import show
    from pocketpress.pipeline.job import open_job
    from pocketpress.pipeline.press import press as run

    sizes = units.lengths(bucket)
    if dry_run and not sizes:
        show.plan(open_job(options), as_json=json_)
        return
    if sizes:
        _press_buckets(options, sizes, dry_run=dry_run, as_json=json_)
        return
    with show.live() as events:
        record = run(options, events)
    show.record(record, out, as_json=json_)
    if record.verdict in ("fail", "vacuous"):
        raise typer.Exit(3)


def _press_buckets(options: Any, sizes: tuple[int, ...], *, dry_run: bool, as_json: bool) -> None:
    from pocketpress.cli import show
    from pocketpress.pipeline import buckets

    if dry_run:
        show.write_json({n: [list(s) for s in p.sizes] for n, p in buckets.plan(options, sizes).items()})
        return
    with show.live() as events:
        records = buckets.press_buckets(options, sizes, events)
    for length, record in records.items():
        show.record(record, options.out / str(length), as_json=as_json)
    if any(record.verdict in ("fail", "vacuous") for record in records.values()):
        raise typer.Exit(3)


@app.command()
def inspect(
    source: Source,
    weights: Weights = None,
    input_: InputShape = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="targets or groups, comma-separated; all by default")
    ] = None,
    json_: Json = False,
) -> None:
    """Say before a press what each target would do with each operator, why, and what to replace.

    Where an operator is not supported at all, all such operators are listed, and the exit code is 2.
    """
    from pocketpress.cli import units
    from pocketpress.cli.inspection import inspection
    from pocketpress.core.errors import BlockedError
    from pocketpress.pipeline.inspection import inspect_network

    shapes = units.shapes(input_)
    found = inspect_network(source, weights=weights, shapes=shapes, targets=target)
    inspection(found, as_json=json_)
    if found.blockers:
        raise BlockedError(found.blockers)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="an artifact")],
    b: Annotated[Path, typer.Argument(help="another artifact of the same network")],
    data: Annotated[str, typer.Option(help="samples: folder of images, .npz, .parquet or module:function")],
    metric: Annotated[str | None, typer.Option(help="metric name or module:function")] = None,
    samples: Annotated[int, typer.Option(min=1, help="samples at most")] = 100,
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Run two artifacts on the same samples: agreement, metric, latency, size."""
    from pocketpress.cli import show
    from pocketpress.pipeline.compare import compare_artifacts

    with show.live() as events:
        found = compare_artifacts(a, b, data, metric=metric, samples=samples, threads=threads, events=events)
    show.comparison(found, as_json=json_)


@app.command()
def explain(
    record: Annotated[Path, typer.Argument(help="record.json of a press, or its folder")],
    top: Annotated[int, typer.Option(min=0, help="layers to show, the costliest first; 0 for all")] = 10,
    by: Annotated[
        str | None,
        typer.Option(help="noise, size, sqnr or order; noise where it was measured, else size, by default"),
    ] = None,
    json_: Json = False,
) -> None:
    """Say which layers of a press cost what: bits, bytes, noise at the outputs, and why some are in float."""
    from pocketpress.cli.explain import explanation
    from pocketpress.core.record import Record
    from pocketpress.pipeline.explain import explain as explain_record

    path = record / "record.json" if record.is_dir() else record
    explanation(explain_record(Record.read(path), top or None, by), as_json=json_)


app.command()(bench)


def run(argv: list[str] | None = None) -> None:
    """Entry point: run the app and turn errors into one line and an exit code."""
    sys.exit(_run(argv))


def _run(argv: list[str] | None) -> int:
    from pocketpress.core.errors import PocketpressError

    signal.signal(signal.SIGTERM, _interrupted)
    try:
        result: Any = app(argv, standalone_mode=False)
        if result == INTERRUPTED:  # what newer releases of typer make of KeyboardInterrupt
            raise KeyboardInterrupt
        return int(result) if isinstance(result, int) else 0
    except PocketpressError as error:
        return _fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("interrupted; no result was written", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _fail("the machine has no memory left; press fewer targets at once", 4)
    except OSError as error:
        return _fail(f"the machine refused: {error.strerror or error}", 4)
    except Exception as error:  # the seam where a bug becomes one line
        usage = getattr(error, "format_message", None)  # typer's own usage errors, whichever click it carries
        if callable(usage):
            return _fail(f"{usage()} (see pocketpress --help)", 2)
        line = " ".join(str(error).split())[:300]
        return _fail(f"internal error: {type(error).__name__}: {line}; run with -v and report it", 70)


def _interrupted(*_: object) -> None:
    """A polite kill cleans up as Ctrl-C does."""
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> int:
    if _verbose:
        traceback.print_exc()
    print(f"pocketpress: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    run()
