import pytest

from limelight.models.topics.queues import (
    QueueSettings,
    RecallSettings,
    RecentTopics,
    TopicQueues,
    recall,
)


def shown(queues: TopicQueues[str], video: str, exposures: int, clicks: int) -> None:
    for number in range(exposures):
        queues.expose(video, clicked=number < clicks)


def test_a_queue_keeps_what_is_clicked_and_a_tenth_of_fresh_videos() -> None:
    queues: TopicQueues[str] = TopicQueues()
    for number in range(18):
        queues.add(f"good {number}", [0])
        # CTR 0.10 to 0.95.
        shown(queues, f"good {number}", 20, 2 + number)
    for name, clicks in (("poor", 1), ("just enough", 7)):
        queues.add(name, [0])
        shown(queues, name, 100, clicks)
    for number in range(30):
        queues.add(f"fresh {number}", [0])
    found = queues.queue(0)
    # 19 kept, "poor" (CTR 0.01) dropped; 3 fresh of 22 are the fewest that make a tenth.
    assert [name for name in found if name.startswith("good")] == [
        f"good {number}" for number in reversed(range(18))
    ]
    assert "poor" not in found
    assert found[18] == "just enough"
    assert len(found) == 22
    assert all(name.startswith("fresh") for name in found[19:])
    assert queues.queue(0) == found
    assert TopicQueues[str]().queue(0) == []


def test_the_order_follows_clicks_as_they_arrive() -> None:
    queues: TopicQueues[str] = TopicQueues()
    for name in ("a", "b"):
        queues.add(name, [1])
        shown(queues, name, 10, 5)
    assert queues.queue(1) == ["a", "b"]
    queues.expose("b", clicked=True)
    assert queues.queue(1) == ["b", "a"]
    queues.expose("b", clicked=False)
    queues.expose("b", clicked=False)
    assert queues.queue(1) == ["a", "b"]
    # A video that nobody clicks any more falls out: 6 of 88 are less than 0.07.
    shown(queues, "b", 75, 0)
    assert queues.queue(1) == ["a"]


def test_ten_exposures_are_enough_and_nine_are_not() -> None:
    queues: TopicQueues[str] = TopicQueues(QueueSettings(fresh_share=0.0))
    for name, exposures in (("nine", 9), ("ten", 10)):
        queues.add(name, [0])
        shown(queues, name, exposures, 9)
    assert queues.queue(0) == ["ten"]


def test_a_topic_of_fresh_videos_alone_offers_one() -> None:
    queues: TopicQueues[str] = TopicQueues()
    for name in "abc":
        queues.add(name, [0])
    assert len(queues.queue(0)) == 1


def test_a_video_stands_in_the_queues_of_all_its_topics() -> None:
    queues: TopicQueues[str] = TopicQueues()
    queues.add("a", [0, 2])
    assert (queues.queue(0), queues.queue(1), queues.queue(2)) == (["a"], [], ["a"])
    with pytest.raises(ValueError, match="video: found 'x', expected one that was added"):
        queues.expose("x", clicked=True)


def test_a_users_topics_are_those_of_the_latest_clicks() -> None:
    recent = RecentTopics(recent_clicks=3)
    for topics in ([1], [1, 2], [3], [3, 2]):
        recent.click(topics)
    # The first click is forgotten: 2 twice, 3 twice, 1 once.
    assert recent.top() == [2, 3, 1]
    assert recent.top(1) == [2]
    recent.click([])
    recent.click([])
    assert recent.top() == [2, 3]


def test_candidates_come_in_turn_from_the_top_topics_each_once() -> None:
    queues: TopicQueues[str] = TopicQueues()
    videos = {"a": (9, [0]), "b": (8, [0, 1]), "c": (7, [0]), "d": (9, [1]), "e": (6, [1])}
    for name, (clicks, topics) in {**videos, "f": (9, [2])}.items():
        queues.add(name, topics)
        shown(queues, name, 10, clicks)
    recent = RecentTopics()
    for topics in ([0], [0], [1], [2]):
        recent.click(topics)
    # Topic 0: a b c, topic 1: d b e; topic 2 is the third and left out.
    settings = RecallSettings(topics=2)
    assert recall(recent, queues, settings) == ["a", "d", "b", "c", "e"]
    assert recall(recent, queues, RecallSettings(topics=2, candidates=3)) == ["a", "d", "b"]
    assert recall(recent, queues) == ["a", "d", "f", "b", "c", "e"]
    assert recall(RecentTopics(), queues) == []


def test_the_papers_numbers_are_the_defaults() -> None:
    assert (QueueSettings().least_exposures, QueueSettings().least_ctr) == (10, 0.07)
    assert QueueSettings().fresh_share == 0.1
    found = RecallSettings()
    assert (found.recent_clicks, found.topics, found.candidates) == (128, 4, 600)
    with pytest.raises(ValueError, match="topics: found 0"):
        RecallSettings(topics=0)
