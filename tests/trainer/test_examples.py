"""Parsing of training examples, and the reasons for refusal."""

import math
from typing import Any

import numpy as np
import pytest

from eddy.contract.codec import Codec
from eddy.contract.legacy import LEGACY_CONTRACT, LEGACY_FEATURES
from eddy.contract.model import FEATURES, Columns, hash_of_contract
from eddy.errors import PoisonError
from eddy_trainer.core.examples import ExampleParser, ImpressionExample, NextItemExample
from tests.trainer.factories import (
    CLICK,
    NO_FEATURES,
    SCENARIOS,
    VIDEO,
    Record,
    a_stream,
    example_record,
    features,
    learner,
)

PARSER = ExampleParser(SCENARIOS, Columns())


def decoded(record: Record) -> Record:
    codec = Codec.of("training_example")
    return codec.decode(codec.encode(record))


def test_next_item_is_parsed_with_its_candidates() -> None:
    history = {
        "item_ids": ["m8", "m9"],
        "actions": ["rate", "skip"],
        "scenarios": ["video", "shop"],
        "values": [1.0, 0.5],
        "occurred_at": [1, 2],
        "valued": [True, False],
    }
    example = PARSER.parse(decoded(example_record(candidates=3, history=history)))
    assert isinstance(example, NextItemExample)
    assert (example.user_id, example.event.item_id, example.event.action, example.target) == ("u-1", "m0", 1 + CLICK, 0)
    assert np.array_equal(example.features, features(3))
    assert [(past.item_id, past.action, past.scenario) for past in example.history] == [("m8", 5, VIDEO), ("m9", 0, 1)]


def test_a_target_that_was_no_candidate_is_minus_one() -> None:
    example = PARSER.parse(example_record(considered_features=features(1).tobytes(), candidates=["m7"]))
    assert isinstance(example, NextItemExample)
    assert example.target == -1


def test_label_is_parsed_into_impressions() -> None:
    example = PARSER.parse(decoded(example_record("label", items=3)))
    assert isinstance(example, ImpressionExample)
    assert (example.scenario, example.positions, example.actions) == (VIDEO, (0, 1, 2), (CLICK, -1, -1))
    assert example.features.shape == (3, len(FEATURES))


def poisoned_item(**changes: Any) -> list[Record]:
    return [{**example_record()["items"][0], **changes}]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (example_record(user_id=""), "missing_user"),
        (example_record(items=0), "missing_item"),
        (example_record(items=poisoned_item(item_id="")), "missing_item"),
        (example_record(scenario="opera"), "unknown_scenario"),
        (example_record(kind="rumour"), "undecodable"),
        (example_record(items=poisoned_item(value=math.nan)), "non_finite"),
        (example_record("label", contract="another", feature_names=[]), "contract_mismatch"),
        (example_record(considered_features=b"abc"), "bad_features"),
        (example_record("label", items=2, features=features(1).tobytes()), "bad_features"),
        (example_record("label", features=np.full((1, len(FEATURES)), np.inf, np.float16).tobytes()), "non_finite"),
        (example_record("label", features=np.full((1, len(FEATURES)), np.nan, np.float16).tobytes()), "non_finite"),
    ],
)
def test_unusable_example_is_refused(record: Record, reason: str) -> None:
    with pytest.raises(PoisonError) as error:
        PARSER.parse(record)
    assert error.value.reason == reason


def test_features_are_optional() -> None:
    example = PARSER.parse(example_record(candidates=[], considered_features=b"", contract=""))
    assert isinstance(example, NextItemExample)
    assert (len(example.features), example.target) == (0, -1)


def test_a_history_with_columns_of_unequal_length_is_refused() -> None:
    history = {"item_ids": ["m8"], "actions": [], "scenarios": ["video"], "values": [1.0], "occurred_at": [1]}
    with pytest.raises(PoisonError):
        PARSER.parse(example_record(history=history))


def test_history_of_a_removed_scenario_is_ignored() -> None:
    history = {
        "item_ids": ["m7", "m8"],
        "actions": ["click", "click"],
        "scenarios": ["of yore", "video"],
        "values": [1.0, 7.0],
        "occurred_at": [1, 2],
        "valued": [True, False],
    }
    example = PARSER.parse(decoded(example_record(history=history)))
    assert isinstance(example, NextItemExample)
    assert [(past.item_id, past.scenario, past.value) for past in example.history] == [("m8", VIDEO, 1.0)]


def test_features_are_read_by_name() -> None:
    """In any order: features that the model lacks are ignored, features that the record lacks are missing."""
    parser = ExampleParser(SCENARIOS, Columns(("trend", "coming", "covisit_score")))
    logged = np.array([[1, 2, np.inf], [3, 4, np.nan]], np.float16)
    record = example_record(
        "label", items=2, features=logged.tobytes(), feature_names=["covisit_score", "trend", "gone"]
    )
    example = parser.parse(record)
    assert example.features.dtype == np.float16
    np.testing.assert_array_equal(example.features, [[2, np.nan, 1], [4, np.nan, 3]])


def test_features_under_a_former_name_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy_trainer.core.examples.FEATURE_ALIASES", {"hotness": "trend"})
    parser = ExampleParser(SCENARIOS, Columns(("trend",)))
    record = example_record("label", features=np.array([7], np.float16).tobytes(), feature_names=["hotness"])
    assert parser.parse(record).features.tolist() == [[7]]


@pytest.mark.parametrize("contract", [LEGACY_CONTRACT, hash_of_contract()])
def test_features_without_names_have_the_order_of_the_last_contract_without_names(contract: str) -> None:
    parser = ExampleParser(SCENARIOS, Columns(LEGACY_FEATURES[::-1]))
    example = parser.parse(example_record("label", items=3, contract=contract, feature_names=[]))
    assert np.array_equal(example.features, features(3)[:, ::-1])


def test_a_next_item_with_unreadable_features_still_trains_the_encoder() -> None:
    example = PARSER.parse(example_record(contract="another", feature_names=[]))
    assert isinstance(example, NextItemExample)
    assert (len(example.features), example.target) == (0, 0)


def test_an_action_without_a_head_counts_as_history_but_not_as_label() -> None:
    """During an upgrade one service may know an action before another: it is neither refused nor a negative."""
    event = PARSER.parse(example_record(items=poisoned_item(action="yawn")))
    assert isinstance(event, NextItemExample)
    assert event.event.action == 0
    labelled = example_record("label", items=3)
    labelled["items"][0]["action"] = "yawn"
    example = PARSER.parse(labelled)
    assert isinstance(example, ImpressionExample)
    assert (example.positions, example.actions) == ((1, 2), (-1, -1))
    assert np.array_equal(example.features, features(3)[1:])
    alone = PARSER.parse(example_record("label", items=labelled["items"][:1]) | {"features": features(1).tobytes()})
    assert isinstance(alone, ImpressionExample)
    assert (alone.positions, alone.features.shape) == ((), (0, len(FEATURES)))


def test_an_example_that_labels_nothing_is_observed() -> None:
    trainee = learner()
    trainee.observe([ImpressionExample("label", VIDEO, NO_FEATURES, (), ()), *a_stream(5)])
    trainee.step()
    assert trainee.examples == 11


def test_a_former_name_of_an_action_maps_to_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy_trainer.core.examples.ACTION_ALIASES", {"tap": "click"})
    parser = ExampleParser(SCENARIOS, Columns())
    event = parser.parse(example_record(items=poisoned_item(action="tap")))
    assert isinstance(event, NextItemExample)
    assert event.event.action == 1 + CLICK
