"""``pocketpress zoo``: what there is, what fits a budget, and training it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Networks that fit a phone: list, measure, choose and train them.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
TARGETS = "litert,executorch,onnxruntime"

Target = Annotated[str, typer.Option(help="comma-separated runtimes: litert, executorch, onnxruntime")]
Threads = Annotated[int, typer.Option(min=1, help="threads of every runtime")]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout instead of a table")]


@app.callback(invoke_without_command=True)
def _zoo(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@app.command("list")
def list_(
    names: Annotated[
        list[str] | None, typer.Argument(help="networks, as mobilenet_v2,width=0.5; all by default")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="only of image-classification, keyword-spotting or text-classification"),
    ] = None,
    target: Target = TARGETS,
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """List networks: parameters, multiply-accumulates, and size and latency as far as they are measured."""
    from pocketpress.cli.zoo_tables import lines
    from pocketpress.pipeline.zoo.catalog import catalog

    lines(catalog(names or [], task, target, threads), as_json=json_)


@app.command("measure")
def measure_(
    names: Annotated[
        list[str] | None, typer.Argument(help="networks, as mobilenet_v2,width=0.5; all by default")
    ] = None,
    target: Target = TARGETS,
    precision: Annotated[str, typer.Option(help="comma-separated precisions")] = "fp32,w8a8-static",
    threads: Threads = 1,
    again: Annotated[bool, typer.Option("--again", help="also what was measured before")] = False,
    json_: Json = False,
) -> None:
    """Measure size and latency on this machine, with random weights; kept in the cache folder."""
    from pocketpress.cli.show import live
    from pocketpress.cli.zoo_tables import lines
    from pocketpress.pipeline.zoo.catalog import measure_all

    with live() as events:
        found = measure_all(names or [], target, precision, threads, again=again, events=events)
    lines(found, as_json=json_)


@app.command()
def suggest(
    task: Annotated[str, typer.Option(help="image-classification, keyword-spotting or text-classification")],
    max_latency: Annotated[
        str | None, typer.Option(help="largest median latency on this machine: 10ms")
    ] = None,
    max_size: Annotated[str | None, typer.Option(help="largest artifact: 4MB")] = None,
    target: Target = TARGETS,
    precision: Annotated[str, typer.Option(help="of the artifacts, as of a press")] = "w8a8-static",
    input_: Annotated[
        str | None, typer.Option("--input", help="input shape, as 1,3,224,224; the published ones by default")
    ] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="number of classes; the published one")] = None,
    top: Annotated[int, typer.Option(min=1, help="how many fitting networks to look for")] = 3,
    threads: Threads = 1,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="measure what is not known on this machine")
    ] = True,
    json_: Json = False,
) -> None:
    """Say which networks fit a budget, the most accurate first, and what excludes the others."""
    from pocketpress.cli import units
    from pocketpress.cli.show import live
    from pocketpress.cli.zoo_tables import suggestion
    from pocketpress.pipeline.cache import default_folder
    from pocketpress.pipeline.zoo.store import Store
    from pocketpress.pipeline.zoo.suggest import Budget
    from pocketpress.pipeline.zoo.suggest import suggest as search

    shapes = units.shapes(None if input_ is None else [input_])
    budget = Budget(
        task=task,
        targets=target,
        precision=precision,
        max_latency_s=units.duration(max_latency),
        max_size_bytes=units.size(max_size),
        shape=None if shapes is None else shapes[0],
        classes=classes,
        top=top,
        threads=threads,
        measures=measure,
    )
    with live() as events:
        found = search(budget, Store(default_folder(), threads), events)
    suggestion(found, as_json=json_)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="network, as mobilenet_v2,width=0.5,size=96")],
    data: Annotated[
        str, typer.Option(help="labelled data: folder of class folders, .npz, .parquet or module:function")
    ],
    out: Annotated[Path, typer.Option(help="folder for weights.safetensors and network.json")],
    eval_: Annotated[
        str | None, typer.Option("--eval", help="data to count accuracy on; a held-out tenth by default")
    ] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="number of classes; the data's")] = None,
    preprocess: Annotated[str | None, typer.Option(help="of images, as of a press")] = None,
    samples: Annotated[int | None, typer.Option(min=2, help="samples read at most")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="passes over the data")] = 20,
    batch: Annotated[int, typer.Option(min=2, help="samples a step")] = 128,
    learning_rate: Annotated[
        float | None, typer.Option(help="peak; 0.1 for 128 samples a step, 0.001 without batch-norm")
    ] = None,
    label_smoothing: Annotated[float, typer.Option(help="share of the target for all classes")] = 0.05,
    average: Annotated[float, typer.Option(help="decay of the average of the weights that is kept")] = 0.99,
    augment: Annotated[bool, typer.Option("--augment/--no-augment", help="crop images at random")] = True,
    mirror: Annotated[bool, typer.Option("--mirror/--no-mirror", help="mirror images at random")] = True,
    seed: Annotated[int, typer.Option(help="of every random choice")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="go on where the same command stopped")] = False,
    json_: Json = False,
) -> None:
    """Train a network on labelled data, for press zoo:NAME --weights OUT/weights.safetensors."""
    from pocketpress.cli.show import live
    from pocketpress.cli.zoo_tables import trained
    from pocketpress.pipeline.zoo.train import Recipe, TrainOptions
    from pocketpress.pipeline.zoo.train import train as run

    recipe = Recipe(
        epochs=epochs, batch=batch, learning_rate=learning_rate, label_smoothing=label_smoothing,
        average=average, augment=augment, mirror=mirror and augment, seed=seed,
    )  # fmt: skip
    network = name if classes is None else f"{name},classes={classes}"
    options = TrainOptions(network, data, out, eval_, preprocess, samples, recipe, resume)
    with live() as events:
        found = run(options, events)
    trained(found, options, as_json=json_)
