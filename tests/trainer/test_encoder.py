"""The encoder: sees the past alone, does not see padding, and knows order and time."""

import numpy as np
import torch
from torch import Tensor

from eddy.contract.model import DIM, HISTORY, Columns
from eddy_trainer.core.models.encoder import TEMPERATURE, Dropout, Encoder, Interactions
from eddy_trainer.core.models.transformer import Transformer


def an_encoder(seed: int = 0) -> Encoder:
    """With random weights everywhere, so that nothing is invisible because it starts at zero."""
    torch.manual_seed(seed)
    encoder = Transformer(Columns())
    for parameter in encoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return encoder


def histories(batch: int, length: int, seed: int = 1) -> Interactions:
    generator = torch.Generator().manual_seed(seed)
    return Interactions(
        torch.randn(batch, length, DIM, generator=generator),
        torch.ones(batch, length, dtype=torch.bool),
        torch.randint(1, 10, (batch, length), generator=generator),
        torch.rand(batch, length, generator=generator),
        torch.rand(batch, length, generator=generator) * 1e5,
    )


def users_of(encoder: Encoder, seen: Interactions, scenario: int = 0) -> Tensor:
    users: Tensor = encoder(seen, torch.full(seen.present.shape, scenario))
    return users.detach()


def test_encoder_ignores_what_comes_later() -> None:
    encoder, seen = an_encoder(), histories(2, 10)
    other = histories(2, 10, seed=2)
    place = 6
    changed = Interactions(
        *(torch.cat([one[:, :place], two[:, place:]], 1) for one, two in zip(seen, other, strict=True))
    )
    before, after = users_of(encoder, seen), users_of(encoder, changed)
    assert torch.equal(before[:, :place], after[:, :place])
    assert not torch.allclose(before[:, place:], after[:, place:])


def test_encoder_ignores_padding() -> None:
    encoder, seen = an_encoder(), histories(2, 12)
    padded = Interactions(*(torch.cat([torch.zeros_like(x[:, :1]).expand(-1, 5, *x.shape[2:]), x], 1) for x in seen))
    torch.testing.assert_close(users_of(encoder, padded)[:, 5:], users_of(encoder, seen), rtol=0, atol=1e-4)


def test_encoder_answers_an_empty_history_alike_at_any_length() -> None:
    encoder = an_encoder()
    empty = Interactions(*(torch.zeros_like(x) for x in histories(1, 4)))
    users = users_of(encoder, empty)
    torch.testing.assert_close(users, users[:, :1].expand_as(users))
    assert torch.isfinite(users).all()


def test_encoder_reads_order_action_value_gap_and_scenario() -> None:
    encoder, seen = an_encoder(), histories(1, 8)
    reference = users_of(encoder, seen)[:, -1]
    turned = seen._replace(vectors=seen.vectors.flip(1))
    others = [
        turned,
        seen._replace(actions=seen.actions % 9 + 1),
        seen._replace(values=1 - seen.values),
        seen._replace(gaps=seen.gaps * 100),
    ]
    for other in others:
        assert not torch.allclose(users_of(encoder, other)[:, -1], reference, atol=1e-3)
    assert not torch.allclose(users_of(encoder, seen, scenario=1)[:, -1], reference, atol=1e-3)


def test_encoder_answers_unit_vectors_over_the_temperature() -> None:
    lengths = users_of(an_encoder(), histories(3, 9)).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 1 / TEMPERATURE))


def test_encoder_at_the_last_place_alone_is_the_encoder_at_every_place() -> None:
    encoder, seen = an_encoder(), histories(3, HISTORY)
    last = encoder.encode(seen, torch.zeros(3, 1, dtype=torch.int64), encoder.constants(HISTORY, 1), 1)
    torch.testing.assert_close(last[:, 0].detach(), users_of(encoder, seen)[:, -1], rtol=0, atol=1e-4)


def test_noise_is_decided_by_its_seed_and_keeps_the_mean() -> None:
    ones = torch.ones(200, 200)
    first, again, other = (Dropout(np.random.default_rng(seed))(ones) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert abs(first.mean().item() - 1) < 0.02


def test_gradient_of_the_time_bias_is_that_of_an_embedding() -> None:
    encoder, seen = an_encoder(), histories(3, 10)
    gradients = []
    for training in (True, False):
        encoder.train(training)
        encoder.zero_grad()
        encoder(seen, torch.zeros(3, 10, dtype=torch.int64)).square().mul(torch.arange(DIM)).sum().backward()
        gradients.append(encoder.blocks[0].time_bias.grad.clone())  # type: ignore[union-attr, operator]  # a Block's
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)
