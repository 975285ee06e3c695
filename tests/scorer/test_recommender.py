"""The recommender from records to slates: sources, filters, exploration slots, reasons."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from eddy.contract.codec import Codec, Record
from eddy.contract.model import ACTIONS, DIM, FEATURES, Columns, hash_of_contract
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.state.counts import ORDER_LENGTH
from tests.scorer.factories import (
    DAY,
    NOW,
    counts,
    features_of,
    history,
    item,
    item_features,
    item_ids_of,
    recommend,
    recommender,
    rejected_items,
    request,
    scenarios,
    seen_items,
    user_features,
)
from tests.scorer.graphs import encode_graph, rank_graph

SIZE = 200


def _engine_of(size: int = SIZE, **changes: Any) -> Recommender:
    """Items m1..m<size> of increasing popularity."""
    engine = recommender()
    for number in range(1, size + 1):
        engine.apply_item(item(f"m{number}"))
        engine.apply_item_features(item_features(f"m{number}", acted=float(number), **changes))
    return engine


def _one_hot(axis: int, length: float = 1.0) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    vector = np.zeros(DIM, np.float32)
    vector[axis] = length
    return vector


def _items_of(record: Record, source: str) -> list[str]:
    return [entry["item_id"] for entry in record["items"] if entry["source"] == source]


def test_empty_state_gives_an_empty_slate() -> None:
    (record,) = recommend(recommender(), request())
    assert record["items"] == []
    assert record["considered"] == []
    assert record["applied_offset"] == -1
    Codec.of("recommendations").encode(record)


def test_record_contains_everything_that_training_needs() -> None:
    engine = _engine_of()
    engine.apply_user_features(user_features("u", ["m1", "m2"]))
    (record,) = recommend(engine, request("u", request_id="r-1", limit=7, requested_at=NOW + 5))
    again = Codec.of("recommendations").decode(Codec.of("recommendations").encode(record))
    assert item_ids_of(again) == item_ids_of(record)
    assert again["features"] == record["features"]
    assert (record["request_id"], record["user_id"], record["requested_at"], record["served_at"]) == (
        "r-1",
        "u",
        NOW + 5,
        1,
    )
    assert (record["model_version"], record["trigger"], record["applied_offset"]) == (0, "request", 2)
    assert [entry["position"] for entry in record["items"]] == list(range(7))
    assert record["history"] == history(["m1", "m2"])
    assert record["contract"] == hash_of_contract()
    assert len(record["features"]) == 2 * len(FEATURES) * len(record["considered"])
    assert set(item_ids_of(record)) <= set(record["considered"])
    assert len(record["considered"]) == len(set(record["considered"])) in (60, 61)


def test_new_user_without_model_gets_popular_and_trending_items() -> None:
    (record,) = recommend(_engine_of(), request("nobody", limit=4))
    assert item_ids_of(record)[:3] == ["m200", "m199", "m198"]
    assert {entry["reason"] for entry in record["items"][:3]} == {"trending"}


def test_covisited_item_leads_and_its_reason_names_the_cause() -> None:
    engine = _engine_of()
    engine.apply_item_features(item_features("m3", {"m7": 50.0}, acted=3.0, applied_offsets={"0": 2}))
    engine.apply_user_features(user_features("u", ["m8", "m7"]))
    (record,) = recommend(engine, request("u"))
    first = record["items"][0]
    assert (first["item_id"], first["source"], first["reason"]) == ("m3", "covisited", "covisited:m7")
    assert features_of(record, "m3")["from_covisited"] == 1.0


def test_newest_items_are_candidates() -> None:
    engine = _engine_of(first_at=NOW - 30 * DAY)
    engine.apply_item(item("brand-new", published_at=NOW - 1000))
    (record,) = recommend(engine, request("u"))
    assert "brand-new" in record["considered"]
    assert features_of(record, "brand-new")["is_new"] == 1.0


def test_an_item_is_recommended_from_its_publication_on() -> None:
    """In every scenario and by every source, by the time of each request; a release in the past has no effect."""
    engine = _engine_of(first_at=NOW - 30 * DAY)
    engine.apply_item_features(item_features("m7", {"later": 50.0}, acted=3.0, applied_offsets={"0": 2}))
    engine.apply_user_features(user_features("u", ["m7"]))
    for name, at in (("later", NOW + 200 * DAY), ("soon", NOW + 1), ("now", NOW), ("old", NOW - 9000 * DAY)):
        engine.apply_item(item(name, title="premiere", published_at=at))
        engine.apply_item_features(item_features(name, {"m7": 50.0}, acted=1000.0))
    engine.state.rebuild()
    released = {NOW - 1: {"old"}, NOW: {"old", "now"}, NOW + 1: {"old", "now", "soon"}}
    released[NOW + 200 * DAY] = {"old", "now", "soon", "later"}
    for scenario in scenarios().scenarios:
        changes = [
            {"requested_at": at, "scenario": scenario, "limit": 20, **change}
            for at in released
            for change in ({}, {"query": "premiere"}, {"candidates": ("later", "soon", "now", "old")})
        ]
        for given, record in zip(changes, recommend(engine, *(request("u", **each) for each in changes)), strict=True):
            names = {"later", "soon", "now", "old"} & set(record["considered"])
            assert names == released[given["requested_at"]], given
            assert record["items"][0]["item_id"] in names


def test_items_without_a_publication_time_are_new_when_they_arrive() -> None:
    engine = _engine_of(first_at=NOW - 30 * DAY)
    engine.apply_item(item("arrived"), arrived_at=NOW - 1000)
    (record,) = recommend(engine, request("u"))
    assert "arrived" in record["considered"]
    (earlier,) = recommend(engine, request("u", requested_at=NOW - 40 * DAY, limit=300))
    assert "arrived" in item_ids_of(earlier)


def test_seen_items_are_left_out_if_the_scenario_filters_them() -> None:
    engine = _engine_of()
    engine.apply_user_features(user_features("u", ["m200"], seen_items=seen_items("m199", "m200")))
    video, shop = recommend(engine, request("u", limit=60), request("u", limit=250, scenario="shop"))
    assert not {"m200", "m199"} & set(video["considered"])
    assert {"m200", "m199"} <= set(shop["considered"])


def test_rejected_items_do_not_come_back_within_the_days_of_the_scenario() -> None:
    engine = _engine_of()
    rejections = {"m200": NOW - 1000, "m199": NOW - 6 * DAY, "m198": NOW - 8 * DAY, "m197": NOW - 31 * DAY}
    engine.apply_user_features(user_features("u", rejected_items=rejected_items({**rejections, "unknown": NOW})))
    expected = {
        "video": {"m197"},
        "shop": {"m197"},
        "social": {"m197"},
        "music": {"m197", "m198"},
        "search": set(rejections),
    }
    assert expected.keys() == scenarios().scenarios.keys()
    slates = recommend(engine, *(request("u", scenario=name, limit=200) for name in expected))
    for record, kept in zip(slates, expected.values(), strict=True):
        assert set(rejections) & set(record["considered"]) == kept
        assert set(rejections) & set(item_ids_of(record)) == kept
    (given,) = recommend(engine, request("u", candidates=("m200", "m197")))
    assert item_ids_of(given) == ["m197"]
    (other,) = recommend(engine, request("v"))
    assert item_ids_of(other)[0] == "m200"


def test_a_rejected_item_of_the_history_leads_no_source_and_no_reason() -> None:
    """The user has played m8, then disliked it: items that go with it are not recommended for it."""
    engine = _engine_of()
    engine.apply_item_features(item_features("m3", {"m8": 50.0}, acted=3.0, applied_offsets={"0": 2}))
    engine.apply_user_features(user_features("liked", ["m7", "m8"]))
    engine.apply_user_features(user_features("rejected", ["m7", "m8"], rejected_items=rejected_items({"m8": NOW})))
    engine.state.rebuild()
    liked, rejected = recommend(engine, request("liked"), request("rejected"))
    assert liked["items"][0]["reason"] == "covisited:m8"
    assert not {entry["reason"] for entry in rejected["items"]} & {"covisited:m8", "similar_to:m8"}
    assert "m8" not in rejected["considered"]
    assert (liked["history"]["item_ids"], rejected["history"]["item_ids"]) == (["m7", "m8"], ["m7"])


def test_excluded_and_unavailable_items_are_left_out() -> None:
    engine = _engine_of()
    engine.state.rebuild()
    engine.apply_item(item("m200", available=False))
    engine.apply_item(item("m199", scenarios=["shop"]))
    # Orders are not rebuilt, so they still contain these items.
    (record,) = engine.recommend([request("u", limit=100, exclude=("m198", "unheard-of"))], 1)
    assert not {"m200", "m199", "m198"} & set(record["considered"])
    assert record["considered"][0] == "m197"


def test_item_that_was_never_published_is_recommended() -> None:
    engine = recommender()
    engine.apply_item_features(item_features("from-events", acted=3.0))
    assert item_ids_of(recommend(engine, request())[0]) == ["from-events"]
    assert item_ids_of(recommend(engine, request(scenario="shop"))[0]) == []


def test_exploration_slot_is_uniform_over_items_outside_the_slate() -> None:
    engine = _engine_of(100)
    engine.apply_user_features(user_features("u", ["m1", "m2"]))
    slates = recommend(engine, *[request("u", limit=5, exclude=("m3",))] * 3000)
    share = scenarios()["video"].exploration.probability
    last = [record["items"][-1] for record in slates]
    random_items = [entry for entry in last if entry["source"] == "random"]
    counts = Counter(entry["item_id"] for entry in random_items)
    assert len(random_items) == pytest.approx(3000 * share, rel=0.2)
    assert set(counts) <= {f"m{number}" for number in range(4, 97)}
    assert max(counts.values()) < 3000 * share / 93 * 4
    assert {entry["reason"] for entry in random_items} == {"exploration"}
    best = max((entry for entry in last if entry["source"] != "random"), key=lambda entry: entry["score"])
    assert best["propensity"] == pytest.approx(1 - share + share / 93)
    assert min(entry["propensity"] for entry in random_items) == pytest.approx(share / 93)
    assert {entry["propensity"] for entry in slates[0]["items"][:-1]} == {1.0}


def test_random_item_is_a_candidate_with_features() -> None:
    engine = _engine_of()
    slates = recommend(engine, *[request("u")] * 50)
    for record in slates:
        random_items = record["items"][-1]["item_id"]
        assert features_of(record, random_items)["popularity"] == pytest.approx(
            np.log1p(int(random_items[1:])), rel=1e-3
        )


def test_equal_seeds_give_equal_slates() -> None:
    once, again = (recommend(_engine_of(), *[request("u")] * 5) for _ in range(2))
    assert once == again


def test_long_slates_are_filled_up_to_the_limit() -> None:
    (record,) = recommend(_engine_of(), request("u", limit=150))
    assert len(set(item_ids_of(record))) == 150


def test_given_candidates_are_ranked_and_nothing_else() -> None:
    engine = _engine_of()
    engine.apply_user_features(user_features("u", ["m5"]))
    given_ids = ("m1", "unknown", "m5", "m9", "m7")
    (record,) = recommend(engine, request("u", limit=9, candidates=given_ids, exclude=("m7",)))
    assert item_ids_of(record) == ["m9", "m1"]
    assert record["considered"] == ["m1", "m9"]
    assert {entry["source"] for entry in record["items"]} == {"given"}
    assert {entry["propensity"] for entry in record["items"]} == {1.0}
    assert features_of(record, "m9")["total_interactions"] == pytest.approx(np.log1p(9), rel=1e-3)
    assert engine.state.catalogue.find("unknown") == 0


def test_given_items_need_not_be_published_in_a_scenario_without_a_catalogue() -> None:
    engine = recommender()
    engine.apply_item_features(item_features("m9", counts=[counts(9, total=9)]))
    engine.apply_item(item("shoe", scenarios=["shop"]))
    (record,) = recommend(engine, request("u", limit=9, candidates=("unknown", "m9")))
    assert item_ids_of(record) == ["m9", "unknown"]
    assert features_of(record, "unknown")["total_interactions"] == 0.0
    engine.state.items.withdraw("m9")
    (record,) = recommend(engine, request("u", limit=9, candidates=("unknown", "m9")))
    assert item_ids_of(record) == ["unknown"]


def test_a_deleted_item_explains_nothing() -> None:
    engine = _engine_of()
    for other in ("m2", "m3"):
        engine.apply_item_features(item_features(other, {"m1": 3.0}))
    engine.apply_user_features(user_features("u", ["m1"]))
    reasons = {entry["reason"] for entry in recommend(engine, request("u"))[0]["items"]}
    assert "covisited:m1" in reasons
    engine.state.items.withdraw("m1")
    reasons = {entry["reason"] for entry in recommend(engine, request("u"))[0]["items"]}
    assert not [reason for reason in reasons if "m1" in reason]


def test_given_and_open_requests_share_a_batch() -> None:
    engine = _engine_of()
    given, free, empty = recommend(
        engine, request("u", candidates=("m1",)), request("v"), request("w", candidates=("m3",), exclude=("m3",))
    )
    assert item_ids_of(given) == ["m1"]
    assert len(item_ids_of(free)) == 5
    assert item_ids_of(empty) == []


def test_query_filters_and_prefers_more_words() -> None:
    engine = _engine_of()
    engine.apply_item(item("m3", title="Red Shoes", categories=["footwear"]))
    engine.apply_item(item("m4", title="Blue shoes"))
    engine.apply_item(item("m5", title="Red hat"))
    two, one, none = recommend(
        engine,
        request("u", query="red shoes", limit=3),
        request("u", query="Red SHOES!", limit=1),
        request("u", query="zebra", limit=3),
    )
    assert set(item_ids_of(two)) == {"m3", "m4", "m5"}
    assert item_ids_of(one) == ["m3"]
    assert item_ids_of(none)[0] == "m200"
    assert "query" in {entry["source"] for entry in two["items"]}


def test_batch_gives_the_slates_of_single_requests() -> None:
    engine = _engine_of()
    for number in range(1, 150):
        edges = {f"m{number + step}": float(step) for step in range(1, 20)}
        engine.apply_item_features(item_features(f"m{number}", edges, float(number), applied_offsets={"0": 2}))
    requests = []
    for number in range(30):
        engine.apply_user_features(user_features(f"u{number}", [f"m{number + step}" for step in range(number)]))
        requests.append(request(f"u{number}", limit=1, scenario=("video", "shop", "social")[number % 3]))
    batched = recommend(engine, *requests)
    single = [engine.recommend([each], 1)[0] for each in requests]
    assert batched == single


def test_model_ranks_and_predicts() -> None:
    engine = _engine_of(120)
    vectors = np.zeros((120, DIM), np.float32)
    vectors[:, 0] = np.linspace(0.1, 1.0, 120)
    engine.set_embeddings([f"m{number}" for number in range(120, 0, -1)], vectors, np.zeros(120, np.float32))
    engine.apply_user_features(user_features("u", ["m50"]))
    engine.model = OnnxModel(3, encode_graph(1), rank_graph(constant=0.25))
    (record,) = recommend(engine, request("u", limit=4))
    assert record["model_version"] == 3
    assert item_ids_of(record)[:3] == ["m1", "m2", "m3"]
    assert record["items"][0]["source"] == "encoder"
    assert set(record["items"][0]["predictions"]) == {0.25}
    assert record["prediction_names"] == list(ACTIONS)
    logged = features_of(record, "m1")
    assert logged["has_model"] == logged["from_encoder"] == 1.0
    assert logged["encoder_rank"] == 0.0
    assert record["items"][0]["score"] == logged["encoder_score"]


def test_changed_embedding_is_used_by_the_next_slate() -> None:
    engine = _engine_of(120)
    engine.model = OnnxModel(1, encode_graph(1), rank_graph())
    engine.set_embeddings(["m1", "m2"], np.stack([_one_hot(0, 1.0), _one_hot(1, 1.0)]), np.zeros(2, np.float32))
    engine.apply_user_features(user_features("u", ["m1"]))
    before = recommend(engine, request("u", limit=2))[0]
    engine.set_embeddings(["m9"], _one_hot(0, 5.0)[None], np.zeros(1, np.float32))
    after = engine.recommend([request("u", limit=2)], 1)[0]
    assert features_of(before, "m2")["encoder_score"] < 1.0
    assert after["items"][0]["item_id"] == "m9"
    assert after["items"][0]["source"] == "encoder"


def test_encoder_proposes_nothing_seen_unavailable_or_without_an_embedding() -> None:
    engine = _engine_of(120)
    engine.model = OnnxModel(1, encode_graph(1), rank_graph())
    names = [f"m{number}" for number in range(1, 11)]
    engine.set_embeddings(names, np.tile(_one_hot(0), (10, 1)), np.zeros(10, np.float32))
    engine.apply_user_features(user_features("u", ["m1"]))
    engine.apply_item(item("m2", available=False))
    engine.apply_item(item("m3", scenarios=["shop"]))
    engine.state.items.drop_embeddings(["m4"])
    (record,) = recommend(engine, request("u"))
    matrix = np.frombuffer(record["features"], "<f2").reshape(-1, len(FEATURES))
    from_encoder = {
        name for name, row in zip(record["considered"], matrix, strict=True) if row[FEATURES.index("from_encoder")]
    }
    assert from_encoder == {"m5", "m6", "m7", "m8", "m9", "m10"}


def test_a_large_scenario_does_not_crowd_a_small_one_out_of_the_encoders_top() -> None:
    engine = _engine_of(5)
    engine.model = OnnxModel(1, encode_graph(1), rank_graph())
    songs = [f"song{number}" for number in range(400)]
    for name in songs:
        engine.apply_item(item(name, scenarios=["music"]))
    engine.set_embeddings(songs, np.tile(_one_hot(0), (400, 1)), np.zeros(400, np.float32))
    names = [f"m{number}" for number in range(1, 6)]
    for name in names:
        engine.apply_item(item(name, scenarios=["video"]))
    engine.set_embeddings(names, np.tile(0.1 * _one_hot(0), (5, 1)), np.zeros(5, np.float32))
    engine.apply_user_features(user_features("u", ["m1"]))
    video, music, single = (
        recommend(engine, *each)
        for each in (
            [request("u"), request("u", scenario="music")],
            [request("u", scenario="music"), request("u")],
            [request("u")],
        )
    )
    for record in (video[0], music[1], single[0]):
        matrix = np.frombuffer(record["features"], "<f2").reshape(-1, len(FEATURES))
        from_encoder = matrix[:, FEATURES.index("from_encoder")] > 0
        assert {name for name, own in zip(record["considered"], from_encoder, strict=True) if own} == set(names[1:])
    assert all(name.startswith("song") for name in [*item_ids_of(video[1]), *item_ids_of(music[0])])


def test_item_without_an_embedding_is_ranked_by_counts() -> None:
    engine = _engine_of(120)
    engine.model = OnnxModel(1, encode_graph(1), rank_graph())
    engine.apply_item(item("new"))
    (record,) = recommend(engine, request("u", candidates=("m1", "new")))
    assert features_of(record, "new")["encoder_score"] == 0.0
    assert all(np.isfinite(entry["score"]) for entry in record["items"])


def test_extreme_times_and_counts_stay_finite() -> None:
    engine = _engine_of(30)
    engine.apply_item_features(
        item_features(
            "m1", {"m2": 1e30}, counts=[counts(1e30, total=2**62)], as_of=NOW + 10**12, applied_offsets={"0": 9}
        )
    )
    engine.apply_user_features(user_features("u", ["m2"]))
    for at in (0, -(10**15), NOW * 1000):
        (record,) = recommend(engine, request("u", requested_at=at))
        matrix = np.frombuffer(record["features"], "<f2")
        assert np.isfinite(matrix).all()
        assert len(record["items"]) == 5


def test_reason_of_an_encoder_item_names_the_most_similar_item() -> None:
    engine = recommender()
    names = [f"m{number}" for number in range(8)]
    for name in names:
        engine.apply_item(item(name))
    # m0 to m3 are similar, so are m4 to m6; m7 is similar to no item of the history.
    vectors = np.zeros((8, DIM), np.float32)
    vectors[:4, 0] = vectors[4:7, 1] = vectors[7, 2] = 1.0
    engine.set_embeddings(names, vectors, np.zeros(8, np.float32))
    engine.model = OnnxModel(1, encode_graph(), rank_graph({"encoder_score": 1.0}))
    engine.apply_user_features(user_features("u", ["m5", "m0"]))
    (record,) = recommend(engine, request(limit=6))
    reasons = {entry["item_id"]: entry["reason"] for entry in record["items"] if entry["source"] == "encoder"}
    assert {name: reasons.get(name, "similar_to:m0") for name in ("m1", "m2", "m3")} == dict.fromkeys(
        ("m1", "m2", "m3"), "similar_to:m0"
    )
    assert {name: reasons.get(name, "similar_to:m5") for name in ("m4", "m6")} == dict.fromkeys(
        ("m4", "m6"), "similar_to:m5"
    )
    assert reasons.get("m7", "personal") == "personal"
    assert len(reasons) >= 4


def test_reasons_are_true() -> None:
    """Nothing is personal to a user without history, and where known items are recommended again, none explains itself."""
    engine = recommender()
    names = [f"m{number}" for number in range(8)]
    for name in names:
        engine.apply_item(item(name))
    vectors = np.zeros((8, DIM), np.float32)
    vectors[:4, 0] = vectors[4:8, 1] = 1.0
    engine.set_embeddings(names, vectors, np.zeros(8, np.float32))
    engine.model = OnnxModel(1, encode_graph(), rank_graph({"encoder_score": 1.0}))
    engine.apply_user_features(user_features("u", ["m5", "m0"]))
    (newcomer, known) = recommend(engine, request("nobody", limit=6), request("u", scenario="shop", limit=8))
    encoded = [entry for entry in newcomer["items"] if entry["source"] == "encoder"]
    assert encoded
    assert {entry["reason"] for entry in encoded} == {""}
    reasons = {entry["item_id"]: entry["reason"] for entry in known["items"] if entry["source"] == "encoder"}
    assert {"m0", "m5"} <= reasons.keys()
    assert (reasons["m0"], reasons["m5"]) == ("personal", "personal")
    assert [name for name, reason in reasons.items() if reason.endswith(f":{name}")] == []


def test_user_who_has_seen_all_popular_items_gets_a_whole_slate() -> None:
    engine = _engine_of(ORDER_LENGTH + 100)
    popular = [f"m{number}" for number in range(101, ORDER_LENGTH + 101)]
    engine.apply_user_features(user_features("u", seen_items=seen_items(*popular)))
    (record,) = recommend(engine, request("u", limit=20))
    assert len(record["items"]) == 20
    assert set(item_ids_of(record)).isdisjoint(popular)


@pytest.mark.parametrize("off", [(), ("trend",), ("covisit_score", "encoder_score")])
def test_features_switched_off_are_neither_logged_nor_used(off: tuple[str, ...]) -> None:
    columns = Columns(tuple(name for name in FEATURES if name not in off))
    engine = Recommender(scenarios(), np.random.default_rng(0), columns=columns)
    for number in range(1, 30):
        engine.apply_item(item(f"m{number}"))
        engine.apply_item_features(item_features(f"m{number}", acted=float(number)))
    (counted,) = recommend(engine, request("u", limit=3))
    release_actions = Columns(("popularity", *off), ("like",))
    rank = rank_graph({"popularity": -1.0} | dict.fromkeys(off, 1.0), columns=release_actions)
    engine.model = OnnxModel(1, encode_graph(1), rank, release_actions, columns, 0.0)
    (ranked,) = recommend(engine, request("u", limit=3))
    assert item_ids_of(counted) == ["m29", "m28", "m27"]
    assert item_ids_of(ranked)[0] != "m29"
    for record in (counted, ranked):
        assert record["feature_names"] == list(columns.features)
        matrix = np.frombuffer(record["features"], "<f2").reshape(len(record["considered"]), len(columns.features))
        assert np.isfinite(matrix).all()
    assert (counted["prediction_names"], ranked["prediction_names"]) == ([], ["like"])
