"""The built library in a real browser: artifacts of Pocketpress in both runtimes."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.web.site import ARTIFACTS, LAN, Site

import pocketpress
from pocketpress.core.signature import Preprocessing
from pocketpress.data.preprocessing import apply

PAGE = Path(__file__).parents[2] / "docs" / "web.md"
ORIENTATION = 0x0112
NAMES = ("image.tflite", "image.onnx", "sum.tflite", "sum.onnx")
HELPERS = """
  const lib = await import('/assets/pocketpress.js');
  const { open, time, PocketpressError } = lib;
  const elements = (spec) => spec.shape.reduce((a, b) => a * b, 1);
  const zeros = (session) => session.signature.inputs.map((spec) => new Float32Array(elements(spec)));
  const plain = (tensors) =>
    Object.fromEntries(Object.values(tensors).map((t) => [t.name, [t.shape, [...t.data]]]));
  const refusal = async (action) => {
    try { await action(); } catch (e) {
      return e instanceof PocketpressError ? [e.kind, e.message] : [e.name, e.message];
    }
    return null;
  };
"""


def run(page: Any, body: str, argument: object = None) -> Any:
    """Run statements of an asynchronous function in the page; ``given`` is ``argument``."""
    return page.evaluate(f"async (given) => {{ {HELPERS} {body} }}", argument)


def inputs_for(path: Path) -> dict[str, np.ndarray]:
    with pocketpress.open(path) as session:
        random = np.random.default_rng(3)
        return {s.name: random.normal(0, 1, s.shape).astype(np.float32) for s in session.signature.inputs}


def in_python(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with pocketpress.open(path) as session:
        return session(**inputs)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_python_computes(page: Any, name: str, threads: int) -> None:
    inputs = inputs_for(ARTIFACTS / name)
    expected = in_python(ARTIFACTS / name, inputs)
    got = run(
        page,
        """
        const session = await open(`/artifacts/${given.name}`, { backend: 'wasm', threads: given.threads });
        const inputs = {};
        for (const [name, values] of Object.entries(given.inputs)) inputs[name] = Float32Array.from(values);
        const first = plain(await session.run(inputs));
        const second = plain(await session.run(inputs));
        const raw = await session.runRaw(session.signature.inputs.map((s) => inputs[s.name]));
        await session.close();
        return { first, second, raw: raw.map((a) => [...a]), runtime: session.runtime };
        """,
        {"name": name, "threads": threads, "inputs": {n: v.reshape(-1).tolist() for n, v in inputs.items()}},
    )
    assert got["runtime"] == {
        "name": "litert" if name.endswith(".tflite") else "onnxruntime",
        "version": got["runtime"]["version"],
        "backend": "wasm" if threads == 1 else "wasm-threads",
        "threads": threads,
    }
    assert got["first"] == got["second"]
    assert list(got["first"]) == list(expected)
    for raw, (output, value) in zip(got["raw"], expected.items(), strict=True):
        shape, data = got["first"][output]
        assert tuple(shape) == value.shape and raw == data
        np.testing.assert_allclose(data, value.reshape(-1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["sum.tflite", "sum.onnx"])
def test_steps_keep_the_state(page: Any, name: str) -> None:
    got = run(
        page,
        """
        const session = await open(`/artifacts/${given}`, { backend: 'wasm' });
        const x = (...values) => ({ x: Float32Array.from(values) });
        const seen = [];
        for (const value of [1, 2]) seen.push(plain(await session.step(x(value, value))));
        const both = await Promise.all([session.step(x(10, 0)), session.step(x(100, 0))]);
        seen.push(...both.map(plain));
        const kept = plain(session.states);
        const wrong = await refusal(() => session.step({ x: new Float32Array(3) }));
        const still = plain(session.states);
        session.reset();
        const fresh = plain(session.states);
        session.reset({ before: Float32Array.of(5, 6) });
        seen.push(plain(await session.step(x(0, 0))));
        const unknown = await refusal(async () => session.reset({ after: new Float32Array(2) }));
        await session.close();
        return { seen, kept, wrong, still, fresh, unknown };
        """,
        name,
    )
    values = [step["shown"][1] for step in got["seen"]]
    assert values == [[1.5, 0], [3.5, 2], [13.5, 2], [113.5, 2], [5, 6]]
    assert all(list(step) == ["shown"] for step in got["seen"])
    assert got["kept"] == got["still"] == {"before": [[1, 2], [113.5, 2]]}
    assert got["fresh"] == {"before": [[1, 2], [0.5, -1]]}
    assert got["wrong"] == [
        "artifact",
        "input x has another size: got 3 values; allowed: 2 of shape (1, 2)",
    ]
    assert got["unknown"] == ["artifact", "unknown state: got after; allowed: before"]


def test_sessions_are_timed_against_each_other(page: Any) -> None:
    got = run(
        page,
        """
        const options = { backend: 'wasm', threads: 1 };
        const sessions = await Promise.all(given.map((name) => open(`/artifacts/${name}`, options)));
        const plan = { warmup: 2, block: 3, minRounds: 2, maxRounds: 4, budgetS: 60 };
        const times = await time(sessions.map((s) => [s, zeros(s)]), plan);
        await Promise.all(sessions.map((s) => s.close()));
        return times;
        """,
        ["image.tflite", "image.onnx"],
    )
    seconds = np.asarray(got["seconds"])
    assert seconds.shape == (2, 4, 3) and got["warmup"] == 2
    assert (seconds >= 0).all() and seconds.sum() > 0
    assert 0 < got["resolutionS"] < 1e-3


def test_damaged_and_foreign_files_are_refused(page: Any, site: Site) -> None:
    whole = site.files["/artifacts/image.tflite"]
    site.files["/short.tflite"] = whole[:-100]
    site.files["/other.tflite"] = whole.replace(b'"format":1', b'"format":7')
    site.files["/dtype.tflite"] = whole.replace(b'"shape":[1,3,8,8]', b'"shape":[3,1,8,8]')
    site.files["/dtype.onnx"] = site.files["/artifacts/image.onnx"].replace(
        b'"shape":[1,3,8,8]', b'"shape":[3,1,8,8]'
    )
    site.files["/page.tflite"] = b"<!doctype html>" * 10
    names = ("short.tflite", "other.tflite", "dtype.tflite", "dtype.onnx", "page.tflite", "missing.tflite")
    got = run(
        page,
        """
        const found = {};
        for (const name of given) found[name] = await refusal(() => open(`/${name}`, { backend: 'wasm' }));
        return found;
        """,
        list(names),
    )
    assert got["short.tflite"][0] == "artifact" and "the .tflite file is damaged" in got["short.tflite"][1]
    assert got["other.tflite"] == ["artifact", "unknown signature format: got 7; allowed: 1"]
    for name in ("dtype.tflite", "dtype.onnx"):
        kind, message = got[name]
        assert kind == "artifact" and message.startswith("tensors differ from the embedded signature: got ")
    assert got["page.tflite"][1].startswith("not an artifact for a browser: got 150 bytes")
    assert got["missing.tflite"] == [
        "device",
        "cannot fetch /missing.tflite: got 404 Not Found; check the address and the connection",
    ]


def test_another_file_than_the_announced_one_is_refused(page: Any, site: Site) -> None:
    right = hashlib.sha256(site.files["/artifacts/sum.tflite"]).hexdigest()
    got = run(
        page,
        """
        const wrong = await refusal(() => open('/artifacts/image.tflite', { sha256: given }));
        const session = await open('/artifacts/sum.tflite', { sha256: given, backend: 'wasm' });
        await session.close();
        return wrong;
        """,
        right,
    )
    assert got[0] == "trust"
    assert got[1].startswith("the artifact is not the one that was announced: got SHA-256 ")


def test_what_the_browser_lacks_is_named(page: Any) -> None:
    got = run(
        page,
        """
        return [
          await refusal(() => open('/artifacts/image.tflite', { runtime: 'onnxruntime' })),
          await refusal(() => open('/artifacts/image.tflite', { backend: 'webgpu' })),
          await refusal(() => open('/artifacts/image.tflite', { threads: 0 })),
          await refusal(() => open('/artifacts/image.tflite', { backend: 'wasm', base: '/nowhere' })),
          await refusal(() => open('/artifacts/image.onnx', { backend: 'wasm', base: '/nowhere' })),
        ];
        """,
    )
    assert got[0] == ["artifact", "the artifact is for another runtime: got litert; allowed: onnxruntime"]
    assert got[1] == ["unsupported", "this browser has no WebGPU adapter; open with backend: 'wasm'"]
    assert got[2] == ["artifact", "threads is out of range: got 0; allowed: 1 to 64"]
    for kind, message in got[3:]:
        assert kind == "device" and message.startswith("cannot load ") and "`base`" in message


def test_a_call_that_is_given_up_leaves_the_session_usable(page: Any) -> None:
    got = run(
        page,
        """
        const session = await open('/artifacts/sum.tflite', { backend: 'wasm' });
        const feeds = zeros(session);
        const long = new AbortController();
        const endless = refusal(() => session.block(feeds, 0, 1e9, { signal: long.signal }));
        const before = new AbortController();
        before.abort();
        const early = await refusal(() => session.runRaw(feeds, { signal: before.signal }));
        setTimeout(() => long.abort(), 50);
        const given_up = await endless;
        const after = plain(await session.run({ x: Float32Array.of(1, 2), before: Float32Array.of(3, 4) }));
        await session.close();
        const closed = await refusal(() => session.runRaw(feeds));
        const opening = new AbortController();
        opening.abort();
        const unopened = await refusal(() => open('/artifacts/sum.tflite', { signal: opening.signal }));
        return { early, given_up, after, closed, unopened };
        """,
    )
    assert got["early"][0] == got["given_up"][0] == "AbortError"
    assert got["after"]["shown"] == [[1, 2], [4, 6]]
    assert got["closed"] == ["artifact", "the session is closed; open the artifact again"]
    assert got["unopened"][0] == "AbortError"


def test_arrays_may_be_reused_as_soon_as_a_call_has_returned(page: Any) -> None:
    """A camera's loop writes the next picture where the last one was."""
    got = run(
        page,
        """
        const session = await open('/artifacts/sum.tflite', { backend: 'wasm' });
        const x = new Float32Array(2);
        const before = new Float32Array(2);
        const calls = [];
        for (const value of [1, 2, 3]) {
          x.fill(value);
          calls.push(value === 2 ? session.runRaw([x, before]) : session.run({ x, before }));
        }
        x.fill(9);
        const [first, second, third] = await Promise.all(calls);
        await session.close();
        return [[...first.shown.data], [...second[0]], [...third.shown.data], [...x]];
        """,
    )
    assert got == [[1, 1], [2, 2], [3, 3], [9, 9]]


def test_bytes_may_be_reused_once_they_are_open(page: Any) -> None:
    """The session has its own: a worker that was killed is started with them again."""
    got = run(
        page,
        """
        const bytes = await (await fetch('/artifacts/sum.tflite')).arrayBuffer();
        const session = await open(bytes, { backend: 'wasm' });
        new Uint8Array(bytes).fill(0);
        const long = new AbortController();
        const endless = refusal(() => session.block(zeros(session), 0, 1e9, { signal: long.signal }));
        long.abort();
        await endless;
        const inputs = { x: Float32Array.of(1, 2), before: Float32Array.of(3, 4) };
        const result = plain(await session.run(inputs));
        await session.close();
        return result;
        """,
    )
    assert got["shown"] == [[1, 2], [4, 6]]


def test_closing_at_any_moment_is_one_error(page: Any) -> None:
    got = run(
        page,
        """
        const seen = [];
        for (let ticks = 0; ticks < 12; ticks++) {
          const session = await open('/artifacts/sum.tflite', { backend: 'wasm', threads: 1 });
          const call = refusal(() => session.runRaw(zeros(session)));
          for (let i = 0; i < ticks; i++) await null;
          await session.close();
          seen.push(await call);
        }
        return seen;
        """,
    )
    assert got == [["artifact", "the session is closed; open the artifact again"]] * 12


def test_a_step_that_waits_is_given_up_at_once(page: Any) -> None:
    got = run(
        page,
        """
        const session = await open('/artifacts/sum.tflite', { backend: 'wasm' });
        const x = (value) => ({ x: Float32Array.of(value, value) });
        const long = new AbortController();
        const endless = refusal(() => session.block(zeros(session), 0, 1e9, { signal: long.signal }));
        const first = session.step(x(1));
        const given_up = new AbortController();
        const second = refusal(() => session.step(x(10), { signal: given_up.signal }));
        const third = session.step(x(100));
        given_up.abort();
        // while the block before it still runs
        const late = new Promise((resolve) => setTimeout(resolve, 20_000, ['late']));
        const early = await Promise.race([second, late]);
        long.abort();
        await endless;
        const values = [...(await first).shown.data, ...(await third).shown.data];
        await session.close();
        return { early, values };
        """,
    )
    assert got["early"][0] == "AbortError"
    first, third = got["values"][0], got["values"][2]
    assert third - first == 100, "the step that was given up is not in the state"


def test_calls_stand_in_line(page: Any) -> None:
    got = run(
        page,
        """
        const session = await open('/artifacts/sum.onnx', { backend: 'wasm' });
        const before = Float32Array.of(0, 0);
        const numbers = Array.from({ length: 20 }, (_, i) => i);
        const calls = numbers.map((i) => session.run({ x: Float32Array.of(i, -i), before }));
        const results = (await Promise.all(calls)).map((r) => [...r.shown.data]);
        await session.close();
        return results;
        """,
    )
    assert got == [[i, -i] for i in range(20)]


def test_a_runtime_is_loaded_on_first_use_and_once(page: Any, site: Site) -> None:
    run(page, "return lib.probe();")
    assert not [path for path, _, _ in site.requests if "runtimes" in path]
    for _ in range(2):
        run(page, "await (await open('/artifacts/image.tflite', { backend: 'wasm', threads: 1 })).close();")
    fetched = [(path.rpartition("/")[2], form) for path, form, _ in site.requests if "runtimes" in path]
    assert sorted(fetched) == [("litert_wasm_internal.js", "br"), ("litert_wasm_internal.wasm", "br")]


def test_files_of_other_versions_are_thrown_away(page: Any) -> None:
    got = run(
        page,
        """
        const cache = await caches.open('pocketpress-runtimes');
        const old = new URL('/runtimes/litert-0.0.1/old.wasm', location.href).href;
        const other = new URL('/runtimes/onnxruntime-0.0.1/old.wasm', location.href).href;
        for (const url of [old, other]) await cache.put(url, new Response('x'));
        await (await open('/artifacts/image.tflite', { backend: 'wasm', threads: 1 })).close();
        return (await cache.keys()).map((request) => new URL(request.url).pathname);
        """,
    )
    assert sorted(p.rpartition("/")[2] for p in got) == ["litert_wasm_internal.wasm", "old.wasm"]
    assert "/runtimes/onnxruntime-0.0.1/old.wasm" in got


def test_a_page_without_isolation_has_one_thread(page: Any, site: Site) -> None:
    page.goto(f"http://127.0.0.1:{site.port}/blank?isolated=no")
    got = run(
        page,
        """
        const { threads, crossOriginIsolated } = await lib.probe();
        const runtimes = [];
        for (const name of ['image.tflite', 'image.onnx']) {
          const session = await open(`/artifacts/${name}`, { backend: 'wasm', threads: 4 });
          await session.runRaw(zeros(session));
          runtimes.push(session.runtime.backend, session.runtime.threads);
          await session.close();
        }
        return { threads, crossOriginIsolated, runtimes };
        """,
    )
    assert got == {"threads": False, "crossOriginIsolated": False, "runtimes": ["wasm", 1, "wasm", 1]}


@pytest.mark.parametrize("threads", [1, 2])
def test_both_runtimes_work_under_a_policy_without_eval(page: Any, site: Site, threads: int) -> None:
    """The one in docs/web.md."""
    [policy] = re.findall(r"^Content-Security-Policy: (.*)$", PAGE.read_text(), re.M)
    site.headers = (("Content-Security-Policy", policy),)
    page.goto(f"http://127.0.0.1:{site.port}/blank?policy")
    got = run(
        page,
        """
        const refused = [];
        document.addEventListener('securitypolicyviolation', (event) => refused.push(event.blockedURI));
        const runtimes = [];
        for (const name of ['image.tflite', 'image.onnx']) {
          const session = await open(`/artifacts/${name}`, { backend: 'wasm', threads: given });
          await session.runRaw(zeros(session));
          runtimes.push(session.runtime.threads);
          await session.close();
        }
        const told = new Promise((resolve) =>
          document.addEventListener('securitypolicyviolation', resolve, { once: true }));
        const early = refused.length;
        const outside = await fetch('http://127.0.0.2/').then(() => 'fetched', () => 'refused');
        return { runtimes, early, outside, directive: (await told).effectiveDirective };
        """,
        threads,
    )
    assert got == {
        "runtimes": [threads, threads],
        "early": 0,
        "outside": "refused",
        "directive": "connect-src",
    }


def test_plain_http_in_a_network_works_without_the_browsers_own_helpers(page: Any, site: Site) -> None:
    page.goto(f"http://{LAN}:{site.port}/blank")
    right = hashlib.sha256(site.files["/artifacts/sum.tflite"]).hexdigest()
    got = run(
        page,
        """
        const { secureContext } = await lib.probe();
        const session = await open('/artifacts/sum.tflite', { sha256: given });
        const result = plain(await session.run({ x: Float32Array.of(1, 2), before: Float32Array.of(3, 4) }));
        await session.close();
        const wrong = await refusal(() => open('/artifacts/image.tflite', { sha256: given }));
        return { secureContext, helpers: [typeof crypto.subtle, typeof caches], result, wrong: wrong[0] };
        """,
        right,
    )
    assert got.pop("result")["shown"] == [[1, 2], [4, 6]]
    assert got == {"secureContext": False, "helpers": ["undefined", "undefined"], "wrong": "trust"}
    [(form, size)] = [(form, size) for path, form, size in site.requests if path.endswith("_internal.wasm")]
    assert form == "gzip" and size <= 3_000_000


def test_a_png_becomes_pythons_input(page: Any, site: Site) -> None:
    random = np.random.default_rng(4)
    image = random.integers(0, 256, (20, 31, 3)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    site.files["/photo.png"] = content.getvalue()
    expected = apply(image, Preprocessing(9, (8, 8), (0.5,) * 3, (0.25,) * 3))
    got = run(
        page,
        """
        const image = await lib.loadImage(await (await fetch('/photo.png')).blob());
        const session = await open('/artifacts/image.tflite', { backend: 'wasm' });
        const input = lib.preprocess(image, session.signature);
        await session.close();
        return [...input];
        """,
    )
    assert got == expected.reshape(-1).tolist()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("value", [1, 6, 7])
def test_an_image_lies_as_in_the_file_unless_it_is_to_stand(
    page: Any, site: Site, kind: str, value: int
) -> None:
    image = np.repeat(np.arange(0, 240, 10, dtype=np.uint8), 3).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[ORIENTATION] = value
    content = io.BytesIO()
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True}
    Image.fromarray(image).save(content, kind, exif=exif, **options)
    site.files["/photo"] = content.getvalue()
    as_it_lies, upright = run(
        page,
        """
        const photo = await (await fetch('/photo')).blob();
        const images = [await lib.loadImage(photo), await lib.loadImage(photo, { upright: true })];
        return images.map(({ width, height, data }) => [width, height, [...data]]);
        """,
    )
    assert as_it_lies[:2] == [6, 4]
    pixels = np.array(as_it_lies[2]).reshape(4, 6, 4)
    assert np.abs(pixels[..., :3] - image.astype(int)).max() <= (2 if kind == "JPEG" else 0)
    assert upright[:2] == ([4, 6] if value >= 5 and kind != "WEBP" else [6, 4])


def test_translucent_colours_are_those_of_the_file(page: Any, site: Site) -> None:
    """Wider than a tile of the way that does not premultiply, and with pixels that are wholly transparent."""
    image = np.random.default_rng(5).integers(0, 256, (3, 2100, 4)).astype(np.uint8)
    image[0, :, 3] = 0
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    site.files["/photo.png"] = content.getvalue()
    got = run(
        page,
        """
        const { width, height, data } = await lib.loadImage(await (await fetch('/photo.png')).blob());
        return [width, height, [...data]];
        """,
    )
    assert got[:2] == [2100, 3]
    np.testing.assert_array_equal(np.array(got[2]).reshape(image.shape), image)


def test_an_image_that_is_none_is_refused(page: Any) -> None:
    got = run(page, "return refusal(() => lib.loadImage(new Blob(['nothing'])));")
    assert got[0] == "artifact" and got[1].startswith("the image cannot be decoded")


@pytest.mark.parametrize("name", ["image.tflite", "image.onnx"])
def test_classes_have_the_names_that_python_gave_them(page: Any, name: str) -> None:
    inputs = inputs_for(ARTIFACTS / name)
    with pocketpress.open(ARTIFACTS / name) as session:
        labels, expected = session.signature.outputs[0].labels, session.top(session(**inputs))
    got = run(
        page,
        """
        const session = await open(`/artifacts/${given.name}`, { backend: 'wasm', threads: 1 });
        const outputs = await session.run({ image: Float32Array.from(given.image) });
        const [best] = lib.top(outputs, session.signature, 1);
        const all = lib.top(outputs, session.signature);
        await session.close();
        return { labels: session.signature.outputs[0].labels, best, all };
        """,
        {"name": name, "image": inputs["image"].reshape(-1).tolist()},
    )
    assert got["labels"] == list(labels or ()) == ["cat", 'Hündin "🐕"']
    assert [entry["label"] for entry in got["all"]] == [label for label, _ in expected]
    np.testing.assert_allclose([e["score"] for e in got["all"]], [s for _, s in expected], rtol=1e-5)
    assert got["best"] == got["all"][0]


@pytest.mark.parametrize("name", ["image.tflite", "image.onnx"])
def test_a_kept_runtime_that_is_damaged_is_fetched_again(page: Any, name: str) -> None:
    got = run(
        page,
        """
        const session = await open(`/artifacts/${given}`, { backend: 'wasm', threads: 1 });
        await session.close();
        const cache = await caches.open('pocketpress-runtimes');
        const [kept] = await cache.keys();
        const headers = { 'Content-Type': 'application/wasm' };
        await cache.put(kept, new Response('damaged', { headers }));
        const first = await refusal(() => open(`/artifacts/${given}`, { backend: 'wasm', threads: 1 }));
        const again = await open(`/artifacts/${given}`, { backend: 'wasm', threads: 1 });
        const result = await again.runRaw(zeros(again));
        await again.close();
        return { first, outputs: result.length };
        """,
        name,
    )
    runtime = "LiteRT.js" if name.endswith(".tflite") else "onnxruntime-web"
    assert got["outputs"] == 1
    assert got["first"][0] == "device" and got["first"][1].startswith(f"{runtime} cannot be loaded: got ")


@pytest.mark.parametrize("name", ["image.tflite", "image.onnx"])
def test_a_gpu_that_the_worker_does_not_get_costs_nothing_but_speed(page: Any, name: str) -> None:
    """Some browsers show a GPU to pages only."""
    got = run(
        page,
        """
        const info = { vendor: 'v', architecture: 'a', description: '' };
        const gpu = { requestAdapter: async () => ({ info, features: new Set() }) };
        Object.defineProperty(navigator, 'gpu', { value: gpu });
        const asked = await refusal(() => open(`/artifacts/${given}`, { backend: 'webgpu' }));
        const session = await open(`/artifacts/${given}`, { threads: 1 });
        const { backend } = session.runtime;
        await session.close();
        return { asked, backend };
        """,
        name,
    )
    assert got == {
        "asked": ["unsupported", "no WebGPU device; open with backend: 'wasm'"],
        "backend": "wasm",
    }


def test_the_fastest_way_is_found_by_trying(page: Any, site: Site) -> None:
    site.files["/damaged.onnx"] = site.files["/artifacts/image.onnx"][:-50]
    got = run(
        page,
        """
        const sources = ['/artifacts/image.tflite', '/artifacts/image.onnx', '/damaged.onnx'];
        const plan = { minRounds: 2, maxRounds: 2, budgetS: 60 };
        const { session, tried } = await lib.openFastest(sources, { plan });
        const result = await session.runRaw(zeros(session));
        await session.close();
        const nothing = await refusal(() => lib.openFastest(['/damaged.onnx']));
        const none = await refusal(() => lib.openFastest([]));
        return { runtime: session.runtime, tried, outputs: result.length, nothing, none };
        """,
    )
    tried = got["tried"]
    assert [(t["source"], t["wanted"]["threads"]) for t in tried] == [
        (s, n) for s in range(3) for n in (1, 2)
    ]
    assert all(t["reason"] is None and t["medianS"] >= 0 for t in tried[:4])
    assert all("is damaged" in t["reason"] and t["medianS"] is None for t in tried[4:])
    best = min(tried[:4], key=lambda t: t["medianS"])
    assert got["runtime"]["name"] in {
        t["runtime"]["name"] for t in tried[:4] if t["medianS"] == best["medianS"]
    }
    assert got["outputs"] == 1
    assert got["nothing"][0] == "artifact" and "is damaged" in got["nothing"][1]
    assert got["none"] == ["artifact", "no artifact was given"]
