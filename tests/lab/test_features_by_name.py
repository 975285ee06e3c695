"""A feature comes, another goes, from the slate to the matrix that the ranker learns from: scorer, joiner and trainer in one process."""

import numpy as np

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.model import FEATURES, Columns
from eddy.contract.records import Recommendations, TrainingExample
from eddy_joiner.core.examples import encode_example
from eddy_joiner.core.lists import read_list
from eddy_joiner.core.outcomes import Negative, Place
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_trainer.core.examples import ExampleParser, Shown
from tests.scorer.factories import NOW, item, item_features, recommend, request, scenarios
from tests.trainer.factories import SCENARIOS

ADDED, TAKEN_AWAY = "transition_last_1", "trend"
BEFORE = Columns(tuple(name for name in FEATURES if name != ADDED))
AFTER = Columns(tuple(name for name in FEATURES if name != TAKEN_AWAY))


def a_scorer(columns: Columns) -> Recommender:
    engine = Recommender(scenarios(), np.random.default_rng(0), columns=columns)
    for number in range(1, 30):
        engine.apply_item(item(f"m{number}"))
        engine.apply_item_features(item_features(f"m{number}", acted=float(number)))
    return engine


def test_an_example_of_a_slate_in_flight_is_read_by_the_trainer_of_after() -> None:
    (slate,) = recommend(a_scorer(BEFORE), request("u", limit=3))
    served = read_list(Message("recommendations", 0, 0, b"u", Codec.of(Recommendations).encode(slate), NOW))
    item_id = slate["items"][1]["item_id"]
    payload = encode_example(Negative(served, [Place(served.items()[item_id], NOW, NOW + 1)]), NOW)
    example = ExampleParser(SCENARIOS, AFTER).parse(Codec.of(TrainingExample).decode(payload))
    assert isinstance(example, Shown)
    row = np.frombuffer(slate["features"], "<f2").reshape(-1, len(BEFORE.features))[slate["considered"].index(item_id)]
    logged = dict(zip(BEFORE.features, row.tolist(), strict=True))
    read = dict(zip(AFTER.features, example.features[0].tolist(), strict=True))
    assert np.isnan(read.pop(ADDED))
    assert logged.pop(TAKEN_AWAY) > 0
    assert read == logged
