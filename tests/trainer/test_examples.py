"""Records become checked values, or a reason why not."""

import math
from typing import Any

import numpy as np
import pytest

from eddy.contract.codec import Codec
from eddy.contract.model import FEATURES
from eddy.errors import PoisonError
from eddy_trainer.core.examples import ExampleParser, NextItem, Shown
from tests.trainer.factories import CLICK, SCENARIOS, VIDEO, Record, example_record, features

PARSER = ExampleParser(SCENARIOS)


def decoded(record: Record) -> Record:
    codec = Codec.of("training_example")
    return codec.decode(codec.encode(record))


def test_next_item_becomes_an_event_with_its_considered_list() -> None:
    history = {
        "item_ids": ["m8", "m9"],
        "actions": ["rate", "skip"],
        "scenarios": ["video", "shop"],
        "values": [1.0, 0.5],
        "occurred_at": [1, 2],
        "valued": [True, False],
    }
    example = PARSER.parse(decoded(example_record(considered=3, history=history)))
    assert isinstance(example, NextItem)
    assert (example.user_id, example.event.item_id, example.event.action, example.target) == ("u-1", "m0", 1 + CLICK, 0)
    assert np.array_equal(example.features, features(3))
    assert [(past.item_id, past.action, past.scenario) for past in example.history] == [("m8", 5, VIDEO), ("m9", 0, 1)]


def test_a_target_that_was_not_considered_is_said_so() -> None:
    example = PARSER.parse(example_record(considered_features=features(1).tobytes(), considered=["m7"]))
    assert isinstance(example, NextItem)
    assert example.target == -1


def test_label_becomes_shown_items() -> None:
    example = PARSER.parse(decoded(example_record("label", items=3)))
    assert isinstance(example, Shown)
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
        (example_record(items=poisoned_item(action="yawn")), "unknown_action"),
        (example_record(items=poisoned_item(value=math.nan)), "non_finite"),
        (example_record(contract="another"), "contract_mismatch"),
        (example_record(considered_features=b"abc"), "bad_features"),
        (example_record("label", items=2, features=features(1).tobytes()), "bad_features"),
        (example_record("label", features=np.full((1, len(FEATURES)), np.inf, np.float16).tobytes()), "non_finite"),
    ],
)
def test_what_cannot_be_used_is_refused(record: Record, reason: str) -> None:
    with pytest.raises(PoisonError) as error:
        PARSER.parse(record)
    assert error.value.reason == reason


def test_features_are_not_needed() -> None:
    example = PARSER.parse(example_record(considered=[], considered_features=b"", contract=""))
    assert isinstance(example, NextItem)
    assert (len(example.features), example.target) == (0, -1)


def test_a_history_with_unequal_columns_is_refused() -> None:
    history = {"item_ids": ["m8"], "actions": [], "scenarios": ["video"], "values": [1.0], "occurred_at": [1]}
    with pytest.raises(PoisonError):
        PARSER.parse(example_record(history=history))


def test_what_was_done_in_a_scenario_that_is_gone_is_left_out() -> None:
    history = {
        "item_ids": ["m7", "m8"],
        "actions": ["click", "click"],
        "scenarios": ["of yore", "video"],
        "values": [1.0, 7.0],
        "occurred_at": [1, 2],
        "valued": [True, False],
    }
    example = PARSER.parse(decoded(example_record(history=history)))
    assert isinstance(example, NextItem)
    assert [(past.item_id, past.scenario, past.value) for past in example.history] == [("m8", VIDEO, 1.0)]
