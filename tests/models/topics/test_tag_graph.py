import numpy as np
import pytest

from limelight.models.topics.config import tiny
from limelight.models.topics.tag_graph import mean_tag_embedding, tag_embeddings, tag_graph


def test_an_edge_weighs_how_many_videos_have_both_tags() -> None:
    videos = [["b", "a"], ["a", "b", "c", "a"], ["c"], [], ["a", "d"]]
    graph = tag_graph(videos)
    assert graph.tags == ["a", "b", "c", "d"]
    found = {}
    for node, tag in enumerate(graph.tags):
        for edge in range(graph.offsets[node], graph.offsets[node + 1]):
            found[tag, graph.tags[graph.neighbours[edge]]] = graph.weights[edge]
    expected = {}
    for one in "abcd":
        for other in "abcd":
            both = sum(one in video and other in video for video in videos)
            if one != other and both:
                expected[one, other] = both
    assert found == expected


def test_the_most_frequent_tags_are_kept() -> None:
    graph = tag_graph([["a", "b"], ["b", "c"], ["c", "b"]], most_tags=2)
    assert graph.tags == ["b", "c"]
    assert graph.weights.tolist() == [2, 2]


def test_tags_that_stand_together_are_closer_than_others() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 300)
    videos = [[f"{group}.{tag}" for tag in rng.integers(0, 6, 3)] for group in groups]
    # Groups must touch, or no walk would ever leave one.
    videos += [["0.0", "1.0"], ["1.0", "2.0"], ["2.0", "3.0"]]
    graph = tag_graph(videos)
    vectors = tag_embeddings(graph, tiny(), seed=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    group_of = np.array([int(tag[0]) for tag in graph.tags])
    same = group_of[:, None] == group_of[None]
    assert cosines[same].mean() > cosines[~same].mean() + 0.2
    np.testing.assert_array_equal(
        tag_embeddings(graph, tiny(), seed=1), tag_embeddings(graph, tiny(), seed=1)
    )


def test_a_graph_without_edges_gives_every_tag_a_vector_of_its_own() -> None:
    vectors = tag_embeddings(tag_graph([["a"], ["b"], ["c"]]), tiny())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert np.abs(vectors @ vectors.T - np.eye(3)).max() < 0.6


def test_no_tags_at_all_give_no_vectors() -> None:
    assert tag_embeddings(tag_graph([[], []]), tiny()).shape == (0, 32)


def test_a_video_is_the_mean_of_its_known_tags() -> None:
    embeddings = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 5.0]], np.float32)
    numbers = {"a": 0, "b": 1, "🎉": 2}
    found = mean_tag_embedding(
        [["a", "b"], ["a", "unseen", "a"], [], ["unseen"], ["🎉"]], numbers, embeddings
    )
    assert found.tolist() == [[2, 4], [1, 2], [0, 0], [0, 0], [5, 5]]


def test_nobody_has_tags() -> None:
    empty = np.zeros((0, 2), np.float32)
    assert mean_tag_embedding([["a"], []], {}, empty).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("seed", [0, 2**40])
def test_any_seed_can_be_taken(seed: int) -> None:
    assert np.isfinite(tag_embeddings(tag_graph([["a", "b"]]), tiny(), seed=seed)).all()
