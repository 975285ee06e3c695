"""Words in every script: what people write in different ways is equal, and what differs in meaning is not."""

# ruff: noqa: RUF001

import unicodedata

import pytest

from eddy.words import composed, normalise, query_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Cat, the-cat!", {"the", "cat"}),
        ("Straße STRASSE", {"strasse"}),
        ("Café Łódź Ærø Nguyễn", {"cafe", "lodz", "aero", "nguyen"}),
        ("ＡＢＣ　１２３ ﬁlm", {"abc", "123", "film"}),
        ("İstanbul ISTANBUL", {"istanbul"}),
        ("Άνθρωπος ΑΝΘΡΩΠΟΣ", {"ανθρωποσ"}),
        ("Ёлка елка", {"елка"}),
        ("йод", {"йод"}),
        ("שָׁלוֹם שלום", {"שלום"}),
        ("مُحَمَّد محمد", {"محمد"}),
        ("हिन्दी फ़िल्म", {normalise("हिन्दी"), normalise("फ़िल्म")}),
        ("co\u00adoperate می\u200cخواهم", {"cooperate", "میخواهم"}),
        ("٣ ३ 3", {"3"}),
        ("🔥 …", {"🔥"}),
        ("Pizza🍕🎸 👍🏽", {"pizza", "🍕", "🎸", "👍"}),
        ("القـاهرة القاهره", {"القاهره"}),
        ("مــــرحبا إلى", {"مرحبا", "الي"}),
        ("C, C++ and C#: F#, g++?", {"c", "c++", "and", "c#", "f#", "g++"}),
        ("model#5 a+b c+++ #tag", {"model", "5", "a", "b", "c", "tag"}),
        ("C++ für C#", {"c", "c++", "fur", "c#"}),
    ],
)
def test_words_of_spaced_scripts(text: str, words: set[str]) -> None:
    for form in ("NFC", "NFD"):
        assert words_of(unicodedata.normalize(form, text)) == words
        assert query_words(unicodedata.normalize(form, text)) == words


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("北京烤鸭", {"北京", "京烤", "烤鸭"}),
        ("iPhone手机壳", {"iphone", "手机", "机壳"}),
        ("東京タワー ﾀﾜｰ", {"東京", "京タ", "タワ", "ワー"}),
        ("서울의 밤", {"서울", "울의", "밤"}),
        ("がぎ", {"がぎ"}),
        ("𠮷野家", {"𠮷野", "野家"}),
        ("ง่าย", {"ง่า", "าย"}),
        ("猫", {"猫"}),
    ],
)
def test_words_of_unspaced_scripts_are_pairs(text: str, pairs: set[str]) -> None:
    for form in ("NFC", "NFD"):
        assert query_words(unicodedata.normalize(form, text)) == pairs


def test_a_query_of_one_character_finds_it_within_a_text() -> None:
    assert query_words("猫") <= words_of("黑猫警长")
    assert not query_words("狗") <= words_of("黑猫警长")


def test_dakuten_and_vowel_signs_distinguish_words() -> None:
    assert words_of("か") != words_of("が")
    assert words_of("कि") != words_of("की")


def test_the_text_model_sees_composed_text_with_its_case() -> None:
    assert composed(unicodedata.normalize("NFD", "Café ＡＢＣ\u00ad")) == "Café ABC"
