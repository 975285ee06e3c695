"""Wiring of the trainer."""

import asyncio
import time
from contextlib import AsyncExitStack

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from eddy.clock import SystemClock
from eddy.contract.poison import PoisonRuns
from eddy.contract.releases import ReleaseKeys, key_id
from eddy.contract.scenarios import Scenarios, load_scenarios, watch_scenarios
from eddy.contract.topics import ITEMS, TRAINING_EXAMPLES
from eddy.errors import ConfigError
from eddy.kafka.bus import Bus
from eddy.kafka.dead_letters import DeadLetters
from eddy.keys import read_release_keys, read_signing_key
from eddy.last_good_release import LastGoodRelease
from eddy.runtime import Health, serve_health
from eddy.text import TextModel
from eddy_trainer.core.budgets import BudgetPolicy
from eddy_trainer.core.effort import PacePolicy
from eddy_trainer.core.encoder_training import EncoderPolicy
from eddy_trainer.core.examples import ExampleParser
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import Learner, LearnerPolicy
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release_schedule import ReleaseSchedule
from eddy_trainer.settings import TrainerSettings
from eddy_trainer.shell.inputs import Inputs
from eddy_trainer.shell.monitoring import Profiler, TensorBoard
from eddy_trainer.shell.observer import Observer
from eddy_trainer.shell.releases import ReleasePublisher
from eddy_trainer.shell.topic_intake import SERVICE, TopicIntake
from eddy_trainer.shell.training_loop import TrainingLoop, TrainingLoopPolicy


async def serve(settings: TrainerSettings, health: Health) -> None:
    """Run until cancelled. Raises FatalError when Kafka cannot be reached or a setting cannot be used."""
    torch.set_num_threads(settings.trainer_threads)
    signing_key, keys = _release_keys(settings)
    scenarios = load_scenarios(settings.scenarios_path)
    text_model = await asyncio.to_thread(TextModel.load, settings.text_model)
    bus, clock = Bus(settings), SystemClock()
    await bus.create_topics("trainer")
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(bus.watch_topics())
        tasks.create_task(watch_scenarios(settings.scenarios_path, scenarios))
        tasks.create_task(serve_health(health, settings.http_host, settings.trainer_http_port))
        producer = await stack.enter_async_context(bus.producer())
        items = await stack.enter_async_context(bus.reader(bus.topic_partitions(ITEMS)))
        examples = await stack.enter_async_context(bus.reader(bus.topic_partitions(TRAINING_EXAMPLES)))
        exporter = await asyncio.to_thread(
            GraphExporter.cached, settings.trainer_graphs_dir, settings.trainer_model, settings.columns
        )
        profiler = Profiler(settings.state_dir)
        profiler.listen()
        observer = Observer(health, clock, TensorBoard(settings.trainer_tensorboard_dir), profiler)
        publisher = await stack.enter_async_context(
            ReleasePublisher(
                bus,
                clock,
                signing_key,
                keys,
                LastGoodRelease(settings.state_dir / f"trainer-{settings.topic_prefix or 'main'}.release"),
                observer.release_refused,
                observer.release_restored,
            )
        )
        schedule = ReleaseSchedule(
            settings.trainer_release_interval_sec, publisher.trained_through, now=time.monotonic()
        )
        trainer = OnlineTrainer(lambda: _learner(scenarios, settings, text_model), exporter, schedule)
        inputs = Inputs(
            TopicIntake(ITEMS, items, bus),
            TopicIntake(TRAINING_EXAMPLES, examples, bus),
            DeadLetters(SERVICE, bus, producer, clock, PoisonRuns(settings.poison_limit)),
            ExampleParser(scenarios, settings.columns),
        )
        loop = TrainingLoop(_loop_policy(settings), trainer, inputs, publisher, observer, clock)
        await loop.run()


def _release_keys(settings: TrainerSettings) -> tuple[Ed25519PrivateKey, ReleaseKeys]:
    """The key that signs releases, and those that are accepted. Raises ConfigError if the first is not among them."""
    signing_key, keys = read_signing_key(settings.trainer_signing_key), read_release_keys(settings.release_public_keys)
    own = key_id(signing_key.public_key())
    if own not in keys.ids:
        raise ConfigError(
            f"EDDY_RELEASE_PUBLIC_KEYS: {settings.release_public_keys} has no public key {own} of EDDY_TRAINER_SIGNING_KEY. Add it here "
            "and for the scorers: they would refuse every release."
        )
    return signing_key, keys


def _learner(scenarios: Scenarios, settings: TrainerSettings, text_model: TextModel | None) -> Learner:
    learner = Learner(scenarios, _learner_policy(settings), text_model)
    learner.ranker.clear()
    return learner


def _learner_policy(settings: TrainerSettings) -> LearnerPolicy:
    encoder = EncoderPolicy(
        full_softmax_items=settings.trainer_full_softmax_items,
        max_users=settings.trainer_max_users,
        objective=settings.trainer_objective,
        budgets=BudgetPolicy(enabled=settings.bound_newcomers),
    )
    return LearnerPolicy(settings.trainer_seed, settings.trainer_model, encoder, columns=settings.columns)


def _loop_policy(settings: TrainerSettings) -> TrainingLoopPolicy:
    pace = PacePolicy(
        settings.trainer_learn_within_sec, settings.trainer_shed_rehearsal_lag, settings.trainer_large_batch_lag
    )
    return TrainingLoopPolicy(
        checkpoint_path=settings.state_dir / f"trainer-{settings.topic_prefix or 'main'}.ckpt",
        checkpoint_interval_sec=settings.trainer_checkpoint_interval_sec,
        pace=pace,
        user_expiry_days=settings.user_expiry_days,
        item_expiry_days=settings.item_expiry_days,
    )
