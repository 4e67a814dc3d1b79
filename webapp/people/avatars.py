"""Draws a picture for every username. No third party is asked, so none learns who reads what.

A tile in three tones is turned four times round its corner, as on a tiled wall, with the initial in the middle.
"""

import hashlib
from functools import lru_cache

# Ground, figure and accent; each stands out on light paper and on dark.
_PALETTES = (
    ("#2f4a9e", "#8fa6ea", "#f3c9a5"),
    ("#b3483a", "#f0a48c", "#fbe3c3"),
    ("#1f6f6b", "#6fc2b4", "#f4e3b2"),
    ("#6b4a94", "#b99be0", "#f2c7d6"),
    ("#8a5a1c", "#e0a94e", "#fbe9c6"),
    ("#2c6b3f", "#86c08a", "#f0e2a8"),
    ("#94406b", "#e39abf", "#fbe0cf"),
    ("#3b5b75", "#8db7cf", "#f6d7a7"),
    ("#5c6b1f", "#b5c562", "#f8ecc0"),
    ("#a1452b", "#e8b04f", "#cfe0dc"),
    ("#245f8c", "#6fb7e0", "#f9d5c5"),
    ("#7a3b3f", "#cf8d86", "#d9e3c8"),
)
# Shapes for one quarter, 32 by 32; its corner at 32,32 is the middle of the picture.
_FIGURES = (
    '<path d="M0 0h32v32z"/>',
    '<path d="M0 32a32 32 0 0 1 32-32v32z"/>',
    '<path d="M0 0a32 32 0 0 0 32 32V0z"/>',
    '<path d="M0 0v32L32 16z"/>',
    '<path d="M16 0h16v32L16 16z"/>',
    '<path d="M0 0a16 16 0 0 1 32 0v16a16 16 0 0 0-32 0z"/>',
    '<path d="M0 16L16 0l16 16-16 16z"/>',
    '<path d="M0 0h32L0 32z"/>',
)
_ACCENTS = (
    '<circle cx="8" cy="8" r="6"/>',
    '<path d="M0 0h12a12 12 0 0 1-12 12z"/>',
    '<path d="M20 0h12v12z"/>',
    '<path d="M0 20v12h12z"/>',
    '<circle cx="24" cy="8" r="5"/>',
    '<path d="M0 12L12 0v12z"/>',
    '<path d="M0 0h8L0 8z M32 0v8L24 0z"/>',
    '<path d="M12 0a8 8 0 0 0 16 0z"/>',
)
_TURNS = (0, 90, 180, 270)
NOBODY = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><path fill="#8a8f9c" d="M0 0h64v64H0z"/>'
    '<g fill="#d9dbe0"><circle cx="32" cy="25" r="11"/><path d="M10 64a22 22 0 0 1 44 0z"/></g></svg>'
)


@lru_cache(1000)
def draw(username: str) -> str:
    """The picture for a name, as SVG. Capitals make no difference."""
    bits = int.from_bytes(hashlib.sha256(username.lower().encode()).digest())
    bits, number = divmod(bits, len(_PALETTES))
    ground, tone, accent = _PALETTES[number]
    bits, number = divmod(bits, len(_FIGURES))
    figure = _FIGURES[number]
    bits, number = divmod(bits, len(_ACCENTS))
    mark = _ACCENTS[number]
    turn = _TURNS[bits % 4]
    quarters = "".join(f'<use href="#q" transform="rotate({turn} 32 32)"/>' for turn in _TURNS)
    initial = (username.strip("_") or "_")[0].upper()
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        f'<defs><g id="q"><g fill="{tone}" transform="rotate({turn} 16 16)">{figure}</g>'
        f'<g fill="{accent}">{mark}</g></g></defs>'
        f'<path fill="{ground}" d="M0 0h64v64H0z"/>{quarters}'
        f'<circle cx="32" cy="32" r="15" fill="{ground}"/>'
        f'<text x="32" y="39.5" fill="#fff" font-family="Charter, Georgia, serif" font-size="22" font-weight="700"'
        f' text-anchor="middle">{initial}</text></svg>'
    )
