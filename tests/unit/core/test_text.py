"""Text by one rule: any script is text; control characters and halves of surrogate pairs are not."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import LABEL_LENGTH_MAX, PROSE_LENGTH_MAX, is_id, is_label, is_prose, mended_label, mended_prose

anything = st.text(st.characters() | st.characters(categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), max_size=300)
C0, C1 = map(chr, range(0x20)), map(chr, range(0x7F, 0xA0))
CONTROLS = [*C0, *C1]
SURROGATES = ["\ud800", "\udbff", "\udc00", "\udfff"]
SCRIPTS = [
    "plain",
    "Bilan\u00a0: semaine 3",
    "\u4f1a\u8bae",
    "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f469\u200d\U0001f4bb",
    "\u202e\ufeff\u00ad\u2060",
    "\ue000\uffff",
    "\u3000",
]


@pytest.mark.parametrize("text", SCRIPTS, ids=ascii)
def test_any_script_is_text(text: str) -> None:
    assert is_label(text)
    assert is_prose(text)
    assert mended_label(text) == mended_prose(text) == text


@pytest.mark.parametrize("character", [*CONTROLS, *SURROGATES, "\u2028", "\u2029"], ids=ascii)
def test_control_characters_line_ends_and_halves_of_characters_are_in_no_label_and_no_id(character: str) -> None:
    for text in (character, f"a{character}", f"{character}b", f"a\u00a0{character}b"):
        assert not is_label(text)
        assert not is_id(text)


@pytest.mark.parametrize("character", [*CONTROLS, *SURROGATES, "\u2028", "\u2029"], ids=ascii)
def test_of_these_only_tabs_and_line_ends_are_in_prose(character: str) -> None:
    assert is_prose(f"a{character}b") == (character in "\t\n\r\u2028\u2029")


@pytest.mark.parametrize("text", ["", "x" * 256, " a", "a ", "\u00a0a", "a\u3000", "\u2003", " "], ids=ascii)
def test_an_id_has_1_to_255_characters_and_no_white_space_at_either_end(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize("text", ["a", "x" * 255, "\U0001f600" * 255, "a b", "a\u00a0b", "\u200ba\u200b", "\ufeffa"], ids=ascii)
def test_an_id_may_have_anything_else(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize(
    ("text", "mended"),
    [("a\tb", "a b"), ("a\r\nb\nc", "a b c"), ("a\x85b\u2028c\u2029d", "a b c d"), ("a\x00b\x1b", "a\ufffdb\ufffd"), ("\ud800", "\ufffd")],
    ids=ascii,
)
def test_a_label_is_mended_in_one_line(text: str, mended: str) -> None:
    assert mended_label(text) == mended


@given(text=anything)
def test_what_is_mended_is_text(text: str) -> None:
    assert is_label(mended_label(text))
    assert is_prose(mended_prose(text))
    assert (mended_label(text) == text) == (is_label(text) and len(text) <= LABEL_LENGTH_MAX)
    assert (mended_prose(text) == text) == is_prose(text)


@given(text=anything, length_max=st.integers(1, 20))
def test_what_is_too_long_is_cut_and_marked(text: str, length_max: int) -> None:
    for mend in (mended_label, mended_prose):
        mended = mend(text, length_max)
        assert len(mended) <= length_max
        assert mended.endswith("…") or len(text) <= length_max


@pytest.mark.parametrize(("mend", "length_max"), [(mended_label, LABEL_LENGTH_MAX), (mended_prose, PROSE_LENGTH_MAX)])
def test_a_text_is_cut_no_shorter_than_it_has_to_be(mend: Callable[[str], str], length_max: int) -> None:
    assert mend("x" * length_max) == "x" * length_max
    assert mend("x" * (length_max + 1)) == "x" * (length_max - 1) + "…"
