"""The queue of texts to embed: unchanged ones are not queued, and new ones come first."""

import unicodedata

from eddy.text_queue import NO_TEXT, TextQueue, text_digest


def test_unchanged_texts_are_not_queued() -> None:
    queue: TextQueue[int] = TextQueue()
    queue.put(1, "heat", text_digest("heat"))
    queue.put(2, "Café", text_digest(unicodedata.normalize("NFD", "Café")))
    queue.put(3, " ", NO_TEXT)
    assert len(queue) == 0


def test_new_texts_come_before_changed_ones_and_the_newest_first() -> None:
    queue: TextQueue[str] = TextQueue()
    for key in "ab":
        queue.put(key, "changed", text_digest("former"))
    for key in "cd":
        queue.put(key, "new", NO_TEXT)
    queue.put("c", "new", NO_TEXT)
    assert [key for key, _ in queue.take(3)] == ["d", "c", "a"]
    assert queue.take(9) == [("b", "changed")]


def test_a_pending_text_is_replaced_or_withdrawn() -> None:
    queue: TextQueue[int] = TextQueue()
    queue.put(1, "second", text_digest("first"))
    queue.put(1, "third", text_digest("first"))
    queue.put(2, "second", text_digest("first"))
    queue.put(2, "first", text_digest("first"))
    queue.put(3, "", text_digest("first"))
    assert queue.take(9) == [(1, "third"), (3, "")]


def test_a_restored_queue_keeps_all_texts() -> None:
    queue: TextQueue[int] = TextQueue()
    queue.put(1, "changed", text_digest("former"))
    queue.put(2, "new", NO_TEXT)
    restored: TextQueue[int] = TextQueue()
    restored.restore(queue.state())
    assert dict(restored.take(9)) == {1: "changed", 2: "new"}
