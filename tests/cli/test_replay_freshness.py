"""Time from a click to the first slate of a model trained on it."""

from eddy_cli.replay.freshness import Releases, ServedVersions, click_to_serving_seconds


def test_click_ends_at_the_first_slate_of_a_model_trained_on_it() -> None:
    served = ServedVersions()
    for version, at in ((0, 1.0), (3, 12.0), (3, 13.0), (5, 20.0)):
        served.note(version, at)
    releases = Releases({1: [0, 0], 2: [5, 0], 4: [5, 9], 5: [7, 9]})
    clicks = {"early": 10.0, "other partition": 11.0, "too late": 12.0, "unlabelled": 12.0, "edge": 12.0}
    examples = {"early": (0, 4), "other partition": (1, 8), "too late": (0, 7), "edge": (0, 5)}
    assert click_to_serving_seconds(clicks, examples, releases, served) == [2.0, 9.0, 8.0]


def test_freshness_needs_slates_and_releases() -> None:
    assert click_to_serving_seconds({"a": 1.0}, {"a": (0, 0)}, Releases({}), ServedVersions()) == []
    assert click_to_serving_seconds({"a": 1.0}, {"a": (0, 0)}, Releases({1: [1]}), ServedVersions()) == []
