import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from trl.trainer.utils import nanstd

from lib import schema
from lib.airl import credit

ELECTED = "elected"  # the only one that reads answers
KINDS = [k for k in get_args(schema.Airl.model_fields["credit"].annotation) if k != ELECTED]


def random_batch(seed=0, b=8, t=7):
    """Rewards (NaN on padding), a right-padded mask, and random boundaries that hold the last token."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, t + 1, (b, 1), generator=generator)
    mask = torch.arange(t)[None] < lengths
    rewards = torch.randn(b, t, generator=generator).masked_fill(~mask, float("nan"))
    ends = (torch.rand(b, t, generator=generator) < 0.4) & mask
    return rewards, mask, credit.boundaries("step", mask, 3, ends)


def test_boundaries_by_hand():
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    ends = torch.tensor([[0, 1, 0, 0, 0], [1, 0, 0, 0, 1]]).bool()
    expected = {
        "sparse": [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0]],
        "interval": [[0, 1, 0, 1, 1], [0, 1, 1, 0, 0]],
        "step": [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0]],
        "dense": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
    }
    for kind, rows in expected.items():
        assert credit.boundaries(kind, mask, 2, ends).int().tolist() == rows, kind


def test_unknown_kinds_are_refused():
    mask = torch.ones(2, 3).bool()
    with pytest.raises(ValueError, match="'steps' is none of"):
        credit.boundaries("steps", mask, 2, mask)
    with pytest.raises(ValueError, match="'telescope' is none of"):
        credit.advantages(torch.ones(2, 3), mask, mask, credit="telescope", gamma=1.0, group_size=2, clip=5.0)


def test_normalise_matches_a_loop_over_groups():
    rewards, _, marked = random_batch(1)
    result = credit.normalise(rewards, marked, 4)
    for first in (0, 4):
        values = [r.item() for r in rewards[first : first + 4][marked[first : first + 4]]]
        mean = sum(values) / len(values)
        std = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
        expected = [(v - mean) / (std + 1e-4) for v in values]
        found = result[first : first + 4][marked[first : first + 4]].tolist()
        assert found == pytest.approx(expected, abs=1e-5)
    assert (result[~marked] == 0).all()


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_returns_match_a_double_loop(gamma):
    rewards, mask, marked = random_batch(2)
    result = credit.discounted(rewards, marked, mask, gamma)
    for b in range(len(rewards)):
        for t in range(rewards.shape[1]):
            ahead = [s for s in range(t, rewards.shape[1]) if marked[b, s]]
            expected = sum(gamma**k * rewards[b, s].item() for k, s in enumerate(ahead))
            assert result[b, t].item() == pytest.approx(expected, abs=1e-5)


def test_returns_of_a_long_completion_do_not_underflow():
    rewards = torch.ones(1, 5000)
    mask = torch.ones(1, 5000).bool()
    assert credit.discounted(rewards, mask, mask, 0.9)[0, 0].item() == pytest.approx(10.0, rel=1e-4)


def test_group_advantage_by_hand_and_by_trl():
    scores = torch.tensor([1.0, 2.0, 3.0, 6.0, 5.0, 5.0, 5.0, 5.0])
    std = math.sqrt((4 + 1 + 0 + 9) / 3)
    expected = [(x - 3) / (std + 1e-4) for x in (1, 2, 3, 6)] + [0.0] * 4
    assert credit.group(scores, 4).tolist() == pytest.approx(expected, abs=1e-6)
    grouped = scores.view(-1, 4)
    trl = (grouped - grouped.mean(1, keepdim=True)) / (nanstd(grouped, dim=1, keepdim=True) + 1e-4)
    assert torch.allclose(credit.group(scores, 4), trl.flatten(), atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_sparse_boundaries_give_every_token_the_group_advantage(gamma):
    rewards, mask, _ = random_batch(3)
    last = credit.boundaries("sparse", mask, 1, mask)
    result = credit.advantages(rewards, last, mask, credit="discounted", gamma=gamma, group_size=4, clip=10.0)
    grpo = credit.group(rewards[last], 4)
    assert torch.allclose(result, grpo[:, None] * mask, atol=1e-6)
    assert torch.allclose(result, credit.telescoped(rewards, last, mask, 4), atol=1e-6)
    assert torch.allclose(result, credit.stepwise(rewards, last, mask, 4), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.1, -37.3])
def test_a_constant_reward_moves_nothing(kind, value):
    _, mask, marked = random_batch(4)
    rewards = torch.full(mask.shape, value)
    result = credit.advantages(rewards, marked, mask, credit=kind, gamma=0.9, group_size=4, clip=5.0)
    assert result.abs().max() < 1e-6


def test_the_noise_is_the_deviation_of_that_many_logits_kept_in_bfloat16():
    generator = torch.Generator().manual_seed(0)
    for tokens in (1, 64, 300):
        logits = torch.rand(2000, tokens, generator=generator, dtype=torch.double) * 8 + 8
        errors = (logits.bfloat16().double() - logits).sum(1)
        noise = credit.noise(torch.tensor([1, tokens, tokens, 1]), 2)
        assert noise.shape == (2, 1)
        assert noise.flatten().tolist() == pytest.approx([errors.std().item()] * 2, rel=0.06)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boundaries", ["sparse", "interval", "step", "dense"])
@pytest.mark.parametrize("gamma", [0.9, 1.0])
@pytest.mark.parametrize("length", [5, 300])
def test_rounding_is_no_advantage(kind, boundaries, gamma, length):
    """Identical traces, whose rewards differ by a thousandth of a nat at every token."""
    generator = torch.Generator().manual_seed(length)
    mask = torch.ones(16, length).bool()
    ends = torch.rand(1, length, generator=generator).expand(16, -1) < 0.1
    marked = credit.boundaries(boundaries, mask, 15, ends)
    rewards = -37.3 + 1e-3 * torch.randn(16, length, generator=generator, dtype=torch.double)
    options = {"credit": kind, "gamma": gamma, "group_size": 8, "clip": 5.0}
    assert credit.advantages(rewards, marked, mask, **options).abs().max() < 0.2
    real = rewards + torch.tensor([0.0, 1.0] * 8)[:, None]  # half of the traces are better by a nat
    assert credit.advantages(real, marked, mask, **options)[:, 0].abs().min() > 0.3


@pytest.mark.parametrize("std, divided_by", [(0.5, 0.5), (0.01, credit.ROUNDING * 2)])
def test_only_a_deviation_below_the_noise_is_raised_to_it(std, divided_by):
    mask = torch.arange(4)[None] < torch.tensor([4, 2, 1])[:, None]  # the longest has four tokens
    final = torch.tensor([-std, 0.0, std], dtype=torch.double)
    last = credit.boundaries("sparse", mask, 1, mask)
    f = final[:, None].expand(3, 4)
    expected = (final / (divided_by + 1e-4))[:, None] * mask
    for kind in ("discounted", "telescoped", "stepwise"):  # which divide by a deviation
        found = credit.advantages(f, last, mask, credit=kind, gamma=0.5, group_size=3, clip=5.0)
        assert torch.allclose(found.double(), expected, atol=1e-6), kind


def test_a_truncated_completion_is_capped_by_hand():
    a = torch.tensor([[2.0, 1.0], [0.5, 9.0], [1.0, 0.2], [3.0, -4.0], [-2.0, 5.0], [1.0, 0.0]])
    mask = torch.tensor([[1, 1], [1, 1], [1, 1], [1, 1], [1, 1], [1, 0]]).bool()
    finished = torch.tensor([False, True, True, False, False, False])
    found = credit.cap_truncated(a, mask, finished, 3)
    # the worst finished of the first group has .5; the second has none, so nothing is worse than it
    assert found.tolist() == [[0.5, 0.5], *a.tolist()[1:]]
    worst = torch.tensor([[-1.0, 3.0], [2.0, 0.0]])
    capped = credit.cap_truncated(
        worst, torch.tensor([[1, 1], [1, 0]]).bool(), torch.tensor([True, False]), 2
    )
    assert capped.tolist() == [[-1.0, 3.0], [-1.0, 0.0]]  # and padding stays 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_truncated_completion_returns_more_than_the_worst_finished_one(kind):
    for seed in range(20):
        rewards, mask, marked = random_batch(seed)
        finished = torch.rand(8, generator=torch.Generator().manual_seed(seed)) < 0.5
        free = credit.advantages(rewards, marked, mask, credit=kind, gamma=0.9, group_size=4, clip=5.0)
        found = credit.cap_truncated(free, mask, finished, 4)
        assert torch.equal(found[finished], free[finished]) and (found[~mask] == 0).all()
        assert (found <= free).all()
        for first in (0, 4):
            rows = range(first, first + 4)
            ended = [free[b, 0].item() for b in rows if finished[b]]
            for b in rows:
                if not finished[b] and ended:
                    assert found[b][mask[b]].max() <= min(ended)
                elif not ended:
                    assert torch.equal(found[b], free[b])


@pytest.mark.parametrize("kind", KINDS)
def test_advantages_are_finite_and_zero_on_padding(kind):
    rewards, mask, marked = random_batch(5)
    result = credit.advantages(rewards, marked, mask, credit=kind, gamma=0.9, group_size=4, clip=5.0)
    assert torch.isfinite(result).all()
    assert (result[~mask] == 0).all() and result[mask].abs().max() > 0


def test_the_election_by_hand():
    log_half, certain = math.log(0.5), 0.0
    scores = torch.tensor([log_half, log_half, certain, -50.0, 3.0, 3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0])
    # two halves against one whole: a tie, in which the first given wins; four equal votes, of which two
    # agree; then nobody answers
    codes = [7, 7, 2, 5, 1, 0, 0, -1, -1, -1, -1, -1]
    assert credit.elected(scores, codes, 4).tolist() == [1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    scores[2] += 0.01
    assert credit.elected(scores, codes, 4).tolist()[:4] == [0, 0, 1, 0]


@given(
    st.lists(st.integers(-1, 3), min_size=4, max_size=4),
    st.lists(st.floats(-30, 0), min_size=4, max_size=4),
)
def test_the_elected_answer_has_the_largest_sum_of_probabilities(codes, scores):
    won = credit.elected(torch.tensor(scores, dtype=torch.double), codes, 4).tolist()
    totals = {c: sum(math.exp(s) for k, s in zip(codes, scores, strict=True) if k == c) for c in codes}
    totals.pop(-1, None)
    chosen = {c for c, w in zip(codes, won, strict=True) if w}
    assert len(chosen) == (1 if totals else 0) and -1 not in chosen
    for winner in chosen:
        assert totals[winner] >= max(totals.values()) * (1 - 1e-6)
        assert won == [float(c == winner) for c in codes]


def test_every_token_gets_the_groups_advantage_of_being_elected():
    rewards, mask, marked = random_batch(5)
    codes = [0, 1, 0, -1, 2, 2, 2, 2]
    result = credit.advantages(
        rewards, marked, mask, credit=ELECTED, gamma=0.9, group_size=4, clip=5.0, answers_B=codes
    )
    last = torch.stack([row[m][-1] for row, m in zip(rewards, mask, strict=True)])
    expected = credit.group(credit.elected(last, codes, 4), 4)
    assert torch.equal(result, expected[:, None] * mask)
    assert result[:4].abs().max() > 0.5 and (result[4:] == 0).all()  # all agree: nothing to learn


def test_clipping_bounds_every_reward_before_discounting():
    rewards = torch.zeros(8, 1)
    rewards[0] = 1000.0  # normalised: 7 / sqrt(8) = 2.47
    mask = torch.ones(8, 1).bool()
    result = credit.advantages(rewards, mask, mask, credit="discounted", gamma=0.9, group_size=8, clip=2.0)
    assert result[0].item() == 2.0
    assert result[1:].flatten().tolist() == pytest.approx([-1 / math.sqrt(8)] * 7, abs=1e-3)


def test_telescoped_returns_are_the_sum_of_the_increments_to_come():
    logits, mask, marked = random_batch(6)
    result = credit.telescoped(logits, marked, mask, 4)
    finals = [row[m][-1].item() for row, m in zip(logits, mask, strict=True)]
    for b, row in enumerate(logits):
        group = finals[b // 4 * 4 : b // 4 * 4 + 4]
        mean = sum(group) / 4
        std = math.sqrt(sum((v - mean) ** 2 for v in group) / 3)
        ends = [t for t in range(len(row)) if marked[b, t]]
        for t in range(int(mask[b].sum())):
            values = [mean, *(row[e].item() for e in ends)]  # f before the first boundary is the baseline
            increments = [after - before for before, after in zip(values, values[1:], strict=False)]
            to_come = sum(step for e, step in zip(ends, increments, strict=True) if e >= t)
            assert result[b, t].item() == pytest.approx(to_come / (std + 1e-4), abs=1e-4)


def test_telescoped_credit_ignores_a_constant_added_to_f():
    logits, mask, marked = random_batch(7)
    result = credit.telescoped(logits, marked, mask, 4)
    assert torch.allclose(result, credit.telescoped(logits + 3.7, marked, mask, 4), atol=1e-4)


def test_stepwise_advantages_by_brute_force():
    logits, mask, marked = random_batch(9)
    result = credit.stepwise(logits, marked, mask, 4)
    returns = []  # of each completion, by how many boundaries came before
    for row, ends in zip(logits, marked, strict=True):
        values = [0.0, *row[ends].tolist()]
        returns.append([values[-1] - v for v in values[:-1]])
    for b in range(len(logits)):
        group = [returns[o] for o in range(b // 4 * 4, b // 4 * 4 + 4)]
        mean = sum(r[0] for r in group) / 4
        std = math.sqrt(sum((r[0] - mean) ** 2 for r in group) / 3)
        for t in range(int(mask[b].sum())):
            k = int(marked[b, :t].sum())
            reached = [r[k] for r in group if len(r) > k]
            expected = (returns[b][k] - sum(reached) / len(reached)) / (std + 1e-4)
            assert result[b, t].item() == pytest.approx(expected, abs=1e-4)


def test_stepwise_credit_ignores_a_constant_and_a_cost_for_every_step():
    logits, mask, marked = random_batch(10)
    plain = credit.stepwise(logits, marked, mask, 4)
    assert torch.allclose(plain, credit.stepwise(logits + 3.7, marked, mask, 4), atol=1e-4)
    everywhere = torch.ones(4, 6).bool()
    logits = logits[:4, :1].expand(4, 6) + torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    cost = torch.arange(6.0)  # the same for every completion of the group: nothing to learn from
    plain = credit.stepwise(logits, everywhere, everywhere, 4)
    assert torch.allclose(plain, credit.stepwise(logits - cost, everywhere, everywhere, 4), atol=1e-4)
    assert not torch.allclose(
        credit.telescoped(logits, everywhere, everywhere, 4),
        credit.telescoped(logits - cost, everywhere, everywhere, 4),
        atol=1e-1,
    )


def test_a_neutral_step_changes_no_telescoped_advantage():
    """A step whose f stays what it was before it: no advantage changes, and its own is the next token's."""
    generator = torch.Generator().manual_seed(8)
    logits = torch.randn(4, 6, generator=generator)
    mask = torch.ones(4, 6).bool()
    plain = credit.telescoped(logits, mask, mask, 4)
    at = 3  # the step of two tokens goes in before token 3
    neutral = logits[:, at - 1 : at].expand(4, 2)
    longer = torch.cat([logits[:, :at], neutral, logits[:, at:]], 1)
    wide = torch.ones(4, 8).bool()
    result = credit.telescoped(longer, wide, wide, 4)
    assert torch.allclose(torch.cat([result[:, :at], result[:, at + 2 :]], 1), plain, atol=1e-6)
    assert torch.allclose(result[:, at : at + 2], plain[:, at : at + 1].expand(4, 2), atol=1e-6)


def test_telescoped_and_stepwise_advantages_by_hand():
    """Three completions; f at the boundaries 2, 5 | 0, 1 | 3, whose last values have mean 3 and std 2."""
    f = torch.tensor([[9.0, 2.0, 9.0, 5.0], [0.0, 9.0, 1.0, 9.0], [9.0, 3.0, 9.0, 9.0]])
    marked = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 0]]).bool()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]).bool()
    telescoped = [[2, 2, 3, 3], [-2, 1, 1, 0], [0, 0, 0, 0]]  # 5 - mean, 5 - 2; 1 - mean, 1 - 0; 3 - mean
    stepwise = [[2, 2, 1, 1], [-2, -1, -1, 0], [0, 0, 0, 0]]  # the second returns 3 and 1 have mean 2
    for function, expected in ((credit.telescoped, telescoped), (credit.stepwise, stepwise)):
        found = function(f, marked, mask, 3)
        assert torch.allclose(found, torch.tensor(expected) / (2 + 1e-4), atol=1e-6), function.__name__


FUNCTIONS = {"telescoped": credit.telescoped, "stepwise": credit.stepwise}


@st.composite
def groups(draw):
    """f of two groups of four completions, on a grid that doubles hold exactly, its mask and boundaries."""
    b, t = 8, draw(st.integers(1, 7))
    lengths = draw(st.lists(st.integers(1, t), min_size=b, max_size=b))
    mask = torch.arange(t)[None] < torch.tensor(lengths)[:, None]
    values = draw(st.lists(st.integers(-64, 64), min_size=b * t, max_size=b * t))
    ends = draw(st.lists(st.booleans(), min_size=b * t, max_size=b * t))
    f = (torch.tensor(values) / 16).reshape(b, t).masked_fill(~mask, float("nan"))
    marked = credit.boundaries("step", mask, 1, torch.tensor(ends).reshape(b, t))
    return f, marked, mask


@examples(max_examples=60)
@given(groups(), st.sampled_from(sorted(FUNCTIONS)), st.integers(-64, 64))
def test_a_constant_added_to_f_changes_no_advantage(batch, kind, constant):
    f, marked, mask = batch
    found = FUNCTIONS[kind](f, marked, mask, 4)
    assert torch.equal(FUNCTIONS[kind](f + constant / 16, marked, mask, 4), found)
    assert torch.isfinite(found).all() and (found[~mask] == 0).all()


@examples(max_examples=60)
@given(groups(), st.sampled_from(sorted(FUNCTIONS)))
def test_one_boundary_at_the_end_is_grpo_on_f(batch, kind):
    f, _, mask = batch
    last = credit.boundaries("sparse", mask, 1, mask)
    final = f[last].view(-1, 4)
    grpo = (final - final.mean(1, keepdim=True)) / (nanstd(final, dim=1, keepdim=True) + 1e-4)
    expected = grpo.reshape(-1, 1) * mask
    assert torch.allclose(FUNCTIONS[kind](f, last, mask, 4), expected, atol=1e-3, rtol=1e-4)


@examples(max_examples=60)
@given(groups(), st.integers(0, 7), st.integers(0, 99), st.integers(1, 3))
def test_a_neutral_step_in_one_completion_changes_no_telescoped_advantage(batch, b, place, length):
    """After a boundary of one completion a step is put in that leaves f as it was; the others are padded."""
    f, marked, mask = batch
    f = f * 100  # far above the floor on a group's deviation, which grows with the longest completion
    plain = credit.telescoped(f, marked, mask, 4)
    ends = marked[b].nonzero().flatten().tolist()
    at = ends[place % len(ends)] + 1
    rows = []
    for tensor, new, pad in (
        (f, f[b, at - 1].item(), float("nan")),
        (marked, True, False),
        (mask, True, False),
    ):
        wide = torch.cat([tensor, torch.full((8, length), pad, dtype=tensor.dtype)], 1)
        middle = torch.full((length,), new, dtype=tensor.dtype)
        wide[b] = torch.cat([tensor[b, :at], middle, tensor[b, at:]])
        rows.append(wide)
    longer = credit.telescoped(*rows, 4)
    others = [o for o in range(8) if o != b]
    assert torch.equal(longer[others, : f.shape[1]], plain[others])
    assert torch.equal(torch.cat([longer[b, :at], longer[b, at + length :]]), plain[b])
    if at < int(mask[b].sum()):  # its own advantage is the next token's
        assert (longer[b, at : at + length] == plain[b, at]).all()
    else:  # after the end nothing is to come
        assert (longer[b, at : at + length] == 0).all()


@examples(max_examples=60)
@given(groups(), st.lists(st.integers(0, 64), min_size=7, max_size=7))
def test_what_every_completion_pays_at_a_step_changes_no_stepwise_advantage(batch, costs):
    """Where all reach as far, a cost of the k-th boundary that all pay is nothing to learn from."""
    f, _, _ = batch
    f = f.nan_to_num()
    everywhere = torch.ones_like(f).bool()
    paid = torch.tensor(costs[: f.shape[1]]).cumsum(0) / 16
    plain = credit.stepwise(f, everywhere, everywhere, 4)
    assert torch.equal(credit.stepwise(f - paid, everywhere, everywhere, 4), plain)
    by_step = plain.reshape(2, 4, -1).sum(1)
    scale = 1 + plain.abs().max()
    assert (by_step.abs() / scale).max() < 1e-4  # a group's advantages at a step add up to nothing


@pytest.mark.parametrize("kind", sorted(FUNCTIONS))
def test_each_value_is_clipped(kind):
    f = torch.tensor([[0.0, 8.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])  # the last values' std is 4
    everywhere, options = torch.ones(4, 2).bool(), {"credit": kind, "gamma": 1.0, "group_size": 4}
    free = credit.advantages(f, everywhere, everywhere, clip=9.0, **options)
    found = credit.advantages(f, everywhere, everywhere, clip=1.2, **options)
    assert free[0, 0].item() == pytest.approx((8 - 2) / 4, abs=1e-3)
    assert torch.equal(found, free.clamp(-1.2, 1.2)) and found.max().item() == pytest.approx(1.2)
