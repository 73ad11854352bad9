"""Which words may be a title."""

import pytest

from limelight.replay.enrichment.titles import sentences, title_candidates


def texts(**peak: object) -> list[tuple[str, str]]:
    return [(each.text, each.origin) for each in title_candidates({"peak": peak})]


def test_speech_is_parted_into_sentences_and_comes_before_comments() -> None:
    found = texts(speech="音乐准备好了 这支舞练了很久！太有意思了", strongest_comments=["666"])
    assert found == [
        ("音乐准备好了", "speech"),
        ("这支舞练了很久", "speech"),
        ("太有意思了", "speech"),
        ("666", "comment"),
    ]


def test_english_keeps_its_spaces() -> None:
    assert sentences("My fellow americans, ask not. What a day! v2.0 is out") == [
        "My fellow americans, ask not",
        "What a day",
        "v2.0 is out",
    ]


def test_a_given_title_is_the_only_one() -> None:
    (title,) = title_candidates({"peak": {"speech": "别的"}}, "  给定的标题 ")
    assert (title.text, title.origin) == ("给定的标题", "given")


@pytest.mark.parametrize("text", ["", "   ", "🔥🔥", "！！？", "\u200b"])
def test_what_has_no_letter_says_nothing(text: str) -> None:
    assert texts(speech=text, strongest_comments=[text]) == []


def test_a_title_is_one_printable_line_of_60_characters() -> None:
    found = texts(speech="", strongest_comments=["一\x1b[31m二\n三\t四" + "长" * 100])
    assert found == [("一 [31m二 三 四" + "长" * 49, "comment")]
    assert len(found[0][0]) == 60


def test_a_sentence_said_twice_is_one_title_and_there_are_twelve_at_most() -> None:
    many = "。".join(f"Sentence {n}" for n in range(30)) + "。sentence 0"
    assert [text for text, _ in texts(speech=many)] == [f"Sentence {n}" for n in range(12)]


def test_a_highlight_without_a_peak_has_no_title() -> None:
    assert title_candidates({}) == []
