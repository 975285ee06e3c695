"""Embeddings wait for their release, and releases for their embeddings."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from eddy.contract.legacy import LEGACY_CONTRACT
from eddy.contract.limits import MAX_GRAPH_BYTES
from eddy.contract.message import Message
from eddy.contract.model import DIM
from eddy.contract.releases import ReleaseKeys, sign_embeddings, sign_release
from eddy.errors import PoisonError
from eddy_scorer.core.model.releases import MAX_STAGED_BYTES, ReleaseStaging
from tests.release_keys import KEYS, OTHER_KEY
from tests.scorer.graphs import embedding, release

MESSAGE = Message("model-releases", 0, 0, b"champion", b"", 0)


def _row(item_id: str, version: int, value: float) -> dict[str, Any]:
    return embedding(item_id, version, np.full(DIM, value), bias=value)


def _offer(
    staging: ReleaseStaging, version: int, offsets: list[int] | None = None, serving: int = 0, **changes: Any
) -> None:
    staging.stage_release(release(version, offsets, encode=b"e", rank=b"r", **changes), MESSAGE, serving)


def test_release_waits_until_its_embeddings_are_read() -> None:
    staging = ReleaseStaging(KEYS)
    _offer(staging, 1, [5, 3])
    assert staging.next_complete({0: 5, 1: 2}) is None
    offer = staging.next_complete({0: 5, 1: 3})
    assert offer and offer.version == 1
    staging.activated(offer)
    assert staging.next_complete({0: 9, 1: 9}) is None


def test_newest_complete_release_is_next() -> None:
    staging = ReleaseStaging(KEYS)
    for version, end in ((1, 1), (2, 2), (3, 9)):
        _offer(staging, version, [end])
    offer = staging.next_complete({0: 4})
    assert offer and offer.version == 2
    staging.activated(offer)
    assert staging.next_complete({0: 4}) is None
    later = staging.next_complete({0: 9})
    assert later and later.version == 3


def test_older_release_replaces_one_that_does_not_run() -> None:
    staging = ReleaseStaging(KEYS)
    _offer(staging, 1)
    _offer(staging, 2)
    broken = staging.next_complete({})
    assert broken and broken.version == 2
    staging.rejected(broken)
    offer = staging.next_complete({})
    assert offer and offer.version == 1


def test_release_that_serves_already_is_ignored() -> None:
    staging = ReleaseStaging(KEYS)
    _offer(staging, 4, serving=4)
    challenger = Message("model-releases", 0, 0, b"challenger", b"", 0)
    staging.stage_release(release(5, slot="challenger", encode=b"e", rank=b"r"), challenger, 4)
    assert staging.next_complete({}) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"contract": "0123456789abcdef"}, "contract_mismatch"),
        ({"signature": "0" * 64}, "bad_signature"),
        ({"version": 0}, "bad_release"),
    ],
)
def test_invalid_release_is_refused(changes: dict[str, Any], reason: str) -> None:
    staging = ReleaseStaging(KEYS)
    with pytest.raises(PoisonError) as refused:
        staging.stage_release(release(changes.pop("version", 1), encode=b"e", rank=b"r", **changes), MESSAGE, 0)
    assert refused.value.reason == reason
    assert staging.next_complete({}) is None


def test_release_takes_the_newest_embedding_up_to_its_version() -> None:
    staging = ReleaseStaging(KEYS)
    for record in (_row("a", 1, 1.0), _row("a", 2, 2.0), _row("a", 3, 3.0), _row("b", 1, 1.5), _row("c", 3, 3.5)):
        staging.stage_embedding(record)
    rows = staging.take_embeddings(2)
    assert dict(zip(rows.item_ids, rows.bias.tolist(), strict=True)) == {"a": 2.0, "b": 1.5}
    assert rows.vectors.tolist() == [[2.0] * DIM, [1.5] * DIM]
    rest = staging.take_embeddings(3)
    assert dict(zip(rest.item_ids, rest.bias.tolist(), strict=True)) == {"a": 3.0, "c": 3.5}
    assert staging.staged_items() == []


def test_item_without_an_embedding_takes_a_later_one() -> None:
    staging = ReleaseStaging(KEYS)
    staging.stage_embedding(_row("a", 5, 5.0))
    staging.stage_embedding(_row("b", 5, 5.0))
    assert staging.take_embeddings(4, frozenset({"a"})).item_ids == ["a"]
    assert staging.staged_items() == ["b"]


def test_expired_embedding_is_dropped_with_the_next_release() -> None:
    staging = ReleaseStaging(KEYS)
    staging.stage_embedding(_row("a", 1, 1.0))
    staging.stage_embedding(_row("b", 2, 1.0))
    staging.stage_expiry("a")
    update = staging.take_embeddings(1)
    assert (update.item_ids, update.expired) == ([], ["a"])
    assert staging.take_embeddings(2).item_ids == ["b"]


def test_the_last_row_written_is_the_item_s() -> None:
    """After a restart of the versions, as after a change of keys; forged rows of far-future versions do not stay either."""
    staging = ReleaseStaging(KEYS)
    staging.stage_embedding(_row("a", 57, 57.0))
    staging.stage_embedding(_row("a", 2**52, 9.0))
    staging.stage_embedding(_row("a", 1, 1.0))
    assert staging.take_embeddings(2**53).bias.tolist() == [1.0]
    for version in range(1, 1000):
        staging.stage_embedding(_row("a", version, 1.0))
    assert len(staging._staged["a"]) < 100


def test_far_future_releases_shut_out_no_genuine_one() -> None:
    staging = ReleaseStaging(KEYS)
    for version in (2**40, 2**50, 2**53):
        forged = sign_release(release(version, encode=b"e", rank=b"r"), OTHER_KEY)
        with pytest.raises(PoisonError, match="bad_signature"):
            staging.stage_release(forged, MESSAGE, 0)
        with pytest.raises(PoisonError, match="bad_signature"):
            _offer(staging, version, signature="0" * 64)
    _offer(staging, 4)
    offer = staging.next_complete({})
    assert offer and offer.version == 4


@pytest.mark.parametrize(
    "broken",
    [
        {"vector": b"123"},
        {"vector": np.full(DIM, np.nan, "<f4").tobytes()},
        {"bias": float("inf")},
        {"item_id": ""},
        {"version": 0},
        {"version": 2**62},
    ],
)
def test_invalid_embedding_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(PoisonError):
        ReleaseStaging(KEYS).stage_embedding(_row("a", 1, 1.0) | broken)


def _signature_of(embeddings: list[Any], key: Ed25519PrivateKey) -> bytes:
    sign_embeddings(embeddings, key)
    return bytes(embeddings[0]["signature"])


@pytest.mark.parametrize(
    "forgery",
    [
        {"signature": b""},
        {"signature": b"x" * 72},
        {"signature": embedding("a", 1, np.full(DIM, 2.0))["signature"]},
        {"vector": np.full(DIM, 2.0, "<f4").tobytes()},
        {"bias": 9.0},
        {"version": 2},
        {"item_id": "b"},
        {"signature": _signature_of([embedding("a", 1, np.full(DIM, 1.0))], OTHER_KEY)},
        {"signature": embedding("a", 1, np.full(DIM, 1.0))["signature"] + b"x" * 16},
        {"signature": embedding("a", 1, np.full(DIM, 1.0))["signature"][:-1]},
    ],
    ids=["unsigned", "junk", "of another row", "vector", "bias", "version", "item", "another key", "longer", "shorter"],
)
def test_an_embedding_that_no_trainer_signed_is_refused(forgery: dict[str, Any]) -> None:
    staging = ReleaseStaging(KEYS)
    staging.stage_embedding(_row("a", 1, 1.0))
    with pytest.raises(PoisonError) as refused:
        staging.stage_embedding(_row("a", 1, 1.0) | forgery)
    assert refused.value.reason == "bad_signature"
    assert staging.take_embeddings(9).bias.tolist() == [1.0]
    assert staging.staged_items() == []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 500])
def test_embeddings_that_are_signed_together_are_each_authentic(size: int) -> None:
    rows: list[Any] = [embedding(f"m{number}", 1, np.full(DIM, number)) for number in range(size)]
    sign_embeddings(rows, OTHER_KEY)
    keys = ReleaseKeys([OTHER_KEY.public_key()])
    for number in (0, size // 2, size - 1):
        keys.check_embedding(rows[number])
        other = rows[(number + 1) % size]
        forgeries = [rows[number] | {"bias": 1.0}, rows[number] | {"item_id": "mine"}]
        if size > 1:
            forgeries += [other | {"signature": rows[number]["signature"]}, rows[number] | {"vector": other["vector"]}]
        for forgery in forgeries:
            with pytest.raises(PoisonError, match="bad_signature"):
                keys.check_embedding(forgery)


def test_before_any_release_serves_all_are_kept_up_to_a_limit_in_bytes() -> None:
    staging = ReleaseStaging(KEYS)
    for version in range(1, 31):
        _offer(staging, version)
    for version in range(30, 0, -1):
        offer = staging.next_complete({})
        assert offer and offer.version == version
        staging.rejected(offer)
    assert staging.next_complete({}) is None
    large = b"e" * MAX_GRAPH_BYTES
    for version in range(1, 30):
        staging.stage_release(release(version, encode=large, rank=large), replace(MESSAGE, value=2 * large), 0)
    kept = len(staging._releases)
    assert kept * 2 * MAX_GRAPH_BYTES <= MAX_STAGED_BYTES < (kept + 1) * 2 * MAX_GRAPH_BYTES
    _offer(staging, 40, serving=39)
    assert len(staging._releases) == 3


def test_refused_releases_leave_one_embedding_per_item() -> None:
    staging = ReleaseStaging(KEYS)
    for version in range(1, 50):
        staging.stage_embedding(_row("m", version, float(version)))
        with pytest.raises(PoisonError):
            _offer(staging, version, contract="of another code")
    assert len(staging._staged["m"]) == 1
    _offer(staging, 50)
    _offer(staging, 51)
    staging.stage_embedding(_row("m", 51, 51.0))
    assert staging.take_embeddings(50).bias.tolist() == [49.0]
    assert staging.take_embeddings(51).bias.tolist() == [51.0]


def test_release_with_other_features_and_actions_is_accepted() -> None:
    staging = ReleaseStaging(KEYS)
    _offer(staging, 1, features=["popularity", "another"], actions=["like"])
    _offer(staging, 2, contract=LEGACY_CONTRACT, features=[], actions=[])
    assert staging.next_complete({})


def test_signature_covers_names() -> None:
    staging = ReleaseStaging(KEYS)
    record = release(1, encode=b"e", rank=b"r")
    with pytest.raises(PoisonError, match="bad_signature"):
        staging.stage_release(record | {"features": record["features"][::-1]}, MESSAGE, 0)
