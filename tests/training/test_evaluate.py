"""Full-ranking metrics against ir_measures, a brute-force loop and numbers by hand."""

import math
from types import SimpleNamespace

import ir_measures
import numpy as np
import pytest
import torch
from ir_measures import R, nDCG
from tiny import small, tiny

from seapkg.data.dataset import Dataset
from seapkg.errors import DataError, RequestError
from seapkg.kernels.top_k import top_columns
from seapkg.models import build
from seapkg.training.evaluate import METRICS, Ranking, evaluate, ranking_metrics


def busy(n_users=15, n_items=70, seed=0) -> Dataset:
    """Users with 1 to 30 held-out items; not every user is in every held-out split."""
    random = np.random.default_rng(seed)
    splits = {"train": [], "valid": [], "test": []}
    for user in range(n_users):
        items = random.permutation(n_items)
        n_train, n_valid, n_test = (
            random.integers(1, 20),
            random.integers(0, 12),
            random.integers(0, 31),
        )
        for split, chosen in zip(
            splits, np.split(items, np.cumsum([n_train, n_valid, n_test]))[:3], strict=True
        ):
            splits[split] += [(user, item) for item in chosen]
    return Dataset.from_arrays(*splits.values(), n_items=n_items)


def random_scores(dataset, seed=0) -> torch.Tensor:
    """Distinct scores: a permutation of the items for each user."""
    random = np.random.default_rng(seed)
    ranks = [random.permutation(dataset.n_items) for _ in range(dataset.n_users)]
    return torch.from_numpy(np.array(ranks, dtype=np.float32))


def items_of(dataset, split, user) -> list[int]:
    return [item for owner, item in getattr(dataset, split).tolist() if owner == user]


def ranked(dataset, scores, user, masked=("train",)) -> list[int]:
    """All items the user may be shown, best first."""
    hidden = {item for split in masked for item in items_of(dataset, split, user)}
    order = scores[user].argsort(descending=True).tolist()
    return [item for item in order if item not in hidden]


def brute(dataset, scores, split, masked=("train",)) -> dict[str, dict[int, float]]:
    """Each metric of each user who has relevant items, by the formulas of docs/protocol.md."""
    found = {name: {} for name in METRICS}
    for user in range(dataset.n_users):
        relevant = items_of(dataset, split, user)
        if not relevant:
            continue
        for k in (10, 20):
            hits = [item in relevant for item in ranked(dataset, scores, user, masked)[:k]]
            gain = sum(hit / math.log2(place + 2) for place, hit in enumerate(hits))
            ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant))))
            found[f"recall@{k}"][user] = sum(hits) / len(relevant)
            found[f"ndcg@{k}"][user] = gain / ideal
    return found


def assert_equal(metrics, expected):
    for name in METRICS:
        assert metrics.users.tolist() == list(expected[name])
        np.testing.assert_allclose(metrics.per_user[name], list(expected[name].values()), rtol=1e-6)
        assert metrics.mean[name] == pytest.approx(np.mean(list(expected[name].values())), rel=1e-6)


def measured(dataset, scores, split, *, block_bytes=8 << 20, **options):
    return Ranking(dataset, split, **options).metrics(
        lambda users: scores[users].clone(), block_bytes
    )


# Metrics


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("split", ["valid", "test"])
def test_metrics_equal_ir_measures(split, seed):
    dataset = busy(seed=seed)
    scores = random_scores(dataset, seed)
    truth = [ir_measures.Qrel(str(u), str(i), 1) for u, i in getattr(dataset, split).tolist()]
    run = [
        ir_measures.ScoredDoc(str(u), str(i), scores[u, i].item())
        for u in range(dataset.n_users)
        for i in ranked(dataset, scores, u)
    ]
    measures = {
        "recall@10": R @ 10,
        "recall@20": R @ 20,
        "ndcg@10": nDCG @ 10,
        "ndcg@20": nDCG @ 20,
    }
    found = {
        (m.measure, int(m.query_id)): m.value
        for m in ir_measures.iter_calc(list(measures.values()), truth, run)
    }
    metrics = measured(dataset, scores, split)
    for name, measure in measures.items():
        expected = [found[measure, user] for user in metrics.users.tolist()]
        np.testing.assert_allclose(metrics.per_user[name], expected, rtol=1e-6)
        assert metrics.mean[name] == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("split", ["valid", "test"])
def test_metrics_equal_a_loop_over_users(split, seed):
    dataset = busy(seed=seed)
    scores = random_scores(dataset, seed)
    assert_equal(measured(dataset, scores, split), brute(dataset, scores, split))


def test_metrics_by_hand():
    """Two of three relevant items at places 1 and 4; then all 12 at the first 12 places."""
    hits = torch.zeros(2, 20, dtype=torch.bool)
    hits[0, [0, 3]] = True
    hits[1, :12] = True
    metrics = ranking_metrics(hits, torch.tensor([3, 12]))
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert metrics["recall@10"].tolist() == pytest.approx([2 / 3, 10 / 12])
    assert metrics["recall@20"].tolist() == pytest.approx([2 / 3, 1])
    assert metrics["ndcg@10"].tolist() == pytest.approx([(1 + 1 / math.log2(5)) / ideal, 1])
    assert metrics["ndcg@20"].tolist() == pytest.approx([(1 + 1 / math.log2(5)) / ideal, 1])


def test_recall_divides_by_all_relevant_items_even_when_they_are_more_than_the_cut_off():
    metrics = ranking_metrics(torch.ones(1, 20, dtype=torch.bool), torch.tensor([40]))
    assert (metrics["recall@10"].item(), metrics["recall@20"].item()) == (10 / 40, 20 / 40)
    assert (metrics["ndcg@10"].item(), metrics["ndcg@20"].item()) == pytest.approx((1, 1))


def test_only_users_with_relevant_items_count():
    dataset = busy()
    expected = np.unique(dataset.valid[:, 0])
    assert 0 < len(expected) < dataset.n_users
    assert measured(dataset, random_scores(dataset), "valid").users.tolist() == expected.tolist()


# Masks


def oracle_scores(dataset, splits) -> torch.Tensor:
    """1 for the items of the given splits; the others get less, the higher their id."""
    scores = -torch.arange(dataset.n_items, dtype=torch.float32).expand(dataset.n_users, -1) / 1000
    scores = scores.clone()
    for split in splits:
        scores[tuple(getattr(dataset, split).T.tolist())] += 1
    return scores


def test_training_items_are_masked_and_valid_items_stay_in_the_ranking_at_test():
    dataset = busy()
    scores = random_scores(dataset)
    assert_equal(measured(dataset, scores, "test"), brute(dataset, scores, "test", ("train",)))
    boosted = measured(dataset, oracle_scores(dataset, ["train"]), "test").mean
    assert boosted == measured(dataset, oracle_scores(dataset, []), "test").mean


def test_valid_items_are_masked_on_request():
    dataset = busy()
    scores = oracle_scores(dataset, ["valid"])
    plain, masked = (
        measured(dataset, scores, "test", mask=mask) for mask in ("train", "train+valid")
    )
    assert_equal(masked, brute(dataset, scores, "test", ("train", "valid")))
    assert masked.mean["recall@10"] > plain.mean["recall@10"]


def test_an_unknown_mask_is_an_error():
    with pytest.raises(RequestError, match="mask"):
        Ranking(busy(), "test", mask="nothing")


def test_a_perfect_ranking_scores_one_and_the_opposite_zero():
    dataset = tiny(n_items=60)
    perfect = measured(dataset, oracle_scores(dataset, ["test"]), "test").mean
    worst = measured(dataset, -oracle_scores(dataset, ["test"]), "test").mean
    assert set(perfect.values()) == {1.0} and set(worst.values()) == {0.0}


# Blocks and models


@pytest.mark.parametrize("users_a_block", [1, 2, 4, 14, 15, 100])
def test_the_block_size_does_not_matter(users_a_block):
    dataset = busy()
    scores = random_scores(dataset)
    blocked = measured(dataset, scores, "test", block_bytes=4 * dataset.n_items * users_a_block)
    whole = measured(dataset, scores, "test")
    assert blocked.mean == whole.mean
    assert all(np.array_equal(blocked.per_user[name], whole.per_user[name]) for name in METRICS)


def test_evaluating_a_model_ranks_its_scores_without_a_gradient():
    dataset = busy()
    model = build("bpr", dataset, small("bpr"), seed=0)
    metrics = evaluate(model, dataset, "test")
    assert_equal(metrics, brute(dataset, model.score(torch.arange(dataset.n_users)), "test"))


@pytest.mark.parametrize("n_items", [7, 12, 19])
def test_catalogues_smaller_than_the_cut_off_are_ranked_whole(n_items):
    dataset = tiny(n_items=n_items)
    scores = random_scores(dataset)
    metrics = measured(dataset, scores, "test")
    assert_equal(metrics, brute(dataset, scores, "test"))
    assert metrics.mean["recall@20"] == 1.0


def test_masked_items_are_no_hits_where_fewer_than_twenty_items_are_left():
    dataset = Dataset.from_arrays(
        [(0, item) for item in range(25)], [(0, 25)], [(0, 26)], n_items=30
    )
    scores = -torch.arange(30, dtype=torch.float32)[None]
    assert_equal(measured(dataset, scores, "test"), brute(dataset, scores, "test"))


# The best items


@pytest.mark.parametrize("n_items", [1, 19, 20, 31, 32, 33, 64, 640, 641, 672, 700, 1500])
@pytest.mark.parametrize("k", [1, 10, 20])
def test_top_columns_equal_topk_on_distinct_scores(n_items, k):
    generator, k = torch.Generator().manual_seed(n_items), min(k, n_items)
    scores = torch.stack([torch.randperm(n_items, generator=generator) for _ in range(6)]).float()
    assert torch.equal(top_columns(scores, k), scores.topk(k, dim=1).indices)


def test_top_columns_are_found_when_they_all_stand_in_one_group_or_in_the_rest():
    scores = -torch.arange(700, dtype=torch.float32).repeat(2, 1)
    scores[0, 32:52] += 2000
    scores[1, 680:] += 2000
    best = torch.stack([torch.arange(32, 52), torch.arange(680, 700)])
    assert torch.equal(top_columns(scores, 20), best)


def test_top_columns_with_masked_scores_and_ties_have_the_highest_values_without_repeats():
    scores = torch.randint(0, 4, (8, 900), generator=torch.Generator().manual_seed(0)).float()
    scores[:, ::2] = -torch.inf
    scores[0, 15:] = -torch.inf
    top = top_columns(scores, 20)
    assert torch.equal(scores.gather(1, top), scores.topk(20, dim=1).values)
    assert all(len(set(row)) == 20 for row in top.tolist())


def test_equal_recalls_of_other_users_have_equal_means():
    """A third and two thirds in place of one: what float32 makes of these adds up to more."""
    train, held_out = (
        [(user, 0) for user in range(3)],
        [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1)],
    )
    dataset = Dataset.from_arrays(train, held_out, [(0, 4)], n_items=60)
    found = [{(0, 1), (1, 1), (1, 2)}, {(2, 1)}]
    means = []
    for hits in found:
        scores = torch.arange(60.0).repeat(3, 1)
        for user, item in set(held_out):
            scores[user, item] = 100 if (user, item) in hits else -1
        means.append(
            Ranking(dataset, "valid")
            .metrics(lambda users, scores=scores: scores[users].clone())
            .mean
        )
    assert means[0]["recall@20"] == pytest.approx(1 / 3, abs=1e-15)
    assert means[1]["recall@20"] == pytest.approx(1 / 3, abs=1e-15)


# Users without a training pair


def without_training_pairs_of(user, dataset):
    """The dataset's arrays without the training pairs of one user."""
    return SimpleNamespace(
        n_users=dataset.n_users,
        n_items=dataset.n_items,
        train=dataset.train[dataset.train[:, 0] != user],
        valid=dataset.valid,
        test=dataset.test,
    )


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_user_without_a_training_pair_is_left_out_of_evaluation(split):
    whole = tiny()
    cold = without_training_pairs_of(4, whole)
    scores = torch.rand(12, 16, generator=torch.Generator().manual_seed(0))
    everybody, others = (
        Ranking(data, split).metrics(lambda users: scores[users].clone()) for data in (whole, cold)
    )
    kept = everybody.users != 4
    assert others.users.tolist() == everybody.users[kept].tolist()
    for name, values in others.per_user.items():
        assert np.array_equal(values, everybody.per_user[name][kept])


def test_a_split_whose_users_have_no_training_pair_is_an_error():
    data = tiny()
    only = SimpleNamespace(**{**vars(without_training_pairs_of(-1, data)), "test": data.test[:1]})
    only.train = only.train[only.train[:, 0] != only.test[0, 0]]
    with pytest.raises(DataError, match="no user of the test split has a training pair"):
        Ranking(only, "test")
