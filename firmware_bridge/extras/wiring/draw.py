"""Draw the wiring diagrams from the tables that stand at the top of the sketches, and where electrodes go.

python draw.py            write the SVG files
python draw.py --check    fail where a file is not what would be written
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
INK, PAPER, QUIET, WARNING = "#1b1f24", "#ffffff", "#57606a", "#9a3412"
MODULE, BOARD = "#fde8e4", "#e3edf9"
SUPPLY = {"3.3V": "#c62828", "GND": "#1b1f24"}
SIGNALS = ("#1565c0", "#2e7d32", "#ad6800", "#6a1b9a", "#00838f", "#ad1457", "#455a64", "#5d4037")
ELECTRODES = {
    "AD8232": (("RA", "right arm"), ("LA", "left arm"), ("RL", "right leg")),
    "ADS1292R": (("RA", "right arm"), ("LA", "left arm"), ("RL", "right leg")),
    "MAX30003": (("ECGN", "right arm"), ("ECGP", "left arm")),
}
ROW, TOP = 34, 96
LEFT, RIGHT, WIDTH = (250, 380), (620, 780), 960


def text(x: float, y: float, words: str, size: int = 15, anchor: str = "start", **more: str) -> str:
    """A line of text."""
    style = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in {"fill": INK, **more}.items())
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{style}>{escape(words)}</text>'
    )


def box(x: float, y: float, width: float, height: float, fill: str) -> str:
    """A rectangle with round corners."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" fill="{fill}" '
        f'stroke="{INK}" stroke-width="1.5"/>'
    )


def line(x: float, y: float, to: float, colour: str, width: float) -> str:
    """A level line."""
    return f'<line x1="{x:g}" y1="{y:g}" x2="{to:g}" y2="{y:g}" stroke="{colour}" stroke-width="{width:g}"/>'


def electrode(x: float, y: float, radius: float, colour: str) -> str:
    """A circle."""
    return (
        f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{PAPER}" stroke="{colour}" stroke-width="2.5"/>'
    )


def page(height: float, title: str, parts: list[str]) -> str:
    """A whole file."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
            f'font-family="Helvetica, Arial, sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height:g}" fill="{PAPER}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def wires(sketch: Path) -> tuple[str, str, list[tuple[str, str]]]:
    """Names of module and board, and the pins that go together, from a sketch's table."""
    rows = []
    for row in sketch.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"//   (\S+(?: \S+)*?)  +(\S+(?: \S+)*)", row):
            rows.append((found[1], found[2]))
        elif rows:
            break
    (module, board), *pins = rows
    return module, board, pins


def diagram(sketch: Path) -> str:
    """The wiring of one sketch."""
    module, board, pins = wires(sketch)
    electrodes = ELECTRODES[module]
    rows = max(len(pins), len(electrodes) + 1)
    bottom = TOP + ROW * rows + 16
    parts = [
        text(WIDTH / 2, 36, f"{module} on {board}", 22, "middle", font_weight="bold"),
        text(WIDTH / 2, 60, f"sketch {sketch.stem}", 14, "middle", fill=QUIET),
        box(LEFT[0], TOP - 14, LEFT[1] - LEFT[0], bottom - TOP + 14, MODULE),
        box(RIGHT[0], TOP - 14, RIGHT[1] - RIGHT[0], bottom - TOP + 14, BOARD),
    ]
    colours = iter(SIGNALS)
    for number, (here, there) in enumerate(pins):
        y = TOP + ROW * (number + 0.5)
        colour = SUPPLY[here] if here in SUPPLY else next(colours)
        parts += [
            line(LEFT[1], y, RIGHT[0], colour, 3.5),
            *(f'<circle cx="{x}" cy="{y:g}" r="5" fill="{colour}"/>' for x in (LEFT[1], RIGHT[0])),
            text(LEFT[1] - 12, y + 5, here, 15, "end"),
            text(RIGHT[0] + 12, y + 5, there, 15),
        ]
    for number, (name, place) in enumerate(electrodes):
        y = TOP + ROW * (number + 0.5)
        parts += [
            line(150, y, LEFT[0], QUIET, 2.5),
            electrode(138, y, 12, QUIET),
            text(118, y + 5, place, 14, "end", fill=QUIET),
            text(160, y - 5, name, 13),
        ]
    usb = (TOP + bottom) / 2
    parts += [
        line(RIGHT[1], usb, 836, INK, 6),
        text(848, usb - 8, "USB to a", 14),
        text(848, usb + 10, "computer on", 14),
        text(848, usb + 28, "battery", 14, font_weight="bold"),
    ]
    notes = [
        "Electrodes on a person: nothing on the mains, neither the computer nor what is plugged into it.",
        "Not a medical device.",
    ]
    if module != "AD8232":
        notes.insert(
            0, "The Uno's pins give 5 V: between them and a chip of 3.3 V or less belong level shifters."
        )
    for number, note in enumerate(notes):
        parts.append(text(WIDTH / 2, bottom + 34 + 22 * number, note, 14, "middle", fill=WARNING))
    return page(bottom + 34 + 22 * len(notes), f"{module} on {board}", parts)


def electrodes() -> str:
    """Where electrodes go: arms and leg, or the trunk."""
    body = (
        "M 0 -150 c 26 0 34 -22 34 -44 c 0 -26 -14 -40 -34 -40 c -20 0 -34 14 -34 40 c 0 22 8 44 34 44 z "
        "M -18 -154 l 0 22 c -40 10 -72 14 -84 34 c -14 26 -26 110 -34 180 l 22 4 c 10 -56 22 -96 34 -128 "
        "l 6 100 c 0 40 -8 70 -8 110 l 164 0 c 0 -40 -8 -70 -8 -110 l 6 -100 c 12 32 24 72 34 128 l 22 -4 "
        "c -8 -70 -20 -154 -34 -180 c -12 -20 -44 -24 -84 -34 l 0 -22"
    )
    parts = [text(WIDTH / 2, 40, "Where the electrodes go (lead I)", 22, "middle", font_weight="bold")]
    places = {
        "On the limbs: sitting or lying still": {"RA": (-124, 72), "LA": (124, 72), "RL": (-46, 158)},
        "On the trunk: for moving about": {"RA": (-56, -92), "LA": (56, -92), "RL": (-50, 92)},
    }
    for number, (title, spots) in enumerate(places.items()):
        x, y = 250 + 460 * number, 330
        parts += [
            text(x, 76, title, 16, "middle", fill=QUIET),
            f'<path transform="translate({x} {y})" d="{body}" fill="{MODULE}" stroke="{INK}" '
            'stroke-width="2" stroke-linejoin="round"/>',
            text(x - 190, 116, "right side", 13, "middle", fill=QUIET),
            text(x + 190, 116, "left side", 13, "middle", fill=QUIET),
        ]
        for name, (dx, dy) in spots.items():
            parts += [
                electrode(x + dx, y + dy, 17, INK),
                text(x + dx, y + dy + 5, name, 14, "middle", font_weight="bold"),
            ]
    lines = (
        "The body is seen from the front. RA right arm, LA left arm, RL right leg (drives the potential).",
        "RA: inside of the wrist, or below the right collarbone. LA: the same, left. RL: ankle, or ribs.",
        "Clean the skin with alcohol, let it dry; new electrodes every day. Never on broken skin.",
    )
    parts += [text(WIDTH / 2, 530 + 24 * k, words, 14, "middle") for k, words in enumerate(lines)]
    return page(600, "Where the electrodes go", parts)


def drawings() -> dict[Path, str]:
    """All files and what belongs in them."""
    made = {HERE / f"{path.stem}.svg": diagram(path) for path in sorted(EXAMPLES.glob("*/*.ino"))}
    return {**made, HERE / "electrodes.svg": electrodes()}


def main() -> int:
    """Write or check."""
    wrong = []
    for path, content in drawings().items():
        if "--check" not in sys.argv:
            path.write_text(content, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != content:
            wrong.append(path.name)
    if wrong:
        print(f"not what draw.py would write: {', '.join(wrong)}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
