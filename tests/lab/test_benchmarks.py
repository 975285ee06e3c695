"""Every benchmark on small data: its figures follow from the definitions and the seed, and its rankings are those of the live scorer."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from eddy.contract.model import FEATURES
from eddy.contract.scenarios import load_scenarios
from eddy.errors import ConfigError
from eddy.paths import REPO_ROOT
from eddy_cli.baselines import Isgd, Transitions
from eddy_cli.datasets import Dataset, read_folder
from eddy_cli.replay.event_kind import MOVIELENS, EventKind, event_kind_of
from eddy_cli.replay.stream import Stream
from eddy_lab.commands import benchmarks, evaluate
from eddy_lab.evaluate import variants
from eddy_lab.evaluate.benchmarks import ctr_live, loo, transfer
from eddy_lab.evaluate.benchmarks.loo import histories_of
from eddy_lab.evaluate.benchmarks.stream import play_stream
from eddy_lab.evaluate.offline import OfflinePolicy, TrainingHistories, encoder_scores, ranks_of, train
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.pair_counts import PairCounts
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.ranking import gains_at_10, ranking_figures, ratio_interval
from eddy_lab.evaluate.report import BenchmarkReport
from eddy_lab.evaluate.result import MODEL, BenchmarkResult
from eddy_lab.evaluate.stream_ranker import OUTSIDE
from eddy_lab.evaluate.tasks.next_item import NextItemTask, UnrankedTask
from eddy_lab.evaluate.tasks.prediction_task import PredictionTask
from eddy_lab.evaluate.tasks.rating import NOT_PREDICTED, RatingTask
from eddy_lab.evaluate.tasks.search import SearchTask
from eddy_lab.evaluate.trainer_process import TrainerSetup, trainer_process
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.ranking.slates import RankedCandidates
from eddy_scorer.core.state.users import User
from eddy_trainer.core.learner import LearnerPolicy
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.settings import TrainerSettings
from tests.lab.factories import rated_walks, twice, walker_data, walks

pytestmark = pytest.mark.slow

GRAPHS: Path = TrainerSettings.model_fields["trainer_graphs_dir"].default
OPTIONS = Options("tiny", None, "video", "rate", None, 0, REPO_ROOT / "scenarios.yaml", GRAPHS, DEFAULT_MODEL, "")
SILENT = Console(file=StringIO())
SCENARIOS = load_scenarios(REPO_ROOT / "scenarios.yaml")


def play(stream: Stream, policy: PrequentialPolicy, *tasks: PredictionTask) -> Prequential:
    prequential = Prequential(stream, SCENARIOS, policy, tasks, GRAPHS)
    prequential.play()
    return prequential


def test_figures_match_their_definitions() -> None:
    ranks = np.array([0, 1, 9, 10, -1, 2, 0, 0, 0, 0])
    scored = np.array([True] * 6 + [False] * 4)
    figures = ranking_figures(ranks, scored)
    assert figures["hr_at_10"] == pytest.approx(4 / 6)
    assert figures["ndcg_at_10"] == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(11) + 1 / np.log2(4)) / 6)
    assert figures["mrr_at_10"] == pytest.approx((1 + 1 / 2 + 1 / 10 + 1 / 3) / 6)
    assert figures["hr_at_10_by_tenth"] == [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    low, high = ratio_interval(np.full(4000, 0.4), np.full(4000, 0.2))
    assert low == high == pytest.approx(2.0)


def test_a_report_is_a_file_tables_and_a_plot(tmp_path: Path) -> None:
    by_tenth = [0.1] * 10
    result = BenchmarkResult(
        "tiny", 10, {"model": {"ndcg_at_10": 0.5, "ndcg_at_10_by_tenth": by_tenth}}, {"paper": {"ndcg_at_10": 0.4}}
    )
    report = BenchmarkReport("stream", result, seconds=1.23, seed=5, command="make evaluate")
    data, plot = report.write(tmp_path)
    assert json.loads(data.read_text()) == {
        "benchmark": "stream",
        "dataset": "tiny",
        "events": 10,
        "seconds": 1.2,
        "command": "make evaluate",
        "seed": 5,
        "methods": {"model": {"ndcg_at_10": 0.5, "ndcg_at_10_by_tenth": by_tenth}},
        "published": {"paper": {"ndcg_at_10": 0.4}},
    }
    assert plot.stat().st_size > 5000
    assert len(report.tables()) == 2
    without_tenths = replace(report, result=replace(result, methods={"model": {"auc": 0.5}}))
    assert len(without_tenths.tables()) == 1


def test_the_readme_describes_every_benchmark() -> None:
    text = (REPO_ROOT / "lab" / "eddy_lab" / "evaluate" / "README.md").read_text()
    assert [name for name in benchmarks() if f"`{name}`" not in text] == []


def test_a_walk_is_learned_better_than_by_counting() -> None:
    stream = walks(0)
    result = play_stream("stream", stream, stream.scored(), OPTIONS, SILENT)
    assert result.methods["model"]["ndcg_at_10_by_tenth"][-1] > 0.8
    assert result.methods["model"]["ndcg_at_10"] > result.methods["popularity"]["ndcg_at_10"]
    assert result.details["best_baseline"] in result.methods


def test_equal_streams_and_seeds_give_equal_figures() -> None:
    stream = walks(0, 540)
    first, second = (play_stream("stream", stream, stream.scored(), OPTIONS, SILENT) for _ in range(2))
    assert first.details["releases"] > 1
    assert first.methods == second.methods


@pytest.mark.parametrize(
    ("scenario", "action"), [("shop", "purchase"), ("social", "comment"), ("music", "play"), ("search", "like")]
)
def test_a_stream_is_learned_in_every_scenario(scenario: str, action: str) -> None:
    """An event that repeats an earlier one is not ranked, even in scenarios that recommend seen items."""
    stream = replace(twice(walks(1, 900)), event_kind=event_kind_of(SCENARIOS, scenario, action))
    next_item = NextItemTask(stream, SCENARIOS)
    users = play(stream, PrequentialPolicy(128), next_item).recommender.state.users
    assert gains_at_10(next_item.ranks[-600::2]).mean() > 0.5
    assert (next_item.ranks[1::2] == OUTSIDE).all()
    history = users.snapshot(users.get("u29"))
    assert (set(history["actions"]), set(history["scenarios"])) == ({action}, {scenario})


def test_a_data_set_is_played_as_an_action_of_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "out.messages").write_text("% asym positive\n1 2 1 50\n3 2 1 60\n1 3 1 55\n")
    options = replace(OPTIONS, data=tmp_path, scenario="social", action="comment")
    stream = whole_stream(options).cut(2)
    assert [stream.user_ids[user] for user in stream.users] == ["1", "1"]
    assert stream.event_kind == EventKind("social", "comment", explicit_rating=False)
    assert stream.values == [None, None]
    assert whole_stream(replace(OPTIONS, data=tmp_path)).values == [None, None, None]


def test_unknown_scenarios_and_actions_are_refused() -> None:
    assert event_kind_of(SCENARIOS, "video", "rate") == MOVIELENS
    with pytest.raises(ConfigError, match=r"no scenario shopp: choose one of video, shop, .* by --scenario"):
        event_kind_of(SCENARIOS, "shopp", "rate")
    with pytest.raises(
        ConfigError, match=r"skip is not a positive action of social: choose one of view, click, .* by --action"
    ):
        event_kind_of(SCENARIOS, "social", "skip")


def test_the_stream_ranks_as_the_live_scorer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same candidates in the same order with the same features as in the slate that the scorer would publish."""
    stream = walks(1, 640)
    next_item = NextItemTask(stream, SCENARIOS)
    prequential = Prequential(stream, SCENARIOS, PrequentialPolicy(micro_batch=64), [next_item], GRAPHS)
    recommender, rank = prequential.recommender, prequential.recommender.rank
    compared = 0

    def rank_and_compare(requests: list[Request], users: list[User]) -> RankedCandidates:
        nonlocal compared
        ranked = rank(requests, users)
        for row in range(0, len(requests), 13):
            users_before = recommender.state.users._users.copy()
            recommender.state.users._users[requests[row].user_id] = users[row]
            (slate,) = recommender.recommend([requests[row]], 0)
            recommender.state.users._users = users_before
            count = ranked.candidates.merged_counts[row]
            names = [recommender.state.catalogue.ids[item] for item in ranked.candidates.rows[row, :count].tolist()]
            assert slate["considered"][:count] == names
            assert slate["features"][: count * 2 * len(FEATURES)] == ranked.features[row, :count].tobytes()
            best = [names[column] for column in ranked.ranking[row].tolist() if column < count]
            exploited = [item["item_id"] for item in slate["items"] if item["source"] != "random"]
            assert exploited == best[: len(exploited)]
            compared += len(names)
        return ranked

    monkeypatch.setattr(recommender, "rank", rank_and_compare)
    prequential.play()
    assert compared > 1000
    assert (next_item.ranks >= 0).any()


def test_a_query_is_ranked_and_changes_nothing_else() -> None:
    stream = walks(1, 300)
    titles = [stream.catalogue[item]["title"] for item in stream.items]
    search = SearchTask({"titles": titles, "empty": [""] * len(stream)})
    without, with_search = NextItemTask(stream, SCENARIOS), NextItemTask(stream, SCENARIOS)
    play(stream, PrequentialPolicy(micro_batch=64), without)
    play(stream, PrequentialPolicy(micro_batch=64), with_search, search)
    assert (with_search.ranks == without.ranks).all()
    assert (search.ranks["empty"] == without.ranks).all()
    assert (search.ranks["titles"] == 0).mean() > 0.9 > (without.ranks == 0).mean()


@pytest.fixture
def walkers() -> Dataset:
    return walker_data()


def test_windows_end_at_the_given_index(walkers: Dataset) -> None:
    histories = histories_of(walkers)
    windows = histories.windows(np.array([3, 5]), np.array([2, 20]), length=6, seen_before=4)
    assert windows.targets.tolist()[0] == [0, 0, 0, 0, 22, 23]
    assert windows.rows.tolist()[0] == [0, 0, 0, 0, 0, 22]
    assert windows.gaps.tolist()[0] == [0, 0, 0, 0, 0, 60]
    assert windows.targets.tolist()[1] == [((35 + step) % 40) + 1 for step in range(14, 20)]
    assert windows.earlier.tolist()[1] == [((35 + step) % 40) + 1 for step in range(9, 13)]


def test_held_out_items_are_ranked_first(walkers: Dataset) -> None:
    histories = histories_of(walkers)
    ends = histories.lengths() - 1
    trainer = train(DEFAULT_MODEL, 40, histories, ends, [0], OfflinePolicy(epochs=16, users=32, rate=5e-3), 0)
    users = np.arange(200)
    ranks = ranks_of(lambda batch, at: encoder_scores(trainer, histories, batch, at), histories, users, ends)
    assert (ranks == 0).mean() > 0.9
    _, transitions = PairCounts(histories, ends, 40).scores(users, ends)
    assert (transitions.argmax(axis=1) == histories.rows[histories.starts[:-1] + ends]).mean() > 0.9


def test_loo_scores_only_the_last_item(walkers: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loo, "load", lambda *_: walkers)
    monkeypatch.setattr(loo, "_SPARSE", OfflinePolicy(epochs=12, users=32, rate=5e-3))
    result = loo.run(OPTIONS, SILENT)
    assert result.details["users"] == 200
    assert result.methods["model"]["ndcg_at_10"] > 0.8
    assert set(result.methods["model"]) == {"ndcg_at_10", "hr_at_10", "mrr_at_10"}
    assert loo.run(OPTIONS, SILENT).methods == result.methods


def test_a_sequence_file_is_read_and_an_error_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "Few.txt"
    path.write_text("1 10 11 12\n2 11\n")
    data = read_folder(path)
    assert data.name == "Few"
    assert [item.genres for item in data.catalogue] == [(), (), ()]
    (tmp_path / "Few_item2attributes.json").write_text('{"11": [7, 3, 7]}')
    assert [item.genres for item in read_folder(path).catalogue] == [(), ("attribute7", "attribute3"), ()]
    assert sorted(zip(data.users.tolist(), [data.item_ids[item] for item in data.items], strict=True)) == [
        (0, "10"),
        (0, "11"),
        (0, "12"),
        (1, "11"),
    ]
    path.write_text("1 10 11\nAlice 3\n")
    with pytest.raises(ConfigError, match=r"Few\.txt, line 2"):
        read_folder(path)


def test_transitions_follow_the_last_items() -> None:
    of_last, of_last_five = Transitions(10, 1), Transitions(10, 5)
    for user in range(20):
        for baseline in (of_last, of_last_five):
            for item in ((1, 2, 3), (4, 2, 5))[user % 2]:
                baseline.learn(user, item, 0)
    for baseline, worst_rank in ((of_last, 1), (of_last_five, 0)):
        for item in (4, 2):
            baseline.learn(99, item, 0)
        assert baseline.rank(99, 5) <= worst_rank
    assert of_last_five.rank(99, 9) == 9


def test_isgd_learns_which_items_share_users() -> None:
    random, baseline = np.random.default_rng(0), Isgd(20)
    hits = []
    for event in range(12_000):
        user = event // 6
        item = int(random.integers(10)) + 10 * (user % 2)
        if event % 6 > 2 and event > 9000:
            hits.append(baseline.rank(user, item) < 7)
        baseline.learn(user, item, event)
    assert np.mean(hits) > 0.6


def test_a_gain_is_one_over_the_log_of_the_rank() -> None:
    assert gains_at_10(np.array([0, 9, 10, -1])).tolist() == pytest.approx([1, 1 / np.log2(11), 0, 0])


def test_random_items_are_not_predicted(walkers: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last item of each user is random: only a leak of it could predict it."""
    items = walkers.items.copy()
    random = np.random.default_rng(0)
    for user in range(200):
        unseen = np.setdiff1d(np.arange(40), items[20 * user : 20 * user + 19])
        items[20 * user + 19] = random.choice(unseen)
    monkeypatch.setattr(loo, "load", lambda *_: replace(walkers, items=items))
    monkeypatch.setattr(loo, "_SPARSE", OfflinePolicy(epochs=12, users=32, rate=5e-3))
    result = loo.run(OPTIONS, SILENT)
    by_guessing = float(gains_at_10(np.arange(21)).mean())
    for figures in result.methods.values():
        assert figures["ndcg_at_10"] < by_guessing + 0.12


def test_an_item_that_its_user_has_seen_is_not_ranked() -> None:
    histories = TrainingHistories(
        np.array([0, 3]),
        np.array([1, 2, 1]),
        np.ones(3, np.int64),
        np.ones(3, np.float32),
        np.zeros(3, np.int64),
        np.arange(3.0),
    )
    ranks = ranks_of(lambda *_: np.array([[0, 3, 2, 1]], np.float32), histories, np.array([0]), np.array([2]))
    assert ranks.tolist() == [OUTSIDE]


def test_transfer_compares_joint_and_solo_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files of walks. The joint model learns both, and a user with too few interactions is left out."""
    lines = [" ".join(map(str, [user, *(1 + (7 * user + np.arange(20)) % 40)])) for user in range(1, 101)]
    (tmp_path / "A.txt").write_text("\n".join([*lines, "101 1 2"]))
    (tmp_path / "B.txt").write_text("\n".join(reversed(lines)))
    monkeypatch.setattr(transfer, "POLICY", OfflinePolicy(epochs=10, users=32, rate=5e-3))
    monkeypatch.setattr(transfer, "FEW_EPOCHS", OfflinePolicy(epochs=2, users=32, rate=5e-3))
    result = transfer.run(replace(OPTIONS, data=tmp_path), SILENT)
    for name in ("A", "B"):
        figures = result.methods[f"{name}: joint"]
        gain = figures["ndcg_at_10"] - result.methods[f"{name}: solo"]["ndcg_at_10"]
        assert figures["ndcg_at_10"] > 0.5
        assert figures["gain_low"] <= gain <= figures["gain_high"]
        served = "solo" if name in result.details["falls back to solo"] else "joint"
        assert result.methods[f"{name}: model"]["ndcg_at_10"] == result.methods[f"{name}: {served}"]["ndcg_at_10"]
    again = transfer.run(replace(OPTIONS, data=tmp_path), SILENT)
    assert (again.methods, again.details) == (result.methods, result.details)


def test_variants_are_measured_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "whole_stream", lambda _: walks(1, 900))
    kinds = {name: variants.Variant(LearnerPolicy(0, name)) for name in (DEFAULT_MODEL, "linear")}
    result = variants.compare("models", kinds, OPTIONS, SILENT)
    for figures in result.methods.values():
        assert 0 < figures["ndcg_at_10"] < 1
        assert figures["train us"] > 0 < figures["serve us"]
    assert result.methods[DEFAULT_MODEL]["parameters"] > result.methods["linear"]["parameters"]


def test_the_error_of_a_trainer_process_is_raised(tmp_path: Path) -> None:
    setup = TrainerSetup(SCENARIOS, LearnerPolicy(), [], GRAPHS, str(tmp_path))
    with pytest.raises(ConfigError, match="not a sentence-embedding model"), trainer_process(setup):
        pass


@pytest.fixture
def run_ctr_live(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stream], BenchmarkResult]:
    def run(stream: Stream) -> BenchmarkResult:
        monkeypatch.setattr(ctr_live, "MICRO_BATCH", 64)
        monkeypatch.setattr(ctr_live, "whole_stream", lambda _: stream)
        return ctr_live.run(OPTIONS, SILENT)

    return run


def test_ctr_live_learns_from_its_training_part_only(run_ctr_live: Callable[[Stream], BenchmarkResult]) -> None:
    result = run_ctr_live(rated_walks(2300))
    assert result.methods[MODEL]["auc"] > 0.9
    micro_batches = -(-int(0.8 * 2300) // 64)
    assert result.details["releases"] + sum(result.details["held"].values()) == micro_batches


def test_ctr_live_gives_equal_figures_for_equal_streams(run_ctr_live: Callable[[Stream], BenchmarkResult]) -> None:
    first, second = (run_ctr_live(rated_walks(600)) for _ in range(2))
    costs = {"train us", "serve us"}
    first_figures, second_figures = (
        {name: value for name, value in result.methods[MODEL].items() if name not in costs}
        for result in (first, second)
    )
    assert (first_figures, first.details) == (second_figures, second.details)


def test_ctr_live_refuses_data_without_ratings_before_playing(
    run_ctr_live: Callable[[Stream], BenchmarkResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Prequential, "play", lambda *_: pytest.fail("played"))
    with pytest.raises(ConfigError, match="tiny needs values both below 4 and from 4 on"):
        run_ctr_live(twice(walks(3, 300)))


def test_only_first_rated_events_are_predicted() -> None:
    """Events without a rating and repeated ones are neither predicted nor learned."""
    once = rated_walks(400)
    values = [None if index % 10 == 0 else once.values[index // 2] for index in range(800)]
    stream = replace(twice(once), values=values)
    rating = RatingTask(stream, SCENARIOS, 4.0)
    play(stream, PrequentialPolicy(micro_batch=64), UnrankedTask(stream, SCENARIOS), rating)
    predicted = np.flatnonzero(rating.predictions != NOT_PREDICTED)
    assert set(predicted) <= set(np.flatnonzero(stream.rated()))
    assert set(predicted % 2) == {0}
    assert len(predicted) > 200


def test_loo_needs_a_user_with_three_events(walkers: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loo, "load", lambda *_: walkers.at(np.arange(0, len(walkers), 10)))
    with pytest.raises(ConfigError, match="no user with three events"):
        loo.run(OPTIONS, SILENT)


def test_an_option_without_effect_is_refused() -> None:
    app = typer.Typer()
    app.command()(evaluate)
    error = CliRunner().invoke(app, ["ctr", "--model", "hstu"]).exception
    assert isinstance(error, ConfigError)
    assert "--model has no effect on ctr" in str(error)
