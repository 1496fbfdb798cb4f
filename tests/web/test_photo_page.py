"""The photo page end to end in Chromium: first visit, offline, equal to Python, keyboard, what it refuses."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from apps.photo import lut
from apps.photo.dataset import SHIPPED_PHOTOS, list_photos, read_photo
from apps.photo.enhance import enhance_with, load_tables
from apps.photo.levels import Levels
from apps.photo.metric import psnr_of_photos
from apps.photo.page_files import ENCODER, PAGE_FOLDER
from apps.photo.thumbnail import average_along
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tests.web.photo_browser import LONG_MS, NO_3D, Browsers, PhotoPage, copy_of_static, needs_browser, served

from pocketpress.core.session import Session
from pocketpress.targets.litert.run import open_runner

pytestmark = [needs_browser, pytest.mark.slow]

PHOTOS = list_photos(SHIPPED_PHOTOS)
ORIENTATION = 0x0112


def by_python(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo as the Python app enhances it with the page's artifact, in LiteRT of this machine."""
    with Session(open_runner(PAGE_FOLDER / ENCODER)) as session:
        return enhance_with(photo, session)


@cache
def small_photo_by_python() -> NDArray[np.uint8]:
    return by_python(read_photo(SHIPPED_PHOTOS / "chelsea.jpg"))


def part_by_python(photo: NDArray[np.uint8], part: tuple[slice, slice]) -> NDArray[np.uint8]:
    """A part of a photo that is too large for all of it in float64 at once."""
    strips = [average_along(strip.astype(np.float64), 1, 256) for strip in np.array_split(photo, 32)]
    small = (average_along(np.concatenate(strips), 0, 256) / 255).astype(np.float32)
    levels = Levels.of(small.transpose(2, 0, 1)[None])
    with Session(open_runner(PAGE_FOLDER / ENCODER)) as session:
        (weights,) = session(levels.stretch(small)[None]).values()
    return lut.apply(lut.blend(load_tables(), weights.reshape(-1)), photo[part], levels)


def steps(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    """The largest difference in byte steps."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[float, float]:
    """PSNR in dB of brightness (Y) and of colour (Cb and Cr together)."""
    first, second = (np.asarray(Image.fromarray(photo).convert("YCbCr")) for photo in (one, other))
    return psnr_of_photos(first[..., :1], second[..., :1]), psnr_of_photos(first[..., 1:], second[..., 1:])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browsers]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield Browsers(playwright)


@pytest.fixture(scope="module")
def phone(browser: Browsers) -> Iterator[PhotoPage]:
    """A page open on a phone, for tests that leave nothing behind."""
    with served() as server, browser() as context:
        yield PhotoPage(context, server.address)


@pytest.mark.parametrize("path", PHOTOS, ids=lambda p: p.stem)
def test_the_page_equals_python(phone: PhotoPage, path: Path, tmp_path: Path) -> None:
    expected = by_python(read_photo(path))
    phone.choose(path)
    assert phone.page.input_value("#format") == "jpeg"
    brightness, colour = apart(phone.save(tmp_path), expected)
    assert brightness >= 45 and colour >= 36, "as cameras write: colour has half the resolution"
    [file] = tmp_path.glob("*.jpg")
    assert file.stat().st_size <= path.stat().st_size
    phone.page.select_option("#format", "png")
    exact = phone.save(tmp_path)
    assert steps(exact, expected) <= 1
    assert (exact != expected).mean() < 1e-3
    wrong = np.roll(expected, 1, axis=1)
    assert psnr_of_photos(exact, wrong) < 40, "any picture would pass"
    assert not phone.errors


def test_the_processor_equals_the_graphics_processor(browser: Browsers, tmp_path: Path) -> None:
    """A photo wider than a tile, with every colour in it, by both ways."""
    ramp = np.arange(2300 * 300, dtype=np.uint32) * 2654435761 % 2**24
    photo = np.stack([ramp >> 16, ramp >> 8 & 255, ramp & 255], -1).astype(np.uint8).reshape(300, 2300, 3)
    path = tmp_path / "wide.png"
    Image.fromarray(photo).save(path)
    results = {}
    for flags, name in (((), "WebGL2"), ((NO_3D,), "processor")):
        with served() as server, browser(*flags) as context:
            page = PhotoPage(context, server.address)
            page.choose(path)
            assert f"colours by {name}" in page.status
            results[name] = page.save(tmp_path)
    assert steps(results["WebGL2"], results["processor"]) <= 1
    assert steps(results["processor"], by_python(photo)) <= 1
    assert steps(results["WebGL2"], photo) > 1


def test_a_graphics_processor_lost_in_the_middle_of_a_photo(browser: Browsers, tmp_path: Path) -> None:
    """The strip that was on its way is done again; strips before it stay."""
    photo = np.random.default_rng(0).integers(0, 256, (300, 2300, 3), dtype=np.uint8)
    path = tmp_path / "wide.png"
    Image.fromarray(photo).save(path)
    with served() as server, browser() as context:
        context.add_init_script(
            """{
              const real = WebGL2RenderingContext.prototype.readPixels;
              const calls = new Map();
              window.lost = [];
              WebGL2RenderingContext.prototype.readPixels = function (...given) {
                real.apply(this, given);
                calls.set(this, (calls.get(this) ?? 0) + 1);
                if (calls.get(this) !== 2) return;
                window.lost.push(given[2]);
                this.getExtension('WEBGL_lose_context').loseContext();
              };
            }"""
        )
        page = PhotoPage(context, server.address)
        page.choose(path)
        assert "colours by processor" in page.status
        saved = page.save(tmp_path)
        assert page.page.evaluate("window.lost.length") == 2, "once while looking, once while saving"
        assert steps(saved, by_python(photo)) <= 1
        assert not page.errors


def test_offline_after_the_first_visit(browser: Browsers, tmp_path: Path) -> None:
    with served() as server, browser() as context:
        first = PhotoPage(context, server.address)
        first.wait_until_kept()
        first.page.close()
        server.stop()
        again = PhotoPage(context, server.address)
        again.wait_until_kept()
        again.choose(SHIPPED_PHOTOS / "chelsea.jpg")
        again.page.select_option("#format", "png")
        assert steps(again.save(tmp_path), small_photo_by_python()) <= 1
        again.page.reload()
        again.choose(SHIPPED_PHOTOS / "chelsea.jpg")
        assert not again.errors
        root = PhotoPage(context, server.address.removesuffix("photo.html"))
        assert root.page.url == server.address, "the server leads there, and is gone"
        root.choose(SHIPPED_PHOTOS / "chelsea.jpg")


def test_nothing_is_asked_for_after_the_page_has_loaded(browser: Browsers, tmp_path: Path) -> None:
    with served() as server, browser() as context:
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page = PhotoPage(context, server.address)
        page.wait_until_kept()
        origin = server.address.removesuffix("photo.html")
        assert asked and all(url.startswith(origin) for url in asked)
        assert "/photo/tables.npy" in server.requests and "/photo-sw.js" in server.requests
        asked.clear()
        server.requests.clear()
        page.choose(SHIPPED_PHOTOS / "chelsea.jpg")
        page.save(tmp_path)
        page.page.select_option("#format", "png")
        page.save(tmp_path)
        assert [url for url in asked if not url.startswith("blob:")] == []
        assert server.requests == [], "not by a worker either"


def test_the_browser_lets_no_request_out(browser: Browsers) -> None:
    """Even a page that was made to try, to another place or with the photo in an address."""
    with served() as server, browser() as context:
        blocked = PhotoPage(context, server.address).page.evaluate(
            """async () => {
              const blocked = new Set();
              await fetch('http://localhost:9/').catch((error) => blocked.add(error.name));
              const form = document.createElement('form');
              form.action = 'http://localhost:9/';
              document.body.append(form);
              return new Promise((done) => {
                document.addEventListener('securitypolicyviolation', (event) => {
                  blocked.add(event.effectiveDirective);
                  if (blocked.size === 4) done([...blocked]);
                });
                fetch('http://localhost:9/').catch(() => 0);
                new Image().src = 'http://localhost:9/x.png?photo';
                form.submit();
              });
            }"""
        )
    assert set(blocked) == {"TypeError", "connect-src", "img-src", "form-action"}


@pytest.mark.parametrize("value", range(1, 9))
def test_photos_stand_upright(phone: PhotoPage, value: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    path = tmp_path / "turned.jpg"
    Image.fromarray(read_photo(SHIPPED_PHOTOS / "chelsea.jpg")).save(
        path, quality=95, subsampling=0, exif=exif
    )
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert (upright.shape[0] > upright.shape[1]) == (value >= 5)
    phone.choose(path)
    phone.page.select_option("#format", "png")
    saved = phone.save(tmp_path)
    with Image.open(tmp_path / "turned-enhanced.png") as image:
        assert ORIENTATION not in image.getexif()
    assert steps(saved, by_python(upright)) <= 1


def test_everything_by_keyboard(browser: Browsers, tmp_path: Path) -> None:
    with served() as server, browser(device="Desktop Chrome") as context:
        page = PhotoPage(context, server.address).page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "choose"
        with page.expect_file_chooser() as waiting:
            page.keyboard.press("Space")
        waiting.value.set_files(SHIPPED_PHOTOS / "chelsea.jpg")
        page.wait_for_selector("body[data-view=shown]")
        assert page.evaluate("document.activeElement.id") == "slider", "its place is gone"
        assert page.evaluate("getComputedStyle(document.getElementById('frame')).outlineStyle") == "solid"
        page.keyboard.press("Shift+Tab")
        reached = {}
        for _ in range(12):
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.id")
            reached[focused] = True
            if focused == "slider":
                page.keyboard.press("ArrowRight")
                page.keyboard.press("End")
                page.keyboard.press("ArrowLeft")
                assert page.get_attribute("#slider", "aria-valuetext") == "99 % before, 1 % after"
                assert page.evaluate("getComputedStyle(document.getElementById('after')).clipPath") == (
                    "inset(0px 0px 0px 99%)"
                )
            if focused == "save":
                with page.expect_download() as saving:
                    page.keyboard.press("Enter")
                assert saving.value.suggested_filename == "chelsea-enhanced.jpg"
                page.wait_for_selector("body[data-view=shown]")
                assert page.evaluate("document.activeElement.id") == "save", "the focus was lost"
        assert {"slider", "format", "another", "save"} <= set(reached)


def test_names_for_screen_readers(phone: PhotoPage) -> None:
    phone.choose(SHIPPED_PHOTOS / "chelsea.jpg")
    for role, name in (
        ("slider", "Compare before and after"),
        ("button", "Save"),
        ("combobox", "Save as"),
        ("heading", "Pocketpress Photo"),
        ("region", "Your photo"),
    ):
        assert phone.page.get_by_role(role, name=name, exact=True).is_visible(), name
    assert phone.page.get_by_label("Another").get_attribute("type") == "file"
    assert phone.page.locator("#status[role=status], #problem[role=alert]").count() == 2


@pytest.mark.parametrize("width", [320, 360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(browser: Browsers, width: int, scheme: str, tmp_path: Path) -> None:
    """No sideways scrolling, every control inside and large enough for a finger, text that can be read."""
    with (
        served() as server,
        browser(viewport={"width": width, "height": 640}, color_scheme=scheme) as context,
    ):
        page = PhotoPage(context, server.address)
        for _ in range(2):
            found = page.page.evaluate(MEASURE)
            assert found["scroll"] <= width and found["small"] == [] and found["outside"] == []
            assert found["contrast"] >= 4.5, found
            page.choose(SHIPPED_PHOTOS / "astronaut.jpg")


MEASURE = """() => {
  const visible = (e) => e.checkVisibility() && e.getClientRects().length > 0;
  const controls = [...document.querySelectorAll('.button, select, #slider')].filter(visible);
  const boxes = controls.map((e) => [e.id || e.textContent.trim(), e.getBoundingClientRect()]);
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (css) => {
    const [r, g, b] = css.match(/[\\d.]+/g).map(Number);
    return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  };
  const ground = (e) => {
    const own = getComputedStyle(e).backgroundColor;
    return own === 'rgba(0, 0, 0, 0)' && e.parentElement ? ground(e.parentElement) : own;
  };
  const texts = [...document.querySelectorAll('h1, h2, p, .button, label, select')]
    .filter((e) => visible(e) && e.textContent.trim() && !e.closest('.visually-hidden'));
  const contrasts = texts.map((e) => {
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
  return {
    scroll: document.documentElement.scrollWidth,
    small: boxes.filter(([, box]) => box.height < 44 || box.width < 44).map(([name]) => name),
    outside: boxes.filter(([, box]) => box.left < 0 || box.right > innerWidth).map(([name]) => name),
    contrast: Math.min(...contrasts),
  };
}"""


def test_what_is_no_photo_is_refused(phone: PhotoPage, tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("no photo at all")
    said = phone.choose_in_vain(text)
    assert "no photo that your browser can read" in said and "notes.jpg" in said and "JPEG, PNG" in said
    cut = tmp_path / "empty.png"
    cut.write_bytes(b"")
    assert "no photo that your browser can read" in phone.choose_in_vain(cut)
    assert phone.page.locator("#choose").is_enabled()
    phone.choose(SHIPPED_PHOTOS / "chelsea.jpg")
    assert not phone.page.locator("#problem").is_visible()
    phone.choose_in_vain(text)
    assert phone.page.locator("body[data-view=shown] #save").is_enabled(), "the photo before is still there"


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_16_bits(pixels: NDArray[np.uint16]) -> bytes:
    """Pillow writes none."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def odd_images(folder: Path) -> dict[str, tuple[Path, NDArray[np.uint8]]]:
    """Files by what is odd about them, and the pixels that are meant."""
    random = np.random.default_rng(6)
    photo = random.integers(0, 256, (40, 60, 3)).astype(np.uint8)
    wide = random.integers(0, 65536, (30, 20, 3)).astype(np.uint16)
    alpha = np.repeat(np.array([0, 255], np.uint8), 30)
    on_white = np.where(alpha[None, :, None] == 255, photo, np.uint8(255))
    frames = [Image.fromarray(f) for f in (photo, 255 - photo)]
    tall = random.integers(0, 256, (5000, 1, 3)).astype(np.uint8)
    palette = frames[0].quantize(64)
    found = {
        "pixel.png": photo[:1, :1],
        "wide.png": (wide >> 8).astype(np.uint8),
        "grey.png": np.repeat(photo[..., :1], 3, axis=2),
        "alpha.png": on_white,
        "tall.png": tall,
        "moving.png": photo,
        "palette.gif": np.asarray(palette.convert("RGB")),
    }
    (folder / "wide.png").write_bytes(png_of_16_bits(wide))
    Image.fromarray(photo[..., 0]).save(folder / "grey.png")
    Image.fromarray(np.dstack([photo, np.tile(alpha, (40, 1))])).save(folder / "alpha.png")
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:], duration=20)
    palette.save(folder / "palette.gif", save_all=True, append_images=[frames[1].quantize(64)], duration=20)
    for name in ("pixel.png", "tall.png"):
        Image.fromarray(found[name]).save(folder / name)
    return {name: (folder / name, pixels) for name, pixels in found.items()}


def test_odd_images(phone: PhotoPage, tmp_path: Path) -> None:
    """The first frame of what moves, 16 bits cut to 8, white behind what is transparent; any shape."""
    for name, (path, meant) in odd_images(tmp_path).items():
        phone.choose(path)
        phone.page.select_option("#format", "png")
        assert steps(phone.save(tmp_path), by_python(meant)) <= 1, name
    assert not phone.errors


def test_a_photo_for_print_is_taken(phone: PhotoPage, tmp_path: Path) -> None:
    """How CMYK becomes RGB is the browser's business."""
    path = tmp_path / "print.jpg"
    with Image.open(SHIPPED_PHOTOS / "chelsea.jpg") as image:
        image.convert("CMYK").save(path)
    phone.choose(path)
    assert phone.save(tmp_path).std() > 20


def test_heic_is_refused_with_a_way_out(phone: PhotoPage, tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(5000))
    said = phone.choose_in_vain(path)
    assert "Your browser cannot read HEIC photos" in said and "IMG_1.HEIC" in said and "Safari" in said


def test_another_photo_in_the_middle(browser: Browsers, tmp_path: Path) -> None:
    """Whenever it is chosen, it is the one that is shown and saved in the end."""
    large = tmp_path / "large.png"
    Image.new("RGB", (3000, 2000), (90, 60, 30)).save(large)
    with served() as server, browser() as context:
        page = PhotoPage(context, server.address)
        for wait_ms in (0, 40, 150, 400):
            page.page.set_input_files("#choose" if wait_ms == 0 else "#another", large)
            page.page.wait_for_timeout(wait_ms)
            page.page.set_input_files("#another", SHIPPED_PHOTOS / "chelsea.jpg")
            page.expect("#status").to_contain_text("0.1\N{NO-BREAK SPACE}megapixels", timeout=LONG_MS)
            page.page.select_option("#format", "png")
            assert steps(page.save(tmp_path), small_photo_by_python()) <= 1
        assert not page.errors


def test_a_photo_that_is_gone_cannot_be_saved(browser: Browsers, tmp_path: Path) -> None:
    path = tmp_path / "card.jpg"
    path.write_bytes((SHIPPED_PHOTOS / "chelsea.jpg").read_bytes())
    with served() as server, browser() as context:
        page = PhotoPage(context, server.address)
        page.choose(path)
        path.unlink()
        page.page.click("#save")
        page.expect("#problem").to_contain_text("This photo cannot be decoded")
        page.expect("#problem").to_contain_text("Choose it again")
        assert not page.errors


def test_sharing(browser: Browsers) -> None:
    """Chromium on Linux shares nothing: the system's part answers here, first as after a long wait."""
    with served() as server, browser() as context:
        context.add_init_script(
            """{
              const answers = ['NotAllowedError', 'AbortError', null];
              navigator.canShare = ({ files }) => files.length === 1;
              navigator.share = async ({ files }) => {
                window.given = [files[0].name, files[0].type, files[0].size > 1000];
                const answer = answers.shift();
                if (answer) throw new DOMException('no', answer);
              };
            }"""
        )
        page = PhotoPage(context, server.address)
        page.choose(SHIPPED_PHOTOS / "chelsea.jpg")
        for said in ("press Share once more", "Not shared", "Shared (full size"):
            page.page.click("#share")
            page.expect("#status").to_contain_text(said)
            assert page.page.evaluate("window.given") == ["chelsea-enhanced.jpg", "image/jpeg", True]
        assert not page.errors


def test_what_is_too_large_is_refused(phone: PhotoPage, tmp_path: Path) -> None:
    heavy = tmp_path / "heavy.jpg"
    with heavy.open("wb") as file:
        file.truncate((100 << 20) + 1)
    assert "too large" in phone.choose_in_vain(heavy)
    wide = tmp_path / "wide.png"
    Image.new("1", (20_000, 5_001)).save(wide)
    said = phone.choose_in_vain(wide)
    assert "100 megapixels" in said.replace("100.0", "100") and "at most" in said


def test_without_webassembly_simd_it_says_so(browser: Browsers) -> None:
    """No browser of today is without; the question to it is answered as one of 2020 would."""
    with served() as server, browser() as context:
        context.add_init_script("navigator.canShare = () => true;")
        context.add_init_script("WebAssembly.validate = () => false;")
        page = PhotoPage(context, server.address)
        page.expect("#problem").to_be_visible()
        assert "no WebAssembly SIMD" in page.page.inner_text("#problem")


def test_a_network_that_does_not_arrive_leaves_no_worker(browser: Browsers) -> None:
    with served() as server, browser(service_workers="block") as context:
        context.route("**/tables.npy", lambda route: route.fulfill(status=503))
        page = PhotoPage(context, server.address)
        page.expect("#problem").to_contain_text("The colour tables could not be loaded")
        for _ in range(LONG_MS // 100):
            if not page.page.workers:
                break
            page.page.wait_for_timeout(100)
        assert page.page.workers == []
        context.unroute("**/tables.npy")
        page.choose(SHIPPED_PHOTOS / "chelsea.jpg")
        assert len(page.page.workers) == 1 and not page.page.locator("#problem").is_visible()


def test_a_new_version_replaces_the_kept_one_whole(browser: Browsers, tmp_path: Path) -> None:
    folder = copy_of_static(tmp_path)
    with served(folder) as server, browser() as context:
        page = PhotoPage(context, server.address)
        page.wait_until_kept()
        before = page.page.evaluate("caches.keys()")
        worker = folder / "photo-sw.js"
        for packed in folder.glob("photo-sw.js.*"):
            packed.unlink()
        text = worker.read_text()
        version = text.split('"')[1]

        worker.write_text(text.replace(version, "damaged").replace("sha256-", "sha256-A", 1))
        assert page.page.evaluate(UPDATE) == "redundant"
        assert page.page.evaluate("caches.keys()") == before, "half a version must not be left"

        worker.write_text(text.replace(version, "newer"))
        assert page.page.evaluate(UPDATE) == "installed"
        page.page.close()
        again = PhotoPage(context, server.address)
        again.wait_until_kept()
        again.choose(SHIPPED_PHOTOS / "chelsea.jpg")
        kept = [name for name in again.page.evaluate("caches.keys()") if "photo" in name]
        assert kept == ["pocketpress-photo-newer"]


UPDATE = """async () => {
  const registration = await navigator.serviceWorker.ready;
  await registration.update();
  const worker = registration.installing ?? registration.waiting;
  return new Promise((done) => {
    const look = () => ['installed', 'redundant'].includes(worker.state) && done(worker.state);
    worker.addEventListener('statechange', look);
    look();
  });
}"""


def test_48_megapixels(browser: Browsers, tmp_path: Path) -> None:
    """As large as phones' cameras make them."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(20, 200, (63, 84, 3), dtype=np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(coarse).resize((8064, 6048), Image.Resampling.BICUBIC).save(path, quality=90)
    with served() as server, browser() as context:
        page = PhotoPage(context, server.address)
        page.choose(path)
        assert page.status.startswith("48.8\N{NO-BREAK SPACE}megapixels")
        saved = page.save(tmp_path)
        assert "full size" in page.status
    assert saved.shape == (6048, 8064, 3)
    part = np.s_[3000:3600, 4000:4800]
    assert psnr_of_photos(saved[part], part_by_python(read_photo(path), part)) >= 40


def test_a_browser_that_holds_fewer_pixels_says_so(browser: Browsers, tmp_path: Path) -> None:
    """Canvases of more than 16.7 million pixels fail silently on older iPhones; here from 100,000 on."""
    with served() as server, browser() as context:
        context.add_init_script(
            """{
              const real = CanvasRenderingContext2D.prototype.fillRect;
              CanvasRenderingContext2D.prototype.fillRect = function (...box) {
                if (this.canvas.width * this.canvas.height <= 100_000) real.apply(this, box);
              };
            }"""
        )
        page = PhotoPage(context, server.address)
        page.choose(SHIPPED_PHOTOS / "astronaut.jpg")
        saved = page.save(tmp_path)
        assert saved.shape[0] * saved.shape[1] <= 100_000
        assert saved.shape[0] == saved.shape[1] >= 200
        assert "all that this browser can hold" in page.status
