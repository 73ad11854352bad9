from limelight.replay.readers.json_fields import user_of


def test_the_first_name_that_is_there_is_taken() -> None:
    assert user_of({"a": "", "b": 5, "c": "ann"}, "a", "b", "c") == "ann"


def test_without_a_name_the_user_is_unknown() -> None:
    assert user_of({}, "a") == ""
    assert user_of(None, "a") == ""
