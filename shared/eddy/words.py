"""Words of texts in every script, as queries, titles, categories and the text model compare them.

Text is normalised to NFKC without regard to case (Unicode 3.13, toNFKC_Casefold), so that composed and decomposed characters, full-width
and other compatibility forms are equal. In words, digits of any script are equal too, and accents are folded where people leave them out:
in Latin and Greek as Lucene's ASCIIFoldingFilter does, the Cyrillic ё and stress marks, and the vowel points of Hebrew and Arabic. Marks
that belong to the letter stay: й, dakuten, the vowel signs of Indic scripts. Arabic letters that people interchange at the end of a word
are equal, as in Lucene's ArabicNormalizer. Each emoji or other symbol is a word, and so are names like C# and C++ as a whole.

Scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), and Korean with its particles, are split into pairs of
adjacent characters, as Lucene's CJKAnalyzer does. A text also has each of these characters alone, so that a query of one finds it.
"""

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from itertools import pairwise

_ASCII_WORD = re.compile(r"[a-z0-9_]+(?:(?:\+\+|#)(?![a-z0-9_+#]))?")
_NAME_WITH_SYMBOLS = re.compile(r"(?<![a-z0-9_])[a-z0-9_]+(?:\+\+|#)(?![a-z0-9_+#])")
# Letters without a decomposition: of Latin, and of Arabic teh marbuta and alef maksura.
_LETTERS = {
    "\u0629": "\u0647",
    "\u0649": "\u064a",
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ħ": "h",
    "ŧ": "t",
    "\u0131": "i",
}
# Kinds of characters. Those from _UNSPACED on are groups of scripts, in each of which runs of characters are split into pairs.
_NONE, _MARK, _SPACED, _SYMBOL, _UNSPACED = 0, 1, 2, 3, 4
_HAN_KANA, _HANGUL, _THAI, _LAO, _BURMESE, _KHMER = range(_UNSPACED, _UNSPACED + 6)
_RANGES = sorted(
    [
        (0x0E01, 0x0E4F, _THAI),
        (0x0E81, 0x0ECF, _LAO),
        (0x1000, 0x109F, _BURMESE),
        (0x1100, 0x11FF, _HANGUL),
        (0x1780, 0x17D3, _KHMER),
        (0x2E80, 0x2FD5, _HAN_KANA),
        (0x3005, 0x3007, _HAN_KANA),
        (0x3040, 0x312F, _HAN_KANA),
        (0x3130, 0x318F, _HANGUL),
        (0x31A0, 0x31FF, _HAN_KANA),
        (0x3400, 0x9FFF, _HAN_KANA),
        (0xA960, 0xA97F, _HANGUL),
        (0xAA60, 0xAA7F, _BURMESE),
        (0xAC00, 0xD7FF, _HANGUL),
        (0xF900, 0xFAFF, _HAN_KANA),
        (0x1AFF0, 0x1B16F, _HAN_KANA),
        (0x20000, 0x3FFFF, _HAN_KANA),
    ]
)
_STARTS = [start for start, _, _ in _RANGES]


def composed(text: str) -> str:
    """`text` in NFKC, with its case, without invisible characters (soft hyphens, joiners, variation selectors)."""
    if text.isascii():
        return text
    return "".join([character for character in unicodedata.normalize("NFKC", text) if not _is_invisible(character)])


def normalise(text: str) -> str:
    """`text` as `composed`, without regard to case. Accents stay: only `words_of` and `query_words` fold them."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", composed(text).casefold())


def is_latin(text: str) -> bool:
    """Whether at least half of the letters of a text are Latin. True for a text without letters."""
    if text.isascii():
        return True
    letters = [ord(character) for character in text if character.isalpha()]
    latin = sum(letter < 0x0250 or 0x1E00 <= letter < 0x1F00 or 0xFF21 <= letter < 0xFF5B for letter in letters)
    return 2 * latin >= len(letters)


def words_of(text: str) -> frozenset[str]:
    """The distinct words of a text that is searched: of unspaced scripts every pair of adjacent characters, and every character."""
    return _words(text, singles=True)


def query_words(query: str) -> frozenset[str]:
    """The distinct words of a query: of unspaced scripts every pair of adjacent characters, or a character that stands alone."""
    return _words(query, singles=False)


def _words(text: str, singles: bool) -> frozenset[str]:
    if text.isascii():
        return frozenset(_ASCII_WORD.findall(text.lower()))
    normal = normalise(text)
    words = set(_NAME_WITH_SYMBOLS.findall(normal))
    units: list[str] = []  # of the present run: characters with their marks
    base, kind_of_run = "", _NONE
    for character in normal:
        kind, folded = _folded(character)
        if kind == _MARK:
            if units and not _is_accent(base, ord(character)):
                units[-1] += character
            continue
        if kind != kind_of_run:
            words.update(_words_of_run(units, kind_of_run, singles))
            units, kind_of_run = [], kind
        if kind:
            units.append(folded)
        base = character
    words.update(_words_of_run(units, kind_of_run, singles))
    return frozenset(words)


def _words_of_run(units: list[str], kind: int, singles: bool) -> list[str]:
    if not units:
        return []
    if kind == _SPACED:
        return ["".join(units)]
    if kind == _SYMBOL:
        return units
    pairs = ["".join(pair) for pair in pairwise(units)]
    return pairs + units if singles or len(units) == 1 else pairs


@lru_cache(maxsize=1 << 16)
def _folded(character: str) -> tuple[int, str]:
    """The kind of a normalised character, and the character with folded accents, a decimal digit as ASCII."""
    category = unicodedata.category(character)
    if category[0] == "M":
        return _MARK, character
    if category == "So":
        return _SYMBOL, character
    if not (character.isalnum() or character == "_"):
        return _NONE, ""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return _SPACED, str(digit)
    letters = list(unicodedata.normalize("NFD", character))
    kept = letters[:1] + [mark for mark in letters[1:] if not _is_accent(letters[0], ord(mark))]
    return _kind(character), unicodedata.normalize("NFC", "".join(_LETTERS.get(letter, letter) for letter in kept))


def _kind(letter: str) -> int:
    index = bisect_right(_STARTS, ord(letter)) - 1
    return _RANGES[index][2] if index >= 0 and ord(letter) <= _RANGES[index][1] else _SPACED


def _is_accent(base: str, mark: int) -> bool:
    """Whether a combining mark on the letter `base` is one that people leave out."""
    if 0x0300 <= mark <= 0x036F:
        letter = ord(base or " ")
        if letter < 0x0400 or 0x1E00 <= letter < 0x2000:  # Latin and Greek
            return True
        return 0x0400 <= letter < 0x0530 and (mark in (0x0300, 0x0301) or (mark, base) == (0x0308, "\u0435"))
    return 0x0591 <= mark <= 0x05C7 or 0x064B <= mark <= 0x065F or mark == 0x0670


@lru_cache(maxsize=1 << 16)
def _is_invisible(character: str) -> bool:
    if character == "\u0640":  # tatweel, which stretches Arabic words
        return True
    return unicodedata.category(character) == "Cf" or 0xFE00 <= ord(character) <= 0xFE0F or ord(character) >= 0xE0100
