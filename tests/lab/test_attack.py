"""The events of the attacks of `eddy attack`, and the exposure that they are judged by."""

import numpy as np
import pytest

from eddy.contract.codec import Codec
from eddy.contract.trust import DAY_MS
from eddy.errors import FatalError
from eddy_cli.replay.stream import Stream
from eddy_gateway.core.models import EventIn
from eddy_lab.attack.attacks import ATTACKS, BACK_MS, Scene
from eddy_lab.attack.command import MAX_FIRST, Field, Groups, verdict
from eddy_lab.attack.exposure import Exposure
from eddy_lab.attack.stack import as_request, check_loopback
from eddy_lab.evaluate.options import Options
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.settings import TrainerSettings
from tests.cli.streams import stream

SCENE = Scene("video", "click", "skip", 10**12, [f"i{number}" for number in range(60)], "target", "i0")


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_bounded_in_number_and_time(name: str) -> None:
    events = list(ATTACKS[name].events(SCENE, 120))
    assert 100 <= len(events) <= 120
    records = [Codec.of("user_event").decode(payload) for _, payload in events]
    end = SCENE.now_ms + ATTACKS[name].duration_ms
    start = SCENE.now_ms - (BACK_MS if name == "back_dated" else 0)
    assert all(start <= record["occurred_at"] <= end for record in records)
    assert len({record["event_id"] for record in records}) == len(records)
    promoted = ATTACKS[name].promotes(SCENE)
    assert (promoted or SCENE.rival) in {record["item_id"] for record in records}


def test_exposure_counts_slates_and_first_positions() -> None:
    slates = [{"items": [{"item_id": item} for item in items]} for items in ("ab", "ba", "bc", "")]
    exposure = Exposure.of(slates)
    assert (exposure.share_first("b"), exposure.share("b"), exposure.share("c")) == (0.5, 0.75, 0.25)


def test_bots_claim_their_history_and_act_now() -> None:
    records = [Codec.of("user_event").decode(payload) for _, payload in ATTACKS["back_dated"].events(SCENE, 21)]
    *history, last = (record["occurred_at"] for record in records)
    assert history == sorted(history)
    assert last - history[0] > BACK_MS * 0.9
    assert last >= SCENE.now_ms


def _groups(*first: str) -> Groups:
    slates = Exposure.of([{"items": [{"item_id": item}, {"item_id": "other"}]} for item in first])
    return Groups(slates, Exposure())


def test_the_verdict_names_items_that_lost_more_than_a_tenth() -> None:
    before, after = _groups(*["a"] * 50, *["b"] * 50), _groups(*["a"] * 46, *["b"] * 44, *["t"] * 10)
    outcome = verdict("t", before, after)
    assert (outcome.first_new, outcome.lost, outcome.honest) == (0.1, {"b": (50, 50, 44)}, 3)
    assert not outcome.failed
    ordinary = _groups(*["a"] * 52, *["b"] * 48)
    assert verdict(None, before, after, ordinary).failed, "b lost as much without an attack"
    assert verdict("t", before, before).failed


def _visitors(days: float) -> Stream:
    """Forty users with ten items each within some days, some items more popular than others."""
    generator, weights = np.random.default_rng(0), 1 / (np.arange(40) + 2)
    items = [generator.choice(40, 10, replace=False, p=weights / weights.sum()) for _ in range(40)]
    step_ms = round(days * DAY_MS / 400)
    return stream(np.repeat(np.arange(40), 10).tolist(), np.concatenate(items).tolist(), step_ms=step_ms)


@pytest.mark.slow
@pytest.mark.parametrize(("days", "bounded"), [(2.8, True), (28, True), (28, False)])
def test_fake_users_put_no_item_first_unless_everybody_is_believed(days: float, bounded: bool) -> None:
    settings = TrainerSettings()
    paths = settings.scenarios_path, settings.trainer_graphs_dir
    options = Options("", None, "video", "rate", None, 0, *paths, DEFAULT_MODEL, "")
    field, attack = Field(_visitors(days), options, bounded), ATTACKS["one_click"]
    before, after = field.attack(attack.duration_ms, list(attack.events(field.scene, 400)))
    outcome = verdict(field.scene.target, before, after)
    if bounded:
        assert max(outcome.first_new, outcome.first_known) <= MAX_FIRST
    else:
        assert outcome.first_new > 0.9


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"])
def test_an_attack_on_this_machine_needs_no_permission(url: str) -> None:
    check_loopback(url, remote=False)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.7:8000", "https://shop.example", "http://127.0.0.1.shop.example", "nonsense"]
)
def test_an_attack_on_another_machine_must_be_meant(url: str) -> None:
    with pytest.raises(FatalError, match="--remote"):
        check_loopback(url, remote=False)
    check_loopback(url, remote=True)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_the_gateway_takes_the_events_of_an_attack(name: str) -> None:
    for each in ATTACKS[name].events(SCENE, 40):
        body = EventIn.model_validate(as_request(each, "run"))
        assert body.user_id.startswith("run-")
