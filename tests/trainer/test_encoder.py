"""The encoder: causality, padding, and the inputs that it depends on."""

import numpy as np
import torch
from torch import Tensor

from eddy.contract.model import DIM, HISTORY, Columns
from eddy_trainer.core.models.encoder import TEMPERATURE, Dropout, Encoder, Interactions
from eddy_trainer.core.models.transformer import Transformer


def an_encoder(seed: int = 0) -> Encoder:
    """Return an encoder with random weights everywhere, since weights of zero would hide errors."""
    torch.manual_seed(seed)
    encoder = Transformer(Columns())
    for parameter in encoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return encoder


def histories(count: int, length: int, seed: int = 1) -> Interactions:
    generator = torch.Generator().manual_seed(seed)
    return Interactions(
        torch.randn(count, length, DIM, generator=generator),
        torch.ones(count, length, dtype=torch.bool),
        torch.randint(1, 10, (count, length), generator=generator),
        torch.rand(count, length, generator=generator),
        torch.rand(count, length, generator=generator) * 1e5,
    )


def users_of(encoder: Encoder, batch: Interactions, scenario: int = 0) -> Tensor:
    users: Tensor = encoder(batch, torch.full(batch.present.shape, scenario))
    return users.detach()


def test_encoder_ignores_later_interactions() -> None:
    encoder, batch = an_encoder(), histories(2, 10)
    other = histories(2, 10, seed=2)
    position = 6
    changed = Interactions(
        *(torch.cat([first[:, :position], second[:, position:]], 1) for first, second in zip(batch, other, strict=True))
    )
    before, after = users_of(encoder, batch), users_of(encoder, changed)
    assert torch.equal(before[:, :position], after[:, :position])
    assert not torch.allclose(before[:, position:], after[:, position:])


def test_encoder_ignores_padding() -> None:
    encoder, batch = an_encoder(), histories(2, 12)
    padded = Interactions(*(torch.cat([torch.zeros_like(x[:, :1]).expand(-1, 5, *x.shape[2:]), x], 1) for x in batch))
    torch.testing.assert_close(users_of(encoder, padded)[:, 5:], users_of(encoder, batch), rtol=0, atol=1e-4)


def test_empty_history_is_encoded_alike_at_any_length() -> None:
    encoder = an_encoder()
    empty = Interactions(*(torch.zeros_like(x) for x in histories(1, 4)))
    users = users_of(encoder, empty)
    torch.testing.assert_close(users, users[:, :1].expand_as(users))
    assert torch.isfinite(users).all()


def test_encoder_depends_on_order_action_value_gap_and_scenario() -> None:
    encoder, batch = an_encoder(), histories(1, 8)
    reference = users_of(encoder, batch)[:, -1]
    reversed_order = batch._replace(vectors=batch.vectors.flip(1))
    variants = [
        reversed_order,
        batch._replace(actions=batch.actions % 9 + 1),
        batch._replace(values=1 - batch.values),
        batch._replace(gaps=batch.gaps * 100),
    ]
    for other in variants:
        assert not torch.allclose(users_of(encoder, other)[:, -1], reference, atol=1e-3)
    assert not torch.allclose(users_of(encoder, batch, scenario=1)[:, -1], reference, atol=1e-3)


def test_user_vectors_are_unit_vectors_over_the_temperature() -> None:
    lengths = users_of(an_encoder(), histories(3, 9)).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 1 / TEMPERATURE))


def test_encoding_the_last_position_equals_encoding_every_position() -> None:
    encoder, batch = an_encoder(), histories(3, HISTORY)
    last = encoder.encode(batch, torch.zeros(3, 1, dtype=torch.int64), encoder.constants(HISTORY, 1), 1)
    torch.testing.assert_close(last[:, 0].detach(), users_of(encoder, batch)[:, -1], rtol=0, atol=1e-4)


def test_dropout_depends_on_its_seed_and_keeps_the_mean() -> None:
    ones = torch.ones(200, 200)
    first, again, other = (Dropout(np.random.default_rng(seed))(ones) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert abs(first.mean().item() - 1) < 0.02


def test_gradient_of_the_time_bias_equals_that_of_an_embedding() -> None:
    encoder, batch = an_encoder(), histories(3, 10)
    gradients = []
    for training in (True, False):
        encoder.train(training)
        encoder.zero_grad()
        encoder(batch, torch.zeros(3, 10, dtype=torch.int64)).square().mul(torch.arange(DIM)).sum().backward()
        gradients.append(encoder.blocks[0].time_bias.grad.clone())  # type: ignore[union-attr, operator]  # a Block's
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)
