import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lib.evaluation import metrics
from lib.reward.falls import reward_drops


def test_pass_at_k_matches_the_enumeration_of_subsets():
    for n, k in itertools.product(range(1, 7), range(1, 7)):
        for c in range(n + 1) if k <= n else ():
            subsets = list(itertools.combinations([i < c for i in range(n)], k))
            assert metrics.pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def exact_pass_at_k(n: int, c: int, k: int) -> float:
    return float(1 - Fraction(math.comb(n - c, k), math.comb(n, k)))


@given(st.data())
def test_pass_at_k_is_the_exact_fraction(data):
    n = data.draw(st.integers(1, 300))
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert metrics.pass_at_k(n, c, k) == pytest.approx(exact_pass_at_k(n, c, k), abs=1e-15)


@pytest.mark.parametrize(
    "n, c, k, about", [(1030, 5, 515, 0.969), (2048, 5, 1024, 0.969), (2048, 1, 1, 0.0005)]
)
def test_pass_at_k_of_many_samples(n, c, k, about):
    found = metrics.pass_at_k(n, c, k)
    assert found == pytest.approx(exact_pass_at_k(n, c, k), abs=1e-15) == pytest.approx(about, abs=5e-4)


def test_the_best_of_many_samples_by_hand():
    """One right sample of the highest score is chosen as often as it is drawn."""
    correct = np.arange(1200)[None] == 7
    args = (np.zeros((1, 1200), int), correct, correct * 1.0, correct * 1.0)
    for selector in ("reward", "logprob"):
        found = metrics.rerank_accuracy(selector, 600, *args, n_subsets=1, seed=0)
        assert found == pytest.approx([0.5])


def test_pass_at_k_of_many_problems_problems_and_bad_input():
    correct = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    table = metrics.pass_at_k_table(correct, [1, 2, 4])
    assert table == pytest.approx(np.array([[0.25, 0.5, 1.0], [0, 0, 0], [1, 1, 1]]))
    for n, c, k in [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)]:
        with pytest.raises(ValueError, match="pass@k needs"):
            metrics.pass_at_k(n, c, k)


def test_reranked_pass_at_k_by_hand():
    correct = np.array([[0, 1, 0], [1, 0, 0]])
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert metrics.reranked_pass_at_k(correct, scores, [1, 2, 3]).tolist() == [[0, 1, 1], [0, 0, 1]]


def test_auroc_counts_pairs():
    rng = random.Random(0)
    scores = [rng.randint(0, 5) for _ in range(40)]
    positive = [rng.random() < 0.4 for _ in range(40)]
    pairs = [
        (s > r) + 0.5 * (s == r)
        for s, p in zip(scores, positive, strict=True)
        if p
        for r, q in zip(scores, positive, strict=True)
        if not q
    ]
    assert metrics.auroc(scores, positive) == pytest.approx(sum(pairs) / len(pairs))
    assert math.isnan(metrics.auroc([1.0, 2.0], [True, True]))


samples = st.tuples(st.integers(-2, 2).map(float) | st.just(-math.inf), st.booleans())
problems = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(samples, min_size=n, max_size=n), min_size=1, max_size=4)
)


@given(problems)
def test_auroc_within_counts_the_pairs_of_each_problem(problems):
    scores, positive = (np.array([[s[i] for s in of_problem] for of_problem in problems]) for i in (0, 1))
    found = metrics.auroc_within(scores, positive)
    for value, of_problem in zip(found, problems, strict=True):
        right, wrong = ([s for s, p in of_problem if p == kind] for kind in (True, False))
        pairs = [1.0 if r > w else 0.5 if r == w else 0.0 for r in right for w in wrong]
        assert value == pytest.approx(np.mean(pairs)) if pairs else math.isnan(value)
    np.testing.assert_array_equal(metrics.auroc_within(scores[None], positive[None]), found[None])


any_pairs = st.integers(1, 4).flatmap(
    lambda n: st.lists(
        st.tuples(
            st.lists(st.integers(-2, 2).map(float) | st.just(-math.inf), min_size=n, max_size=n),
            st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=n, max_size=n),
        ),
        min_size=1,
        max_size=4,
    )
)


@given(any_pairs)
def test_auroc_of_pairs_counts_the_chosen_pairs_in_their_order(problems):
    scores, pairs = np.array([s for s, _ in problems]), np.array([p for _, p in problems])
    found = metrics.auroc_of_pairs(scores, pairs)
    for value, (of_problem, chosen) in zip(found, problems, strict=True):
        won = []
        for (i, first), (j, second) in itertools.product(enumerate(of_problem), repeat=2):
            if chosen[i][j]:
                won.append(1.0 if first > second else 0.5 if first == second else 0.0)
        assert value == pytest.approx(np.mean(won)) if won else math.isnan(value)
    np.testing.assert_array_equal(metrics.auroc_of_pairs(scores[None], pairs[None]), found[None])


def test_auroc_of_pairs_by_hand():
    """The pairs (0, 1), won, and (2, 0), lost; then a tie; then none."""
    scores = np.array([[2.0, 1.0, 0.0], [1.0, 1.0, 5.0], [3.0, 2.0, 1.0]])
    pairs = np.zeros((3, 3, 3), dtype=bool)
    pairs[0, 0, 1] = pairs[0, 2, 0] = pairs[1, 0, 1] = True
    np.testing.assert_array_equal(metrics.auroc_of_pairs(scores, pairs), [0.5, 0.5, np.nan])


def test_auroc_within_one_problem_is_its_auroc():
    rng = np.random.default_rng(0)
    scores, positive = rng.normal(size=(20, 16)).round(1), rng.random((20, 16)) < 0.4
    expected = [roc_auc_score(p, s) for p, s in zip(positive, scores, strict=True)]
    assert metrics.auroc_within(scores, positive) == pytest.approx(expected)


def test_auroc_within_does_not_see_which_problem_is_hard():
    """A score that is the problem's alone separates right from wrong over all samples, and not within one."""
    scores = np.array([[0.0] * 4, [1.0] * 4])
    positive = np.array([[True, False, False, False], [True, True, True, False]])
    assert metrics.auroc(scores.ravel(), positive.ravel()) == 0.75
    assert metrics.auroc_within(scores, positive).tolist() == [0.5, 0.5]


# --- reranking ---


def select(selector, answers, correct, logprobs, rewards):
    """Expected correctness of the election of one sample, in plain Python."""
    everyone = range(len(answers))
    if selector == "random":
        elected = list(everyone)
    elif selector == "oracle":
        return float(any(correct))
    elif selector in ("logprob", "reward"):
        scores = logprobs if selector == "logprob" else rewards
        elected = [i for i in everyone if scores[i] == max(scores)]
    else:
        weight = [1.0 if selector == "majority" else math.exp(r) for r in rewards]
        votes = {a: sum(weight[i] for i in everyone if answers[i] == a) for a in answers if a is not None}
        if not votes:
            return sum(correct) / len(correct)
        winners = [a for a, v in votes.items() if math.isclose(v, max(votes.values()))]
        by_answer = [[correct[i] for i in everyone if answers[i] == a] for a in winners]
        return sum(sum(c) / len(c) for c in by_answer) / len(winners)
    return sum(correct[i] for i in elected) / len(elected)


def rerank(selector, n, answers, correct, logprobs, rewards, n_subsets):
    return metrics.rerank_accuracy(
        selector,
        n,
        metrics.answer_codes(answers),
        np.array(correct),
        np.array(logprobs),
        np.array(rewards),
        n_subsets=n_subsets,
        seed=0,
    )


@pytest.mark.parametrize("selector", metrics.SELECTORS)
@pytest.mark.parametrize("n", [1, 3, 5])
def test_selectors_match_the_enumeration_of_subsets(selector, n):
    rng = random.Random(1)
    answers = [[rng.choice(["1", "2", "3", None]) for _ in range(5)] for _ in range(6)] + [[None] * 5]
    correct = [[a == "1" for a in row] for row in answers]
    logprobs = [[float(rng.randint(-3, 0)) for _ in row] for row in answers]  # with ties
    rewards = [[rng.gauss(0, 2) for _ in row] for row in answers]
    result = rerank(selector, n, answers, correct, logprobs, rewards, n_subsets=4000)
    sampled = "majority" in selector and 1 < n < 5
    for p, row in enumerate(zip(answers, correct, logprobs, rewards, strict=True)):
        outcomes = [
            select(selector, *([column[i] for i in subset] for column in row))
            for subset in itertools.combinations(range(5), n)
        ]
        assert result[p] == pytest.approx(sum(outcomes) / len(outcomes), abs=0.04 if sampled else 1e-9)


def test_elections_by_hand():
    answers = [["4", "4", "5", None, None, None]]
    correct = [[False, False, True, False, False, False]]
    logprobs = [[-1.0, -2.0, -3.0, -0.5, -4.0, -5.0]]
    rewards = [[0.0, 0.0, 2.0, 3.0, 3.0, 3.0]]

    def accuracy(selector):
        return rerank(selector, 6, answers, correct, logprobs, rewards, n_subsets=1)[0]

    assert accuracy("random") == pytest.approx(1 / 6)
    assert accuracy("majority") == 0.0  # two votes for 4; the missing answers have no vote
    assert accuracy("reward_weighted_majority") == 1.0  # exp(2) > 2 exp(0)
    assert accuracy("logprob") == 0.0 and accuracy("reward") == 0.0
    assert accuracy("oracle") == 1.0
    assert rerank("majority", 2, [["4", "5"]], [[True, False]], [[0, 0]], [[0, 0]], 1)[0] == 0.5


def test_bad_selectors_and_sizes_are_refused():
    one = [["1"]], [[True]], [[0.0]], [[0.0]]
    with pytest.raises(ValueError, match="'best' is none of random, majority"):
        rerank("best", 1, *one, 1)
    with pytest.raises(ValueError, match="best of n needs 1 <= n <= 1"):
        rerank("oracle", 2, *one, 1)


# --- reward quality and localisation ---


def test_calibration_by_hand():
    # bins .0: |0 - .05|, .1: |1 - .15|, .9: |2 - 2.9|, over five samples
    def error(probabilities, correct):
        return metrics.calibration_error(metrics.calibration_sums([probabilities], [correct]))[0]

    assert error([0.05, 0.15, 0.95, 0.95, 1.0], [0, 1, 1, 0, 1]) == pytest.approx((0.05 + 0.85 + 0.9) / 5)
    assert error([1.0, 0.0], [1, 0]) == 0.0


def test_correlation_by_hand():
    assert metrics.correlation([0, 1, 2, 3], [0, 0, 1, 1]) == pytest.approx(2 / math.sqrt(5))
    assert math.isnan(metrics.correlation([1, 2, 3], [True, True, True]))
    assert math.isnan(metrics.correlation([0.1] * 3, [1, 2, 4]))  # whose mean is not quite .1
    assert metrics.correlation([1e-9, 2e-9, 4e-9], [1, 2, 4]) == pytest.approx(1)


def test_the_largest_drop_points_at_the_unit():
    assert reward_drops([1.0, 1.5, -2.0, -2.5]).tolist() == [-0.5, 3.5, 0.5]


def test_the_best_of_all_shares_a_tie_by_hand():
    correct_SPN = np.array([[[1, 0, 0], [1, 0, 0]], [[0, 1, 0], [0, 0, 0]]])
    scores_SPN = np.array([[[2.0, 2.0, 1.0], [0.0, 0.0, 1.0]], [[1.0, 1.0, 1.0], [3.0, 2.0, 1.0]]])
    assert metrics.best_of_all(correct_SPN, scores_SPN).tolist() == [[0.5, 0.0], [pytest.approx(1 / 3), 0.0]]
