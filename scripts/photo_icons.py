"""Draw the photo page's icons: a landscape, flat on the left of the slider and enhanced on the right.

python -m scripts.photo_icons            write web/public/photo/icon*
python -m scripts.photo_icons --check    exit 1 when a file on disk differs
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).resolve().parent.parent / "web" / "public" / "photo"

UNITS = 64
"""Side of the drawing below, in its own units."""

_OVERSAMPLING = 8

FLAT = {"sky": "#6d675f", "sun": "#a39580", "far": "#5a564f", "near": "#48453c"}
VIVID = {"sky": "#3f8fe0", "sun": "#fff1b8", "far": "#5566b8", "near": "#2f9e64"}
SUN = (43.0, 20.0, 8.0)
FAR = ((-2, 46), (17, 22), (29, 36), (42, 18), (66, 44), (66, 66), (-2, 66))
NEAR = ((-2, 52), (20, 45), (42, 51), (66, 45), (66, 66), (-2, 66))
SLIDER_WIDTH = 2.5
KNOB = 7.5
CORNER = 14.0

MASKABLE_SCALE = 0.8
"""A launcher may cut a maskable icon to its middle; the slider's knob stays whole at any scale."""


def svg() -> str:
    """The icon as a vector drawing."""
    halves = "".join(
        f'<g clip-path="url(#{side})"><rect width="64" height="64" fill="{colours["sky"]}"/>'
        f'<circle cx="{SUN[0]:g}" cy="{SUN[1]:g}" r="{SUN[2]:g}" fill="{colours["sun"]}"/>'
        f'<path d="{_path(FAR)}" fill="{colours["far"]}"/>'
        f'<path d="{_path(NEAR)}" fill="{colours["near"]}"/></g>'
        for side, colours in (("l", FLAT), ("r", VIVID))
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><defs>'
        f'<clipPath id="c"><rect width="64" height="64" rx="{CORNER:g}"/></clipPath>'
        '<clipPath id="l"><rect width="32" height="64"/></clipPath>'
        '<clipPath id="r"><rect x="32" width="32" height="64"/></clipPath></defs>'
        f'<g clip-path="url(#c)">{halves}'
        f'<rect x="{32 - SLIDER_WIDTH / 2:g}" width="{SLIDER_WIDTH:g}" height="64" fill="#fff"/></g>'
        f'<circle cx="32" cy="32" r="{KNOB:g}" fill="#fff"/></svg>\n'
    )


def picture(pixels: int, *, corner: float = CORNER, scale: float = 1.0) -> Image.Image:
    """The icon as pixels.

    Args:
        pixels: height and width.
        corner: radius of the corners in units; 0 for a full square.
        scale: size of the sun and the knob; the ground always fills the square.
    """
    side = pixels * _OVERSAMPLING
    unit = side / UNITS
    whole = Image.new("RGBA", (side, side))
    whole.paste(_half(FLAT, side, scale), (0, 0))
    right = _half(VIVID, side, scale).crop((side // 2, 0, side, side))
    whole.paste(right, (side // 2, 0))
    draw = ImageDraw.Draw(whole)
    middle, half, knob = side / 2, SLIDER_WIDTH / 2 * unit * scale, KNOB * unit * scale
    draw.rectangle((middle - half, 0, middle + half, side), fill="#fff")
    draw.ellipse((middle - knob, middle - knob, middle + knob, middle + knob), fill="#fff")
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side - 1, side - 1), corner * unit, fill=255)
    whole.putalpha(mask)
    return whole.resize((pixels, pixels), Image.Resampling.BOX)


def _half(colours: dict[str, str], side: int, scale: float) -> Image.Image:
    image = Image.new("RGBA", (side, side), colours["sky"])
    draw = ImageDraw.Draw(image)

    def at(value: float) -> float:
        return (32 + (value - 32) * scale) * side / UNITS

    x, y, radius = SUN
    draw.ellipse([at(x - radius), at(y - radius), at(x + radius), at(y + radius)], fill=colours["sun"])
    far_corners = {-2: -20.0, 66: 84.0}  # the ground reaches the edges at any scale
    for shape, name in ((FAR, "far"), (NEAR, "near")):
        points = [(at(far_corners.get(px, px)), at(far_corners.get(py, py))) for px, py in shape]
        draw.polygon(points, fill=colours[name])
    return image


def _path(points: tuple[tuple[int, int], ...]) -> str:
    return "M" + " ".join(f"{x} {y}" for x, y in points) + "Z"


def _png(image: Image.Image, *, opaque: bool = False) -> bytes:
    stream = io.BytesIO()
    image.convert("RGB" if opaque else "RGBA").save(stream, "PNG", optimize=True)
    return stream.getvalue()


def icons() -> dict[str, bytes]:
    """Every icon by its file name."""
    return {
        "icon.svg": svg().encode(),
        "icon-180.png": _png(picture(180, corner=0), opaque=True),
        "icon-192.png": _png(picture(192)),
        "icon-512.png": _png(picture(512)),
        "icon-maskable-512.png": _png(picture(512, corner=0, scale=MASKABLE_SCALE), opaque=True),
    }


def _pixels(content: bytes) -> bytes:
    """What is compared: pixels, because versions of the compressor give other bytes for the same ones."""
    if not content.startswith(b"\x89PNG"):
        return content
    with Image.open(io.BytesIO(content)) as image:
        return image.mode.encode() + repr(image.size).encode() + image.tobytes()


def main() -> int:
    """Write or check the icons."""
    parser = argparse.ArgumentParser(description="Draw the photo page's icons.")
    parser.add_argument("--check", action="store_true", help="only compare with the files on disk")
    check = parser.parse_args().check
    for name, content in icons().items():
        path = FOLDER / name
        if not check:
            path.write_bytes(content)
        elif not path.is_file() or _pixels(path.read_bytes()) != _pixels(content):
            print(f"{path} is out of date: run python -m scripts.photo_icons", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
