"""WebGPU in a real browser, computed by an adapter in software: right, and of no worth as a measurement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.reference.networks import quantized, residual_network
from tests.web.site import Site, launch
from tests.web.test_library import run

from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.core.targets import all_targets
from pocketpress.devices.chromium import SOFTWARE_WEBGPU
from pocketpress.verify.parity import sqnr_db
from pocketpress.verify.reference import interpret

BOUND_DB = 100.0
"""Least signal to noise of a float network, against the reference: 105 to 149 were measured."""
DISGUISE = """
  Object.defineProperties(GPUAdapterInfo.prototype, {
    architecture: { get: () => 'real' }, isFallbackAdapter: { get: () => false },
  });
"""
"""The adapter says no longer that it is one in software."""


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Iterator[Any]:
    with launch(chromium.browser_type, *SOFTWARE_WEBGPU, gpu=True) as started:
        yield started


@pytest.fixture
def gpu_page(browser: Any, site: Site) -> Iterator[Any]:
    """A page that sees the adapter; skips where this Chromium has none."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{site.port}/blank")
        adapter = run(page, "return (await lib.probe()).webgpu;")
        if adapter is None:
            pytest.skip("this Chromium has no software WebGPU")
        assert adapter["fallback"] is True
        yield page


def serve(site: Site, target: str, program: Program, folder: Path, precision: str = "fp32") -> None:
    """Lower a program, and serve it as ``/net``."""
    spec = all_targets()[target]
    spec.check_installed()
    spec.lower(program, signature_of(program, precision=precision), folder / "net")
    site.files["/net"] = (folder / "net").read_bytes()


def table() -> Program:
    """Rows of a table, looked up by a matrix of indices: LiteRT.js's GPU delegate takes vectors only."""
    builder = ProgramBuilder()
    ids = builder.input("ids", TensorType((1, 4), "int64"))
    rows = builder.constant("rows", np.arange(15, dtype=np.float32).reshape(5, 3))
    return builder.build([builder.node("embedding", [ids, rows], TensorType((1, 4, 3)), name="found")])


@pytest.mark.parametrize("target", ["litert-web", "onnxruntime-web"])
def test_a_float_network_is_the_reference(gpu_page: Any, site: Site, tmp_path: Path, target: str) -> None:
    program = residual_network()
    serve(site, target, program, tmp_path)
    images = np.random.default_rng(5).normal(0, 1, (4, *program.type("x").shape)).astype(np.float32)
    got = run(
        gpu_page,
        """
        const session = await open('/net', { backend: 'webgpu' });
        const outputs = [];
        for (const image of given) {
          const { output } = await session.run({ x: Float32Array.from(image) });
          outputs.push([...output.data]);
        }
        await session.close();
        return { outputs, runtime: session.runtime };
        """,
        [image.reshape(-1).tolist() for image in images],
    )
    assert got["runtime"]["backend"] == "webgpu" and f"{got['runtime']['name']}-web" == target
    wanted = np.stack([interpret(program, {"x": image})["output"].reshape(-1) for image in images])
    outputs = np.asarray(got["outputs"])
    assert sqnr_db(wanted.astype(np.float64), wanted - outputs) > BOUND_DB
    assert sqnr_db(wanted.astype(np.float64), wanted - outputs[::-1]) < 20, "the images are told apart"


def test_an_adapter_in_software_is_not_taken_by_itself(gpu_page: Any) -> None:
    """Another one is: the same, where it says nothing of being one."""
    opened = """
      const session = await open('/artifacts/image.tflite');
      await session.close();
      return session.runtime.backend;
    """
    assert run(gpu_page, opened).startswith("wasm")
    gpu_page.evaluate(DISGUISE)
    assert run(gpu_page, opened) == "webgpu"


@pytest.mark.parametrize(
    ("program", "precision", "reason"),
    [
        (table(), "fp32", "LiteRT.js cannot run all of the network on WebGPU"),
        (
            quantized(residual_network()),
            "w8a8-static",
            "the runtime cannot run the network on WebGPU: got Asyncify is not defined",
        ),
    ],
)
def test_what_litert_cannot_run_there_is_refused_when_it_is_opened(
    gpu_page: Any, site: Site, tmp_path: Path, program: Program, precision: str, reason: str
) -> None:
    serve(site, "litert-web", program, tmp_path, precision)
    gpu_page.evaluate(DISGUISE)
    got = run(
        gpu_page,
        """
        const refused = await refusal(() => open('/net', { backend: 'webgpu' }));
        const session = await open('/net');
        const feeds = session.signature.inputs.map(({ dtype, ...spec }) =>
          dtype === 'int32' ? Int32Array.of(4, 0, 3, 3) : new Float32Array(elements(spec)).fill(0.5));
        const [output] = await session.runRaw(feeds);
        await session.close();
        return { refused, backend: session.runtime.backend, output: [...output] };
        """,
    )
    assert got["refused"] == ["unsupported", f"{reason}; open with backend: 'wasm'"]
    assert got["backend"].startswith("wasm"), "left to itself the library takes what works"
    ids = np.asarray([[4, 0, 3, 3]], np.int64)
    given = {n: ids if n == "ids" else np.full((1, 3, 8, 8), 0.5, np.float32) for n in program.inputs}
    wanted = interpret(program, given)[program.outputs[0]]
    np.testing.assert_array_equal(np.asarray(got["output"], np.float32), wanted.reshape(-1))


def test_a_crash_of_the_gpus_process_fails_the_call_and_not_the_session(browser: Any, gpu_page: Any) -> None:
    got = gpu_page.evaluate_handle(
        """async () => {
          const lib = await import('/assets/pocketpress.js');
          const session = await lib.open('/artifacts/image.tflite', { backend: 'webgpu' });
          const image = new Float32Array(3 * 8 * 8).fill(0.5);
          const before = [...(await session.run({ image })).scores.data];
          const failed = (async () => {
            for (;;) await session.run({ image });
          })().catch((error) => [error.kind, error.message]);
          return { session, image, before, failed };
        }"""
    )
    browser.new_browser_cdp_session().send("Browser.crashGpuProcess")
    kind, message = got.evaluate("({ failed }) => failed")
    assert kind == "device" and message.startswith("the runtime failed to run the artifact: got ")
    before, after = got.evaluate(
        "async (o) => [o.before, [...(await o.session.run({ image: o.image })).scores.data]]"
    )
    assert before == after and len(after) == 2
