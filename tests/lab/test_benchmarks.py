"""Every protocol on little data: judged as it says, decided by the seed, and the same as the live scorer."""

import json
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
from eddy_cli.datasets import CatalogueItem, Dataset, read_folder
from eddy_cli.replay.event_kind import MOVIELENS, EventKind, event_kind_of
from eddy_cli.replay.stream import Stream
from eddy_lab.commands import evaluate, protocols
from eddy_lab.evaluate import variants
from eddy_lab.evaluate.benchmarks import ctr_live, loo, transfer
from eddy_lab.evaluate.benchmarks.loo import histories_of
from eddy_lab.evaluate.benchmarks.stream import prequential
from eddy_lab.evaluate.offline import OfflinePolicy, TrainingHistories, encoder_scores, ranks_of, train
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.pair_counts import PairCounts
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.ranking import gains_at_10, ranking_figures, ratio_interval
from eddy_lab.evaluate.result import MODEL, BenchmarkResult, tables, write_result
from eddy_lab.evaluate.stream_ranker import OUTSIDE
from eddy_lab.evaluate.tasks.next_item import NextItemTask, UnrankedTask
from eddy_lab.evaluate.tasks.prediction_task import PredictionTask
from eddy_lab.evaluate.tasks.rating import NOT_ASKED, RatingTask
from eddy_lab.evaluate.tasks.search import SearchTask
from eddy_lab.evaluate.trainer_process import TrainerSetup, trainer_process
from eddy_scorer.core.ranking.request import Request
from eddy_scorer.core.ranking.slates import RankedCandidates
from eddy_scorer.core.state.users import User
from eddy_trainer.core.learner import LearnerPolicy
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.settings import TrainerSettings
from tests.lab.test_evaluate import walks

pytestmark = pytest.mark.slow

GRAPHS: Path = TrainerSettings.model_fields["trainer_graphs_dir"].default
OPTIONS = Options("tiny", None, "video", "rate", None, 0, REPO_ROOT / "scenarios.yaml", GRAPHS, DEFAULT_MODEL, "")
SILENT = Console(file=StringIO())
SCENARIOS = load_scenarios(REPO_ROOT / "scenarios.yaml")


def played(stream: Stream, policy: PrequentialPolicy, *questions: PredictionTask) -> Prequential:
    """The stream, played."""
    play = Prequential(stream, SCENARIOS, policy, questions, GRAPHS)
    play.play()
    return play


def test_figures_are_those_of_the_definitions() -> None:
    places = np.array([0, 1, 9, 10, -1, 2, 0, 0, 0, 0])
    counted = np.array([True] * 6 + [False] * 4)
    found = ranking_figures(places, counted)
    assert found["hr_at_10"] == pytest.approx(4 / 6)
    assert found["ndcg_at_10"] == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(11) + 1 / np.log2(4)) / 6)
    assert found["mrr_at_10"] == pytest.approx((1 + 1 / 2 + 1 / 10 + 1 / 3) / 6)
    assert found["hr_at_10_by_tenth"] == [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    low, high = ratio_interval(np.full(4000, 0.4), np.full(4000, 0.2))
    assert low == high == pytest.approx(2.0)


def test_an_outcome_is_a_file_a_table_and_a_plot(tmp_path: Path) -> None:
    by_tenth = [0.1] * 10
    outcome = BenchmarkResult(
        "stream",
        "tiny",
        10,
        1.23,
        5,
        {"model": {"ndcg_at_10": 0.5, "ndcg_at_10_by_tenth": by_tenth}},
        {"paper": {"ndcg_at_10": 0.4}},
    )
    written = write_result(outcome, tmp_path, "make evaluate")
    assert json.loads(written[0].read_text()) == {
        "protocol": "stream",
        "dataset": "tiny",
        "events": 10,
        "seconds": 1.2,
        "command": "make evaluate",
        "seed": 5,
        "methods": {"model": {"ndcg_at_10": 0.5, "ndcg_at_10_by_tenth": by_tenth}},
        "anchors": {"paper": {"ndcg_at_10": 0.4}},
    }
    assert written[1].stat().st_size > 5000
    assert len(tables(outcome)) == 2
    assert len(tables(replace(outcome, methods={"model": {"auc": 0.5}}))) == 1


def test_every_protocol_is_told_of_in_the_readme() -> None:
    text = (REPO_ROOT / "lab" / "eddy_lab" / "evaluate" / "README.md").read_text()
    assert [name for name in protocols() if f"`{name}`" not in text] == []


def test_a_stream_is_decided_by_its_seed_and_a_walk_is_learned() -> None:
    stream = walks(0)
    counted = stream.scored()
    one, again = (prequential("stream", stream, counted, OPTIONS, SILENT) for _ in range(2))
    assert one.methods == again.methods
    assert one.methods["model"]["ndcg_at_10_by_tenth"][-1] > 0.8
    assert one.methods["model"]["ndcg_at_10"] > one.methods["popularity"]["ndcg_at_10"]
    assert one.also["best_baseline"] in one.methods


@pytest.mark.parametrize(
    ("scenario", "action"), [("shop", "purchase"), ("social", "comment"), ("music", "play"), ("search", "like")]
)
def test_a_stream_is_learned_in_every_scenario(scenario: str, action: str) -> None:
    """Everything is done twice: the second time it is not ranked, whatever the scenario shows again."""
    once = walks(1).cut(1500)
    twice = replace(
        once,
        users=np.repeat(once.users, 2).tolist(),
        items=np.repeat(once.items, 2).tolist(),
        values=[None] * 2 * len(once),
        times_ms=np.repeat(once.times_ms, 2).tolist(),
        event_kind=event_kind_of(SCENARIOS, scenario, action),
    )
    next_items = NextItemTask(twice, SCENARIOS)
    users = played(twice, PrequentialPolicy(128), next_items).recommender.state.users
    assert gains_at_10(next_items.ranks[-600::2]).mean() > 0.5
    assert (next_items.ranks[1::2] == OUTSIDE).all()
    history = users.snapshot(users.get("u49"))
    assert (set(history["actions"]), set(history["scenarios"])) == ({action}, {scenario})


def test_a_data_set_is_played_as_an_action_of_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "out.messages").write_text("% asym positive\n1 2 1 50\n3 2 1 60\n1 3 1 55\n")
    options = replace(OPTIONS, data=tmp_path, scenario="social", action="comment")
    stream = whole_stream(options).cut(2)
    assert [stream.user_ids[user] for user in stream.users] == ["1", "1"]
    assert stream.event_kind == EventKind("social", "comment", explicit_rating=False)
    assert stream.values == [None, None]
    assert whole_stream(replace(OPTIONS, data=tmp_path)).values == [None, None, None]


def test_what_a_scenario_does_not_have_is_said() -> None:
    assert event_kind_of(SCENARIOS, "video", "rate") == MOVIELENS
    with pytest.raises(ConfigError, match=r"no scenario shopp: choose one of video, shop, .* by --scenario"):
        event_kind_of(SCENARIOS, "shopp", "rate")
    with pytest.raises(
        ConfigError, match=r"skip is not a positive action of social: choose one of view, click, .* by --action"
    ):
        event_kind_of(SCENARIOS, "social", "skip")


def test_the_stream_ranks_as_the_live_scorer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same candidates in the same order with the same features as in the list that the scorer would publish."""
    stream = walks(1).cut(640)
    next_items = NextItemTask(stream, SCENARIOS)
    play = Prequential(stream, SCENARIOS, PrequentialPolicy(micro_batch=64), [next_items], GRAPHS)
    engine, whole = play.recommender, play.recommender.rank
    compared = 0

    def rank(requests: list[Request], users: list[User]) -> RankedCandidates:
        nonlocal compared
        ranked = whole(requests, users)
        for line in range(0, len(requests), 13):
            known = engine.state.users._users.copy()
            engine.state.users._users[requests[line].user_id] = users[line]
            (record,) = engine.recommend([requests[line]], 0)
            engine.state.users._users = known
            count = ranked.candidates.merged_counts[line]
            names = [engine.state.catalogue.ids[row] for row in ranked.candidates.rows[line, :count].tolist()]
            assert record["considered"][:count] == names
            assert record["features"][: count * 2 * len(FEATURES)] == ranked.features[line, :count].tobytes()
            best = [names[column] for column in ranked.ranking[line].tolist() if column < count]
            shown = [place["item_id"] for place in record["items"] if place["source"] != "random"]
            assert shown == best[: len(shown)]
            compared += len(names)
        return ranked

    monkeypatch.setattr(engine, "rank", rank)
    play.play()
    assert compared > 1000
    assert (next_items.ranks >= 0).any()


def test_a_query_is_answered_and_changes_nothing_else() -> None:
    stream = walks(1).cut(300)
    titles = [stream.catalogue[item]["title"] for item in stream.items]
    search = SearchTask({"titles": titles, "nothing": [""] * len(stream)})
    alone, searched = NextItemTask(stream, SCENARIOS), NextItemTask(stream, SCENARIOS)
    played(stream, PrequentialPolicy(micro_batch=64), alone)
    played(stream, PrequentialPolicy(micro_batch=64), searched, search)
    assert (searched.ranks == alone.ranks).all()
    assert (search.ranks["nothing"] == alone.ranks).all()
    assert (search.ranks["titles"] == 0).mean() > 0.9 > (alone.ranks == 0).mean()


@pytest.fixture
def walkers() -> Dataset:
    """Each user walks twenty steps through forty items from a place of their own."""
    users = np.repeat(np.arange(200), 20)
    items = (users * 7 + np.tile(np.arange(20), 200)) % 40
    return Dataset(
        name="walkers",
        user_ids=[f"u{number}" for number in range(200)],
        item_ids=[f"i{number}" for number in range(40)],
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        values=np.full(len(users), 4, np.float32),
        times_ms=np.tile(np.arange(20), 200) * 60_000,
        catalogue=[CatalogueItem(f"i{number}") for number in range(40)],
    )


def test_windows_end_where_they_are_asked_to(walkers: Dataset) -> None:
    histories = histories_of(walkers)
    windows = histories.windows(np.array([3, 5]), np.array([2, 20]), length=6, seen_before=4)
    assert windows.targets.tolist()[0] == [0, 0, 0, 0, 22, 23]
    assert windows.rows.tolist()[0] == [0, 0, 0, 0, 0, 22]
    assert windows.gaps.tolist()[0] == [0, 0, 0, 0, 0, 60]
    assert windows.targets.tolist()[1] == [((35 + step) % 40) + 1 for step in range(14, 20)]
    assert windows.earlier.tolist()[1] == [((35 + step) % 40) + 1 for step in range(9, 13)]


def test_what_was_left_out_is_found(walkers: Dataset) -> None:
    histories = histories_of(walkers)
    ends = histories.lengths() - 1
    trainer = train(DEFAULT_MODEL, 40, histories, ends, [0], OfflinePolicy(epochs=16, users=32, rate=5e-3), 0)
    users = np.arange(200)
    places = ranks_of(lambda some, at: encoder_scores(trainer, histories, some, at), histories, users, ends)
    assert (places == 0).mean() > 0.9
    _, moves = PairCounts(histories, ends, 40).scores(users, ends)
    assert (moves.argmax(axis=1) == histories.rows[histories.starts[:-1] + ends]).mean() > 0.9


def test_loo_judges_the_last_item_alone(walkers: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loo, "load", lambda *_: walkers)
    monkeypatch.setattr(loo, "_SPARSE", OfflinePolicy(epochs=12, users=32, rate=5e-3))
    outcome = loo.run(OPTIONS, SILENT)
    assert outcome.also["users"] == 200
    assert outcome.methods["model"]["ndcg_at_10"] > 0.8
    assert set(outcome.methods["model"]) == {"ndcg_at_10", "hr_at_10", "mrr_at_10"}
    assert loo.run(OPTIONS, SILENT).methods == outcome.methods


def test_a_file_of_sequences_is_read_and_a_broken_line_named(tmp_path: Path) -> None:
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
    one, five = Transitions(10, 1), Transitions(10, 5)
    for user in range(20):
        for rule in (one, five):
            for item in ((1, 2, 3), (4, 2, 5))[user % 2]:
                rule.learn(user, item, 0)
    for rule, place in ((one, 1), (five, 0)):
        for item in (4, 2):
            rule.learn(99, item, 0)
        assert rule.rank(99, 5) <= place
    assert five.rank(99, 9) == 9


def test_isgd_learns_what_goes_together() -> None:
    source, rule = np.random.default_rng(0), Isgd(20)
    hits = []
    for event in range(12_000):
        user = event // 6
        item = int(source.integers(10)) + 10 * (user % 2)
        if event % 6 > 2 and event > 9000:
            hits.append(rule.rank(user, item) < 7)
        rule.learn(user, item, event)
    assert np.mean(hits) > 0.6


def test_a_gain_is_one_over_the_log_of_the_place() -> None:
    assert gains_at_10(np.array([0, 9, 10, -1])).tolist() == pytest.approx([1, 1 / np.log2(11), 0, 0])


def test_what_nobody_can_know_is_not_found(walkers: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each user's last item is any: whoever finds it has seen it."""
    items = walkers.items.copy()
    random = np.random.default_rng(0)
    for user in range(200):
        unseen = np.setdiff1d(np.arange(40), items[20 * user : 20 * user + 19])
        items[20 * user + 19] = random.choice(unseen)
    monkeypatch.setattr(loo, "load", lambda *_: replace(walkers, items=items))
    monkeypatch.setattr(loo, "_SPARSE", OfflinePolicy(epochs=12, users=32, rate=5e-3))
    outcome = loo.run(OPTIONS, SILENT)
    chance = float(gains_at_10(np.arange(21)).mean())
    for figures in outcome.methods.values():
        assert figures["ndcg_at_10"] < chance + 0.12


def test_a_repetition_is_not_found() -> None:
    histories = TrainingHistories(
        np.array([0, 3]),
        np.array([1, 2, 1]),
        np.ones(3, np.int64),
        np.ones(3, np.float32),
        np.zeros(3, np.int64),
        np.arange(3.0),
    )
    places = ranks_of(lambda *_: np.array([[0, 3, 2, 1]], np.float32), histories, np.array([0]), np.array([2]))
    assert places.tolist() == [-1]


def test_scenarios_of_one_model_are_compared_with_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Walks in one file, chance in the other: the joint model knows both, and a user who did too little is left out."""
    walks_of = [" ".join(map(str, [user, *(1 + (7 * user + np.arange(20)) % 40)])) for user in range(1, 101)]
    (tmp_path / "A.txt").write_text("\n".join([*walks_of, "101 1 2"]))
    (tmp_path / "B.txt").write_text("\n".join(reversed(walks_of)))
    monkeypatch.setattr(transfer, "POLICY", OfflinePolicy(epochs=10, users=32, rate=5e-3))
    monkeypatch.setattr(transfer, "FEW", OfflinePolicy(epochs=2, users=32, rate=5e-3))
    outcome = transfer.run(replace(OPTIONS, data=tmp_path), SILENT)
    for name in ("A", "B"):
        figures = outcome.methods[f"{name}: joint"]
        assert figures["ndcg_at_10"] > 0.5
        assert figures["gain_low"] <= figures["ndcg_at_10"] - outcome.methods[f"{name}: solo"]["ndcg_at_10"]
        assert figures["gain_high"] >= figures["ndcg_at_10"] - outcome.methods[f"{name}: solo"]["ndcg_at_10"]
        served = "solo" if name in outcome.also["falls back to solo"] else "joint"
        assert outcome.methods[f"{name}: model"]["ndcg_at_10"] == outcome.methods[f"{name}: {served}"]["ndcg_at_10"]
    again = transfer.run(replace(OPTIONS, data=tmp_path), SILENT)
    assert (again.methods, again.also) == (outcome.methods, outcome.also)


def test_variants_of_learning_are_measured_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "whole_stream", lambda _: walks(1))
    kinds = {name: variants.Variant(LearnerPolicy(0, name)) for name in (DEFAULT_MODEL, "linear")}
    outcome = variants.compare("models", kinds, OPTIONS, SILENT)
    for figures in outcome.methods.values():
        assert 0 < figures["ndcg_at_10"] < 1
        assert figures["train us"] > 0 < figures["serve us"]
    assert outcome.methods[DEFAULT_MODEL]["parameters"] > outcome.methods["linear"]["parameters"]


def test_what_another_process_failed_with_is_raised(tmp_path: Path) -> None:
    task = TrainerSetup(SCENARIOS, LearnerPolicy(), [], GRAPHS, str(tmp_path))
    with pytest.raises(ConfigError, match="not a sentence-embedding model"), trainer_process(task):
        pass


def _tasteful() -> Stream:
    """Items of even number are liked, the others are not."""
    stream = walks(3)
    return replace(stream, values=[5.0 if item % 2 == 0 else 1.0 for item in stream.items])


def test_the_live_model_tells_what_is_liked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctr_live, "MICRO_BATCH", 64)
    monkeypatch.setattr(ctr_live, "whole_stream", lambda _: _tasteful())
    one, again = (ctr_live.run(OPTIONS, SILENT).methods[MODEL] for _ in range(2))
    assert one["auc"] > 0.9
    assert (one["auc"], one["log_loss"]) == (again["auc"], again["log_loss"])


def test_data_without_ratings_are_refused_before_they_are_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctr_live, "whole_stream", lambda _: replace(walks(3), values=[None] * len(walks(3))))
    monkeypatch.setattr(Prequential, "play", lambda *_: pytest.fail("was played"))
    with pytest.raises(ConfigError, match="tiny needs values below 4 and from 4 on"):
        ctr_live.run(OPTIONS, SILENT)


def test_weights_stand_still_once_all_is_learned_that_should_be() -> None:
    stream = _tasteful()
    questions: list[PredictionTask] = [UnrankedTask(stream, SCENARIOS), RatingTask(stream, SCENARIOS, 4.0)]
    counts = played(stream, PrequentialPolicy(micro_batch=64, learned_until=1000), *questions).releases
    assert counts.released + sum(counts.held.values()) == -(-1000 // 64)


def test_what_is_not_rated_or_was_had_before_is_not_shown_as_liked_or_not() -> None:
    """Every event twice, and some without a rating: what is asked and learned is that of the others alone."""
    once = _tasteful().cut(800)
    twice = replace(
        once,
        users=np.repeat(once.users, 2).tolist(),
        items=np.repeat(once.items, 2).tolist(),
        values=[None if index % 10 == 0 else once.values[index // 2] for index in range(1600)],
        times_ms=np.repeat(once.times_ms, 2).tolist(),
    )
    liked = RatingTask(twice, SCENARIOS, 4.0)
    played(twice, PrequentialPolicy(micro_batch=64), UnrankedTask(twice, SCENARIOS), liked)
    asked = np.flatnonzero(liked.predictions != NOT_ASKED)
    assert set(asked) <= set(np.flatnonzero(twice.rated()))
    assert set(asked % 2) == {0}
    assert len(asked) > 500


def test_loo_needs_somebody_with_three_events(walkers: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loo, "load", lambda *_: walkers.at(np.arange(0, len(walkers), 10)))
    with pytest.raises(ConfigError, match="no user with three events"):
        loo.run(OPTIONS, SILENT)


def test_an_option_that_says_nothing_in_a_protocol_is_refused() -> None:
    app = typer.Typer()
    app.command()(evaluate)
    refused = CliRunner().invoke(app, ["ctr", "--model", "hstu"]).exception
    assert isinstance(refused, ConfigError)
    assert "--model says nothing in ctr" in str(refused)
