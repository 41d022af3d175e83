"""The words of the world: objects with their glyphs, categories, colours and backgrounds.

Nouns and glyph names come from the CLDR short names (annotations/en.xml of the Unicode CLDR). Where a short
name carries a detail that every caption would repeat ("dog face", "wrapped gift"), the noun is its head word.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Concept:
    """One noun. `glyphs` maps the full name of each picture that the noun may mean to its character."""

    noun: str
    plural: str
    glyphs: dict
    category: str = None


def _concept(noun, glyphs, category=None, plural=None):
    if isinstance(glyphs, str):
        glyphs = {noun: glyphs}
    return Concept(noun, plural or noun + "s", glyphs, category)


CONCEPTS = [
    _concept("cat", {"cat face": "🐱", "grinning cat": "😺"}, "animal"),
    _concept("dog", {"dog face": "🐶", "poodle": "🐩"}, "animal"),
    _concept("frog", "🐸", "animal"),
    _concept("pig", "🐷", "animal"),
    _concept("panda", "🐼", "animal"),
    _concept("fox", "🦊", "animal", "foxes"),
    _concept("fish", {"tropical fish": "🐠", "blowfish": "🐡"}, "animal", "fish"),
    _concept("turtle", "🐢", "animal"),
    _concept("butterfly", "🦋", "animal", "butterflies"),
    _concept("apple", {"red apple": "🍎", "green apple": "🍏"}, "fruit"),
    _concept("banana", "🍌", "fruit"),
    _concept("strawberry", "🍓", "fruit", "strawberries"),
    _concept("watermelon", "🍉", "fruit"),
    _concept("grapes", "🍇", "fruit", "grapes"),
    _concept("lemon", "🍋", "fruit"),
    _concept("carrot", "🥕", "vegetable"),
    _concept("broccoli", "🥦", "vegetable", "broccoli"),
    _concept("corn", "🌽", "vegetable", "ears of corn"),
    _concept("sunflower", "🌻", "flower"),
    _concept("rose", "🌹", "flower"),
    _concept("tulip", "🌷", "flower"),
    _concept("pizza", "🍕", "food"),
    _concept("hamburger", "🍔", "food"),
    _concept("doughnut", "🍩", "food"),
    _concept("cake", "🎂", "food"),
    _concept("car", "🚗", "vehicle"),
    _concept("bus", "🚌", "vehicle", "buses"),
    _concept("rocket", "🚀", "vehicle"),
    _concept("sailboat", "⛵", "vehicle"),
    _concept("tree", {"deciduous tree": "🌳", "evergreen tree": "🌲", "palm tree": "🌴"}),
    _concept("heart", {"red heart": "❤", "blue heart": "💙", "green heart": "💚"}),
    _concept("mushroom", "🍄"),
    _concept("football", "⚽"),
    _concept("basketball", "🏀"),
    _concept("balloon", "🎈"),
    _concept("gift", "🎁"),
    _concept("house", "🏠"),
    _concept("star", "⭐"),
    _concept("moon", "🌙"),
    _concept("ghost", "👻"),
    _concept("robot", "🤖"),
    _concept("snowman", "⛄", plural="snowmen"),
]

# Every picture, in a fixed order: (concept index, full name, character).
GLYPHS = [
    (index, name, character)
    for index, concept in enumerate(CONCEPTS)
    for name, character in concept.glyphs.items()
]

CATEGORIES = {
    "animal": "animals",
    "fruit": "fruits",
    "vegetable": "vegetables",
    "flower": "flowers",
    "food": "foods",
    "vehicle": "vehicles",
}

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}

COLORS = {
    "white": (248, 248, 248),
    "black": (24, 24, 28),
    "red": (220, 80, 75),
    "green": (110, 195, 110),
    "blue": (95, 150, 230),
    "yellow": (248, 225, 115),
    "purple": (160, 115, 205),
    "pink": (248, 178, 205),
    "orange": (246, 165, 85),
    "gray": (150, 150, 155),
}

# Patterns that come in any colour, by their adjective.
PATTERNS = ["striped", "dotted", "checked"]

# Places with colours of their own, by the phrase that ends a caption.
PLACES = {
    "grass": "on the grass",
    "bricks": "in front of a brick wall",
    "clouds": "in a cloudy sky",
    "night": "under a starry sky",
}


def with_article(noun_phrase):
    """"apple" -> "an apple"; the names that are mass nouns or plurals stay bare."""
    if noun_phrase.split()[-1] in ("grapes", "broccoli", "corn"):
        return noun_phrase
    return ("an " if noun_phrase[0] in "aeiou" else "a ") + noun_phrase
