"""Backgrounds: plain colours, patterns in a colour, and four places. All return float32 (SIZE, SIZE, 3) in 0..1."""

import numpy as np
from scipy.ndimage import gaussian_filter

from vocabulary import COLORS

SIZE = 96

_ROWS, _COLUMNS = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def _mix(first, second, weight):
    """weight (SIZE, SIZE) in 0..1: 0 gives the first colour, 1 the second."""
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return first + (second - first) * weight[..., None].astype(np.float32)


def _color(name, rng, jitter=0.03):
    base = np.array(COLORS[name], np.float32) / 255
    return np.clip(base + rng.uniform(-jitter, jitter, 3), 0, 1)


def _companion(color):
    """The second colour of a pattern: 45 % nearer to white, or to gray where the colour is light already."""
    target = np.full(3, 1.0 if color.min() < 0.75 else 0.55, np.float32)
    return color + 0.45 * (target - color)


def _soft_step(distance):
    """Anti-aliased edge: 0 below -0.5 pixel, 1 above 0.5 pixel."""
    return np.clip(distance + 0.5, 0, 1)


def _rotated(angle):
    return _COLUMNS * np.cos(angle) + _ROWS * np.sin(angle), _ROWS * np.cos(angle) - _COLUMNS * np.sin(angle)


def _plain(color, rng):
    return np.broadcast_to(color, (SIZE, SIZE, 3)).copy()


def _striped(color, rng):
    period = rng.uniform(12, 22)
    across, _ = _rotated(rng.uniform(0, np.pi))
    phase = (across + rng.uniform(0, period)) % period
    return _mix(color, _companion(color), _soft_step(np.abs(phase - period / 2) - period / 4))


def _dotted(color, rng):
    period = rng.uniform(13, 22)
    x, y = _rotated(rng.uniform(0, np.pi / 2))
    x = (x + rng.uniform(0, period)) % period - period / 2
    y = (y + rng.uniform(0, period)) % period - period / 2
    return _mix(_companion(color), color, _soft_step(np.hypot(x, y) - period * rng.uniform(0.2, 0.3)))


def _checked(color, rng):
    period = rng.uniform(20, 34)
    x, y = _rotated(rng.choice([0.0, np.pi / 4]))
    x = np.abs((x + rng.uniform(0, period)) % period - period / 2) - period / 4
    y = np.abs((y + rng.uniform(0, period)) % period - period / 2) - period / 4
    x, y = _soft_step(x), _soft_step(y)
    return _mix(color, _companion(color), x * (1 - y) + y * (1 - x))


def _grass(rng):
    blades = rng.standard_normal((SIZE, SIZE)).astype(np.float32)
    blades = gaussian_filter(blades, (4.0, 1.2))
    blades /= np.abs(blades).max()
    shade = np.linspace(0.75, 0.25, SIZE, dtype=np.float32)[:, None] + 0.45 * blades
    return _mix((0.18, 0.50, 0.16), (0.55, 0.82, 0.35), np.clip(shade, 0, 1))


def _bricks(rng):
    height, width = rng.uniform(11, 15), rng.uniform(22, 30)
    y = (_ROWS + rng.uniform(0, height)) % height
    row = np.cumsum(np.r_[False, np.diff(y[:, 0]) < 0])[:, None] * np.ones((1, SIZE))
    shifted = _COLUMNS + rng.uniform(0, width) + row * width / 2
    x, column = shifted % width, np.floor(shifted / width)
    shades = rng.uniform(0, 1, (12, 16))[row.astype(int) % 12, column.astype(int) % 16]
    wall = _mix((0.62, 0.30, 0.22), (0.78, 0.44, 0.33), shades)
    joint = 1 - np.minimum(_soft_step(y - 1.2), _soft_step(x - 1.2))
    return wall + (np.array((0.83, 0.79, 0.74), np.float32) - wall) * joint[..., None].astype(np.float32)


def _clouds(rng):
    noise = sum(
        weight * gaussian_filter(rng.standard_normal((SIZE, SIZE)), sigma, mode="wrap") * sigma
        for sigma, weight in ((12.0, 1.0), (6.0, 0.6), (3.0, 0.3))
    )
    cover = np.clip((noise - np.quantile(noise, 0.55)) / (1.2 * noise.std()), 0, 1)
    sky = _mix((0.36, 0.62, 0.92), (0.66, 0.84, 0.98), np.linspace(0, 1, SIZE)[:, None] * np.ones((1, SIZE)))
    return sky + (1 - sky) * (0.92 * cover[..., None]).astype(np.float32)


def _night(rng):
    sky = _mix((0.05, 0.06, 0.18), (0.18, 0.16, 0.40), np.linspace(0, 1, SIZE)[:, None] * np.ones((1, SIZE)))
    for _ in range(rng.integers(14, 26)):
        x, y, radius = rng.uniform(0, SIZE), rng.uniform(0, SIZE), rng.uniform(0.9, 1.9)
        glow = np.exp(-((_COLUMNS - x) ** 2 + (_ROWS - y) ** 2) / radius**2)[..., None]
        sky = sky + (np.array((1.0, 0.98, 0.85)) - sky) * glow
    return sky.astype(np.float32)


_PATTERNS = {"plain": _plain, "striped": _striped, "dotted": _dotted, "checked": _checked}
_PLACES = {"grass": _grass, "bricks": _bricks, "clouds": _clouds, "night": _night}


def draw_background(kind, color, rng, jitter=0.03):
    """`kind` is "plain", a pattern or a place; `color` is ignored by places. `rng` is a numpy Generator."""
    if kind in _PLACES:
        return np.clip(_PLACES[kind](rng), 0, 1).astype(np.float32)
    return np.clip(_PATTERNS[kind](_color(color, rng, jitter), rng), 0, 1).astype(np.float32)
