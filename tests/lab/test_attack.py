"""The events of the attacks of `eddy attack`, and the exposure that they are judged by."""

import pytest

from eddy.contract.codec import Codec
from eddy_lab.attack.attacks import ATTACKS, HOUR_MS, Scene
from eddy_lab.attack.exposure import Exposure

SCENE = Scene("video", "click", "skip", 10**12, [f"i{number}" for number in range(60)], "target", "i0")


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_bounded_in_number_and_time(name: str) -> None:
    events = list(ATTACKS[name].events(SCENE, 120))
    assert 100 <= len(events) <= 120
    records = [Codec.of("user_event").decode(payload) for _, payload in events]
    assert all(SCENE.now_ms <= record["occurred_at"] <= SCENE.now_ms + HOUR_MS for record in records)
    assert len({record["event_id"] for record in records}) == len(records)
    promoted = ATTACKS[name].promotes(SCENE)
    assert (promoted or SCENE.rival) in {record["item_id"] for record in records}


def test_exposure_counts_slates_and_first_positions() -> None:
    slates = [{"items": [{"item_id": item} for item in items]} for items in ("ab", "ba", "bc", "")]
    exposure = Exposure.of(slates)
    assert (exposure.share_first("b"), exposure.share("b"), exposure.share("c")) == (0.5, 0.75, 0.25)
