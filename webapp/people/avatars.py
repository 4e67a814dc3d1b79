"""Draws a picture for every username. No third party is asked, so none learns who reads what.

One hue in two tones, a figure in the corners, and the initial, large enough to read at 32 pixels.
"""

import colorsys
import hashlib
from functools import cache, lru_cache

HUES = 48
SATURATION = 0.4
# White on the ground has a contrast of 5.5 (WCAG 2.2), whatever the hue; the figure is a little lighter.
GROUND_LUMINANCE, FIGURE_LUMINANCE = 0.141, 0.24
# Shapes for one quarter, 32 by 32; its corner at 32,32 is the middle of the picture.
_FIGURES = (
    '<path d="M0 0h20L0 20z"/>',
    '<path d="M0 0h24a24 24 0 0 1-24 24z"/>',
    '<circle cx="9" cy="9" r="9"/>',
    '<path d="M0 0h32v7H7v25H0z"/>',
    '<path d="M32 0v10L10 32H0z"/>',
)
# Which quarters have the figure.
_QUARTERS = ((0,), (90,), (180,), (270,), (0, 180), (90, 270), (0, 90), (0, 90, 180, 270))
NOBODY = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><path fill="#8a8f9c" d="M0 0h64v64H0z"/>'
    '<g fill="#d9dbe0"><circle cx="32" cy="25" r="11"/><path d="M10 64a22 22 0 0 1 44 0z"/></g></svg>'
)


@lru_cache(1000)
def draw(username: str, number: int = 0) -> str:
    """One of a name's pictures, as SVG. Capitals make no difference."""
    seed = f"{username.lower()} {number}" if number else username.lower()
    bits = int.from_bytes(hashlib.sha256(seed.encode()).digest())
    bits, hue = divmod(bits, HUES)
    bits, figure = divmod(bits, len(_FIGURES))
    quarters = _QUARTERS[bits % len(_QUARTERS)]
    uses = "".join(f'<use href="#q" transform="rotate({turn} 32 32)"/>' for turn in quarters)
    initial = (username.strip("_") or "_")[0].upper()
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        f'<defs><g id="q" fill="{_tone(hue, FIGURE_LUMINANCE)}">{_FIGURES[figure]}</g></defs>'
        f'<path fill="{_tone(hue, GROUND_LUMINANCE)}" d="M0 0h64v64H0z"/>{uses}'
        '<text x="32" y="44.5" fill="#fff" font-family="Georgia, Noto Serif, serif" font-size="36" font-weight="700"'
        f' text-anchor="middle">{initial}</text></svg>'
    )


@cache
def _tone(hue: int, luminance: float) -> str:
    """The colour of a hue with a given lightness, found by bisection."""
    low, high = 0.0, 1.0
    for _step in range(12):
        middle = (low + high) / 2
        is_darker = _luminance(colorsys.hls_to_rgb(hue / HUES, middle, SATURATION)) < luminance
        low, high = (middle, high) if is_darker else (low, middle)
    red, green, blue = (round(part * 255) for part in colorsys.hls_to_rgb(hue / HUES, low, SATURATION))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _luminance(colour: tuple[float, float, float]) -> float:
    """How light a colour is, from 0 to 1 (WCAG 2.2, relative luminance)."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
