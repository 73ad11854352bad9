"""User ids are hashed with a key, in a way that any gateway can repeat."""

import hashlib
import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from limelight.streams.settings import PrivacySettings
from limelight.streams.user_ids import hash_user, make_user_key

OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"


def hmac_sha256(key: bytes, content: bytes) -> bytes:
    """HMAC by its definition (RFC 2104), for keys of at most 64 bytes."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + content).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


def test_the_published_vector_of_a_truncated_hmac() -> None:
    # RFC 4231, test case 5.
    assert hash_user(b"\x0c" * 20, "Test With Truncation") == "a3b6167473100ee06e0c796c2955552b"


def test_the_guides_example_is_what_the_definition_gives() -> None:
    text = OPERATIONS.read_text()
    key, user, expected = re.search(
        r"with the key\n`([^`]+)` the id `([^`]+)` becomes `(\w+)`", text
    ).groups()  # type: ignore[union-attr]
    assert hmac_sha256(key.encode(), user.encode())[:16].hex() == expected
    assert hash_user(key.encode(), user) == expected
    assert (key in (hash_user.__doc__ or ""), expected in (hash_user.__doc__ or "")) == (True, True)


def test_who_is_not_named_stays_nobody() -> None:
    assert hash_user(b"key", "") == ""
    assert hash_user(b"key", "房") == hmac_sha256(b"key", "房".encode())[:16].hex()


def test_without_a_key_each_run_has_its_own() -> None:
    assert make_user_key(SecretStr("given by someone")) == b"given by someone"
    first, second = make_user_key(SecretStr("")), make_user_key(SecretStr(""))
    assert len(first) == 32
    assert first != second


def test_a_key_that_could_be_guessed_is_refused_without_being_told() -> None:
    with pytest.raises(ValidationError, match="found 6 bytes, expected at least 16") as caught:
        PrivacySettings(user_key=SecretStr("hidden"))
    assert "hidden" not in str(caught.value)
