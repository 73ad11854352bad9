from pathlib import Path

import numpy as np
import pytest

from limelight.models.topics.topics import Topics, fit_centres, topic_names


def topics(**changes: object) -> Topics:
    rng = np.random.default_rng(3)
    fields: dict[str, object] = {
        "centres": rng.standard_normal((6, 5)).astype(np.float32),
        "tag_embeddings": rng.standard_normal((4, 2)).astype(np.float32),
        "joint_mean": rng.standard_normal(3).astype(np.float32),
        "tag_mean": rng.standard_normal(2).astype(np.float32),
        "threshold": 0.6,
        "tags": ["a", "b", "c", "🎉"],
        "names": [["a"], [], ["b", "c"], ["c"], ["🎉"], ["b"]],
    }
    return Topics(**(fields | changes))  # type: ignore[arg-type]


def test_both_parts_have_the_same_length_in_a_representation() -> None:
    joint = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32) * 100
    found = topics().representations(joint, [["a"], ["b", "c"], ["unseen"]])
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found[:2, :2], axis=1), np.sqrt(0.5), rtol=1e-6)
    # Without a known tag the other part takes all.
    assert found[2, :2].tolist() == [0, 0]
    given = topics()
    expected = joint[2] - given.joint_mean
    np.testing.assert_allclose(found[2, 2:], expected / np.linalg.norm(expected), rtol=1e-5)


def test_topics_are_all_centres_within_the_threshold_the_closest_first() -> None:
    given = topics(threshold=0.2)
    rows = np.random.default_rng(1).standard_normal((50, 5)).astype(np.float32)
    for row, found in zip(
        rows, given.assign(rows / np.linalg.norm(rows, axis=1)[:, None]), strict=True
    ):
        cosines = [
            float(row @ centre / np.linalg.norm(row) / np.linalg.norm(centre))
            for centre in given.centres
        ]
        expected = sorted((-cosine, at) for at, cosine in enumerate(cosines) if cosine >= 0.2)
        if not expected:
            expected = [(-max(cosines), int(np.argmax(cosines)))]
        assert [topic for topic, _ in found] == [topic for _, topic in expected]
        np.testing.assert_allclose([c for _, c in found], [-c for c, _ in expected], rtol=1e-4)


def test_a_video_far_from_all_topics_gets_the_closest_with_its_cosine() -> None:
    centres = np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], np.float32)
    row = np.array([[0.5, 0.4, 0.768, 0, 0]], np.float32)
    ((found,),) = topics(centres=centres, names=[["a"], ["b"]]).assign(row)
    assert found == (0, pytest.approx(0.5))


def test_a_video_of_which_nothing_is_known_has_no_topic() -> None:
    given = topics()
    nothing = given.representations(np.zeros((1, 3), np.float32), [["unseen"]])
    assert given.assign(nothing) == [[]]


def test_topics_are_read_as_they_were_saved(tmp_path: Path) -> None:
    given = topics()
    given.save(tmp_path)
    found = Topics.load(tmp_path)
    rows = np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32)
    tags = [["a", "🎉"], []] * 10
    assert found.assign(found.representations(rows, tags)) == given.assign(
        given.representations(rows, tags)
    )
    assert (found.tags, found.names) == (given.tags, given.names)
    (tmp_path / "tags.json").write_text("{}")
    with pytest.raises(ValueError, match=r"expected topics\.safetensors and"):
        Topics.load(tmp_path)


def test_planted_clusters_are_found() -> None:
    rng = np.random.default_rng(0)
    planted = rng.standard_normal((5, 8)) * 5
    owner = np.repeat(np.arange(5), 40)
    rows = (planted[owner] + 0.1 * rng.standard_normal((200, 8))).astype(np.float32)
    centres = fit_centres(rows, 5)
    nearest = np.linalg.norm(rows[:, None] - centres, axis=2).argmin(axis=1)
    assert len({(int(a), int(b)) for a, b in zip(owner, nearest, strict=True)}) == 5
    np.testing.assert_array_equal(fit_centres(rows, 5), centres)


def test_fewer_different_videos_than_topics_are_refused() -> None:
    rows = np.eye(4, dtype=np.float32)[[0, 1, 2, 2, 2]]
    with pytest.raises(ValueError, match="num_topics: found 4 for 3 different videos of 5"):
        fit_centres(rows, 4)
    assert fit_centres(rows, 3).shape == (3, 4)
    with pytest.raises(ValueError, match="found 1 for 0 different videos of 2"):
        fit_centres(np.zeros((2, 4), np.float32), 1)


def test_a_topic_is_named_by_tags_that_others_lack() -> None:
    tags = [["all", "x"], ["all", "x"], ["all", "y"], ["all"], []]
    names = topic_names([0, 0, 1, 1, -1], 3, tags, [["c"]] * 5)
    assert names[0] == ["x", "all"]
    assert names[1] == ["y", "all"]
    assert names[2] == []
    assert topic_names([0, 0], 1, [[], []], [["c"], ["c", "d"]]) == [["c"]]


def test_parts_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"centres: found shape \(6, 4\), expected \(6, 5\)"):
        topics(centres=np.zeros((6, 4), np.float32))
    with pytest.raises(ValueError, match=r"joint: found shape \(1, 2\), expected \(1, 3\)"):
        topics().representations(np.zeros((1, 2), np.float32), [[]])
