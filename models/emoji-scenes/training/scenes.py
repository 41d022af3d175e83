"""Random scenes: what is in the picture, where, and the caption that says part of it."""

from dataclasses import dataclass, field

import numpy as np

from backgrounds import SIZE
from vocabulary import CATEGORIES, COLORS, CONCEPTS, GLYPHS, NUMBERS, PATTERNS, PLACES, with_article

# Share of each kind of scene in training. An "icon" is the simplest picture: its caption fixes all of it.
KINDS = {"icon": 0.20, "one": 0.16, "two": 0.20, "three": 0.20, "four": 0.09, "five": 0.06, "pile": 0.09}
OBJECT_COUNTS = {"icon": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
SIZE_RANGES = {1: (44, 76), 2: (34, 46), 3: (30, 40), 4: (27, 34), 5: (26, 31)}
ICON_SIZE = 60
TILT_DEGREES = 20.0


@dataclass
class Placement:
    """One glyph in the picture: its index in GLYPHS, centre and size in pixels, tilt in degrees."""

    glyph: int
    x: float
    y: float
    size: int
    tilt: float

    @property
    def concept(self):
        return GLYPHS[self.glyph][0]


@dataclass
class Scene:
    kind: str
    caption: str
    background: str
    color: str
    placements: list
    # The words that the caption names with the number of objects that each requires: ("cat", 2).
    required: list = field(default_factory=list)
    # What the caption leaves open: background or colour, glyph choices, places.
    open_attributes: int = 0


@dataclass
class Group:
    """Objects named by one phrase of the caption."""

    phrase: str
    word: str
    glyphs: list
    open_glyphs: bool


def pick(rng, options):
    return options[int(rng.integers(len(options)))]


def glyphs_of(concept):
    return [index for index, entry in enumerate(GLYPHS) if entry[0] == concept]


def _plural_of_name(name, concept):
    first, _, last = name.rpartition(" ")
    last = concept.plural if last == concept.noun else last if last.endswith("fish") else last + "s"
    return f"{first} {last}".strip()


def _concept_group(concept_index, count, specific):
    """`specific`: a glyph index that all objects share, or None to leave the choice open (a callable's job)."""
    concept = CONCEPTS[concept_index]
    name = concept.noun if specific is None else GLYPHS[specific][1]
    if count == 1:
        return with_article(name)
    return f"{NUMBERS[count]} {_plural_of_name(name, concept) if specific is not None else concept.plural}"


def make_group(rng, count, used, category_rate=0.12):
    """Chooses a word that `used` (a set of concept indices) does not contain yet and adds what it uses."""
    if count <= 3 and rng.random() < category_rate:
        category = pick(rng, list(CATEGORIES))
        members = [i for i, c in enumerate(CONCEPTS) if c.category == category and i not in used]
        if len(members) == sum(c.category == category for c in CONCEPTS):
            used.update(members)
            glyphs = [pick(rng, glyphs_of(pick(rng, members))) for _ in range(count)]
            phrase = with_article(category) if count == 1 else f"{NUMBERS[count]} {CATEGORIES[category]}"
            return Group(phrase, category, glyphs, True)
    concept = pick(rng, [i for i in range(len(CONCEPTS)) if i not in used])
    used.add(concept)
    choices = glyphs_of(concept)
    if len(choices) > 1 and rng.random() < 0.4:
        specific = pick(rng, choices)
        return Group(_concept_group(concept, count, specific), CONCEPTS[concept].noun, [specific] * count, False)
    glyphs = [pick(rng, choices) for _ in range(count)]
    return Group(_concept_group(concept, count, None), CONCEPTS[concept].noun, glyphs, len(choices) > 1)


def _partition(rng, count):
    """Group sizes that sum to `count`."""
    options = {
        1: [[1]],
        2: [[2], [1, 1], [1, 1]],
        3: [[3], [2, 1], [1, 2], [1, 1, 1], [1, 1, 1]],
        4: [[4], [2, 2], [3, 1], [2, 1, 1], [1, 1, 2]],
        5: [[5], [3, 2], [2, 2, 1], [3, 1, 1]],
    }
    return pick(rng, options[count])


def _tilt(rng):
    return float(rng.uniform(-TILT_DEGREES, TILT_DEGREES))


def place_freely(rng, sizes, spacing=0.85):
    """Centres for the given sizes, apart by `spacing` mean sizes; shrinks the sizes when they do not fit."""
    for attempt in range(400):
        centres = []
        for size in sizes:
            for _ in range(12):
                x, y = rng.uniform(0.47 * size, SIZE - 0.47 * size, 2)
                if all(np.hypot(x - a, y - b) > spacing * (size + s) / 2 for (a, b), s in zip(centres, sizes)):
                    centres.append((x, y))
                    break
            else:
                break
        if len(centres) == len(sizes):
            return centres, sizes
        if attempt % 20 == 19:
            sizes = [max(24, int(s * 0.95)) for s in sizes]
            spacing *= 0.98
    raise RuntimeError("objects do not fit")


def _related(rng, sizes):
    """Two objects on opposite sides: returns the relation that the first has to the second, and the centres."""
    offsets = SIZE / 4 + rng.uniform(-4, 4, 2)
    across = rng.uniform(0.5 * SIZE - 10, 0.5 * SIZE + 10, 2)
    near, far = offsets[0], SIZE - offsets[1]
    relation = pick(rng, ["above", "below", "left of", "right of"])
    first, second = (near, far) if relation in ("above", "left of") else (far, near)
    if relation in ("above", "below"):
        return relation, [(across[0], first), (across[1], second)]
    return relation, [(first, across[0]), (second, across[1])]


def _row(rng, count, size):
    spacing = min(SIZE / count, 1.1 * size)
    y = rng.uniform(0.3 * SIZE, 0.7 * SIZE)
    return [(SIZE / 2 + (i - (count - 1) / 2) * spacing, y + rng.uniform(-1, 1)) for i in range(count)]


def choose_background(rng):
    """Returns kind, colour, the caption's ending, and how many attributes that ending leaves open."""
    draw = rng.random()
    color = pick(rng, list(COLORS))
    if draw < 0.25:
        place = pick(rng, list(PLACES))
        return (place, color, "", 2) if rng.random() < 0.25 else (place, color, PLACES[place], 1)
    kind = pick(rng, PATTERNS) if draw < 0.52 else "plain"
    mention = rng.random()
    if mention < 0.25:
        return kind, color, "", 2
    if mention < 0.40:
        return kind, color, f"on a {kind} background", 1
    if kind == "plain":
        return kind, color, f"on {with_article(color)} background", 0
    return kind, color, f"on a {kind} {color} background", 1


def _join(phrases):
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _icon(rng):
    glyph = int(rng.integers(len(GLYPHS)))
    concept, name, _ = GLYPHS[glyph]
    color = pick(rng, list(COLORS))
    placement = Placement(glyph, SIZE / 2, SIZE / 2, ICON_SIZE, 0.0)
    caption = f"{with_article(name)} on {color}"
    return Scene("icon", caption, "plain", color, [placement], [(CONCEPTS[concept].noun, 1)], 0)


def _pile(rng):
    count = int(rng.integers(6, 9))
    if rng.random() < 0.6:
        category = pick(rng, list(CATEGORIES))
        members = [i for i, c in enumerate(CONCEPTS) if c.category == category]
        word, plural = category, CATEGORIES[category]
    else:
        members = [int(rng.integers(len(CONCEPTS)))]
        word, plural = CONCEPTS[members[0]].noun, CONCEPTS[members[0]].plural
    background, color, ending, open_attributes = choose_background(rng)
    placements = []
    for _ in range(count):
        size = int(rng.integers(28, 37))
        for _ in range(30):
            x = np.clip(rng.normal(SIZE / 2, 20), 16, SIZE - 16)
            y = np.clip(rng.normal(0.58 * SIZE, 14), 16, SIZE - 16)
            if all(np.hypot(x - p.x, y - p.y) > 0.5 * size for p in placements):
                break
        placements.append(Placement(pick(rng, glyphs_of(pick(rng, members))), x, y, size, _tilt(rng)))
    placements.sort(key=lambda placement: placement.y)
    caption = f"a pile of {plural} {ending}".strip()
    return Scene("pile", caption, background, color, placements, [(word, 3)], open_attributes + count)


def make_scene(rng, kind=None):
    """A random scene; `rng` is a numpy Generator, `kind` one of KINDS or None for the training mixture."""
    if kind is None:
        kind = list(KINDS)[int(rng.choice(len(KINDS), p=np.array(list(KINDS.values()))))]
    if kind == "icon":
        return _icon(rng)
    if kind == "pile":
        return _pile(rng)
    count, used = OBJECT_COUNTS[kind], set()
    parts = _partition(rng, count)
    groups = [make_group(rng, part, used) for part in parts]
    low, high = SIZE_RANGES[count]
    sizes = [int(rng.integers(low, high + 1)) for _ in range(count)]
    phrases, open_places = [group.phrase for group in groups], count
    if count == 1:
        draw, noun = rng.random(), phrases[0].split(" ", 1)[-1] if phrases[0][:2] in ("a ", "an") else phrases[0]
        if draw < 0.3:
            adjective, bounds = ("small", (38, 46)) if draw < 0.15 else ("big", (70, 82))
            sizes, phrases = [int(rng.integers(*bounds))], [with_article(f"{adjective} {noun}")]
        centres, sizes = place_freely(rng, sizes)
        text = phrases[0]
    elif parts == [1, 1] and rng.random() < 0.4:
        relation, centres = _related(rng, sizes)
        text, open_places = f"{phrases[0]} {relation} {phrases[1]}", 1
    elif len(parts) == 1 and count in (3, 4) and rng.random() < 0.4:
        sizes = [{3: 31, 4: 25}[count]] * count
        centres, open_places = _row(rng, count, sizes[0]), 1
        text = f"{phrases[0]} in a row"
    else:
        centres, sizes = place_freely(rng, sizes)
        text = _join(phrases)
    background, color, ending, open_attributes = choose_background(rng)
    glyphs = [glyph for group in groups for glyph in group.glyphs]
    placements = [Placement(g, x, y, s, _tilt(rng)) for g, (x, y), s in zip(glyphs, centres, sizes)]
    required = [(group.word, len(group.glyphs)) for group in groups]
    open_attributes += open_places + sum(len(group.glyphs) for group in groups if group.open_glyphs)
    return Scene(kind, f"{text} {ending}".strip(), background, color, placements, required, open_attributes)
