"""The vocabulary of the small BERTs: single characters, of what rooms and titles write."""

# The last is the selector that asks for the coloured form of the character before it.
_COMMON_EMOJI = "❤👍👏🔥🎉💯🌹🎁🤣🤔🥰✨⭐\ufe0f"
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def character_vocabulary() -> dict[str, int]:
    """Token to number: ASCII, kana, faces, CJK punctuation and the 3755 commonest hanzi.

    Letters, kana and faces also come as "##" pieces, since BERT's pre-tokenizer keeps words of
    them whole, and one character unknown makes the whole word unknown; it parts hanzi by itself.
    """
    ascii_characters = [chr(code) for code in range(0x21, 0x7F)]
    kana = [chr(code) for code in (*range(0x3041, 0x3097), *range(0x30A1, 0x30FB), 0x30FC)]
    faces = [*(chr(code) for code in range(0x1F600, 0x1F650)), *_COMMON_EMOJI]
    punctuation = [chr(code) for code in (*range(0x3001, 0x3012), 0x301C, 0x00B7, 0x2026, 0x30FB)]
    full_width = [chr(code) for code in range(0xFF01, 0xFF5F)]
    tokens = [
        *_SPECIAL_TOKENS,
        *ascii_characters,
        *kana,
        *faces,
        *(f"##{character}" for character in (*ascii_characters, *kana) if character.isalnum()),
        *(f"##{character}" for character in faces),
        *punctuation,
        *full_width,
        *_gb2312_level_1(),
    ]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def _gb2312_level_1() -> list[str]:
    # Rows 16 to 55 hold the common hanzi by pronunciation; row 55 ends with five empty places.
    codes = (bytes([0xA0 + row, 0xA0 + cell]) for row in range(16, 56) for cell in range(1, 95))
    return [character for code in codes if (character := code.decode("gb2312", "ignore"))]
