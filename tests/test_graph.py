"""Graphs against dense matrices, double loops and exact probabilities."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats
from tiny import tiny

from seapkg import graph
from seapkg.data.dataset import ItemGraph
from seapkg.errors import RequestError
from seapkg.graph import interactions, neighbours

PAIRS = torch.tensor([[0, 0], [0, 2], [1, 0], [2, 1], [2, 2], [2, 0]])
N_USERS, N_ITEMS = 4, 5  # user 3 and items 3, 4 have no pair


def dense(sparse: graph.SparseGraph) -> torch.Tensor:
    return sparse.matrix().to_dense().double()


def normal(*shape, seed=0, **kwargs) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **kwargs)


def random_graph(symmetric: bool) -> tuple[graph.SparseGraph, torch.Tensor]:
    """A graph and the dense matrix it stands for, float64."""
    matrix = normal(6, 6 if symmetric else 4, dtype=torch.float64)
    matrix[matrix < 0.3] = 0
    matrix = matrix + matrix.T if symmetric else matrix
    rows, columns = indices = matrix.nonzero().T
    values, shape = matrix[rows, columns], tuple(matrix.shape)
    return graph.SparseGraph(indices, values, shape, symmetric=symmetric), matrix


# The sparse product


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_product_and_its_backward_equal_the_dense_ones(symmetric):
    sparse, matrix = random_graph(symmetric)
    x = normal(matrix.shape[1], 3, seed=1, dtype=torch.float64, requires_grad=True)
    weights = normal(matrix.shape[0], 3, seed=2, dtype=torch.float64)
    torch.testing.assert_close(sparse(x), matrix @ x)
    (ours,) = torch.autograd.grad((sparse(x) * weights).sum(), x)
    (theirs,) = torch.autograd.grad(((matrix @ x) * weights).sum(), x)
    torch.testing.assert_close(ours, theirs)


def test_empty_rows_and_an_empty_graph_give_zeros():
    sparse, x = graph.normalised_adjacency(PAIRS, N_USERS, N_ITEMS), normal(9, 2)
    torch.testing.assert_close(sparse(x), sparse.matrix().to_dense() @ x)
    assert not sparse(x)[[3, 7, 8]].any()
    empty = graph.SparseGraph(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0), (3, 9))
    assert torch.equal(empty(x), torch.zeros(3, 2))


def test_the_gradient_may_arrive_in_any_memory_layout():
    sparse, matrix = random_graph(symmetric=False)
    x = normal(4, 3, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(sparse(x).sum(), x)  # an expanded gradient
    torch.testing.assert_close(ours, matrix.T @ torch.ones(6, 3, dtype=torch.float64))
    torch.testing.assert_close(sparse(x.detach().T.contiguous().T), matrix @ x.detach())


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_product_passes_gradcheck_in_float64(symmetric):
    sparse, matrix = random_graph(symmetric)
    x = normal(matrix.shape[1], 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sparse, x)


def test_an_entry_given_twice_adds_up():
    indices = torch.tensor([[0, 0], [1, 1]])
    sparse = graph.SparseGraph(indices, torch.tensor([1.0, 2.0]), (2, 2))
    assert dense(sparse).tolist() == [[0, 3], [0, 0]]


def test_a_graph_has_no_parameters_and_nothing_to_save():
    sparse, _ = random_graph(symmetric=False)
    assert not list(sparse.parameters()) and not sparse.state_dict()


# Users and items


def test_the_normalised_adjacency_equals_the_dense_one():
    adjacency = torch.zeros(9, 9, dtype=torch.float64)
    for user, item in PAIRS.tolist():
        adjacency[user, N_USERS + item] = adjacency[N_USERS + item, user] = 1
    degrees = adjacency.sum(dim=1)
    roots = torch.where(degrees > 0, degrees.clamp(min=1).rsqrt(), 0.0)
    expected = roots.diag() @ adjacency @ roots.diag()
    # The weights are float32, so they agree to its precision.
    ours = dense(graph.normalised_adjacency(PAIRS, N_USERS, N_ITEMS))
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=0)


def test_nodes_without_a_pair_have_an_empty_row():
    ours = dense(graph.normalised_adjacency(PAIRS, N_USERS, N_ITEMS))
    empty = (ours == 0).all(dim=1).nonzero().flatten()
    assert empty.tolist() == [3, N_USERS + 3, N_USERS + 4]


def test_edge_weights_by_hand():
    expected = [6**-0.5, 4**-0.5, 3**-0.5, 3**-0.5, 6**-0.5, 9**-0.5]
    weights = graph.edge_weights(PAIRS, N_USERS, N_ITEMS)
    assert weights.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_layers_are_added_or_averaged_with_layer_0(n_layers):
    sparse, matrix = random_graph(symmetric=True)
    x = normal(6, 2, dtype=torch.float64)
    total = sum(torch.linalg.matrix_power(matrix, layer) @ x for layer in range(n_layers + 1))
    torch.testing.assert_close(graph.sum_of_layers(sparse, x, n_layers), total)
    torch.testing.assert_close(graph.mean_of_layers(sparse, x, n_layers), total / (n_layers + 1))


# Nearest neighbours


def nearest(features: torch.Tensor, k: int) -> torch.Tensor:
    """The `k` nearest rows of each row, [n, k]."""
    (_, columns), _ = graph.nearest_edges(features, k)
    return columns.view(-1, k)


def brute_neighbours(features: torch.Tensor, k: int) -> list[list[int]]:
    """For each row the k best by cosine to six decimals: itself first, ties to the lowest row."""
    x = features.double().numpy()
    norms = np.linalg.norm(x, axis=1)
    chosen = []
    for i in range(len(x)):
        keys = []
        for j in range(len(x)):
            product = norms[i] * norms[j]
            cosine = x[i] @ x[j] / product if product else 0.0
            keys.append((j != i, -round(cosine, 6), j))
        chosen.append(sorted(j for _, _, j in sorted(keys)[:k]))
    return chosen


FEATURES = {
    "distinct rows": normal(23, 5),
    "duplicated rows": normal(5, 4)[torch.arange(23) % 5],
    "one row for all": torch.ones(23, 3),
    "some zero rows": normal(23, 5) * (torch.arange(23) % 3 > 0)[:, None],
    "only zero rows": torch.zeros(23, 2),
    "one column": normal(23, 1),
}


@pytest.mark.parametrize("k", [1, 4, 22, 23])
@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
def test_nearest_neighbours_equal_a_double_loop(features, k):
    assert nearest(features, k).tolist() == brute_neighbours(features, k)


@pytest.mark.parametrize("block_rows", [1, 2, 7, 22, 100])
def test_the_block_size_does_not_change_the_neighbours(block_rows, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 4 * 23 * block_rows)
    for features in FEATURES.values():
        ours = nearest(features, 4)
        assert ours.tolist() == brute_neighbours(features, 4)


def test_the_length_of_a_row_does_not_matter():
    features, lengths = FEATURES["distinct rows"], torch.arange(1, 24)[:, None]
    ours = nearest(features * lengths, 4)
    assert ours.tolist() == brute_neighbours(features, 4)


def test_rows_that_differ_in_length_alone_are_ties_whatever_float32_makes_of_them():
    lengths = torch.linspace(0.1, 30, 23)[:, None]
    ours = nearest(normal(1, 5) * lengths, 4)
    assert ours.tolist() == [[0, 1, 2, max(3, row)] for row in range(23)]


@pytest.mark.parametrize("k", [24, 0, -1])
def test_more_neighbours_than_rows_or_none_is_an_error_that_names_both(k):
    with pytest.raises(RequestError, match=rf"23; it is {k}"):
        nearest(FEATURES["distinct rows"], k)


# Items and items


def test_with_k_neighbours_a_row_every_entry_is_one_kth_and_rows_sum_to_one():
    ours = dense(graph.item_graph(tiny("image"), "image", 3))
    assert (ours != 0).sum(dim=1).tolist() == [3] * 16
    assert ours[ours != 0].tolist() == pytest.approx([1 / 3] * 48, rel=1e-6)
    assert ours.diagonal().tolist() == pytest.approx([1 / 3] * 16, rel=1e-6)


def test_a_neighbour_graph_of_uneven_degrees_has_the_row_degrees_on_both_sides():
    edges = torch.tensor([[0, 0, 1, 1, 1, 2], [1, 2, 0, 1, 2, 0]])
    binary = torch.zeros(3, 3, dtype=torch.float64)
    binary[edges[0], edges[1]] = 1
    roots = torch.tensor([2.0, 3.0, 1.0], dtype=torch.float64).rsqrt().diag()
    ours = dense(graph.neighbour_graph(edges, torch.ones(6), n_items=3))
    torch.testing.assert_close(ours, roots @ binary @ roots, rtol=1e-6, atol=0)


def test_an_item_without_neighbours_of_its_own_has_an_empty_row_and_column():
    ours = dense(
        graph.neighbour_graph(torch.tensor([[0, 0, 1], [1, 2, 0]]), torch.ones(3), n_items=3)
    )
    assert ours.tolist() == [
        [0, pytest.approx(2**-0.5), 0],
        [pytest.approx(2**-0.5), 0, 0],
        [0, 0, 0],
    ]


def mixed(dataset, k: int, image_weight: float, **kwargs) -> torch.Tensor:
    """The dense matrix that the mixed item graphs stand for."""
    return graph.ItemGraphs(dataset, k, image_weight, **kwargs)(torch.eye(dataset.n_items)).detach()


@pytest.mark.parametrize("learned", [True, False])
def test_the_mix_of_image_and_text_has_three_values_and_rows_that_sum_to_one(learned):
    ours = mixed(tiny("image", "text", n_items=40), 10, 0.1, learned=learned)
    values = ours[ours != 0].mul(1e6).round().unique() / 1e6
    assert values.tolist() == pytest.approx([0.01, 0.09, 0.1], abs=1e-6)
    torch.testing.assert_close(ours.sum(dim=1), torch.ones(40))
    torch.testing.assert_close(ours.diagonal(), torch.full((40,), 0.1))


def test_the_image_weight_belongs_to_the_image_graph():
    dataset = tiny("image", "text")
    only_image = dense(graph.item_graph(dataset, "image", 3)).float()
    torch.testing.assert_close(mixed(dataset, 3, 1.0), only_image)


@pytest.mark.parametrize("modalities", [("image", "audio"), ("image", "text", "audio"), ("text",)])
def test_other_sets_of_modalities_share_equally(modalities):
    dataset = tiny(*modalities)
    graphs = [dense(graph.item_graph(dataset, name, 3)).float() for name in modalities]
    torch.testing.assert_close(mixed(dataset, 3, 0.1), sum(graphs) / len(graphs))


def test_learned_shares_are_trained_and_fixed_ones_are_not():
    dataset = tiny("image", "text")
    learned = graph.ItemGraphs(dataset, 3, 0.1, learned=True)
    learned(normal(16, 2)).square().sum().backward()
    assert learned.logits.grad.abs().min() > 0
    assert not list(graph.ItemGraphs(dataset, 3, 0.1).parameters())


@pytest.mark.parametrize(("k", "kept"), [
    (1, {(0, 0): 0.1, (1, 9): 0.8}),
    (2, {(0, 0): 0.1, (0, 3): 0.9, (1, 9): 0.8, (1, 4): 0.5}),
    (3, {(0, 0): 0.1, (0, 3): 0.9, (0, 5): 0.9, (1, 9): 0.8, (1, 4): 0.5, (1, 2): 0.2}),
])  # fmt: skip
def test_of_given_edges_the_best_are_kept_itself_first_and_of_equal_ones_the_lowest_item(k, kept):
    """Item 0 has itself at a low cosine and two equal others; item 1 is not its own neighbour."""
    index = np.array([[0, 0, 0, 0, 1, 1, 1], [7, 5, 0, 3, 2, 9, 4]])
    given = ItemGraph(index, np.array([0.6, 0.9, 0.1, 0.9, 0.2, 0.8, 0.5], dtype=np.float32))
    edges, cosines = graph.item_edges(tiny("image", item_graphs={"image": given}), "image", k)
    places = map(tuple, edges.T.tolist())
    assert dict(zip(places, cosines.tolist(), strict=True)) == pytest.approx(kept)


def test_a_given_item_graph_is_used_instead_of_the_features():
    index = np.array([np.arange(16).repeat(2), (np.arange(32) * 5 + 1) % 16])
    given = ItemGraph(index, np.linspace(0.1, 0.9, 32, dtype=np.float32))
    ours = dense(graph.item_graph(tiny("image", item_graphs={"image": given}), "image", 10))
    assert ours.nonzero().tolist() == sorted(index.T.tolist())
    assert ours[ours != 0].tolist() == pytest.approx([0.5] * 32, rel=1e-6)


# Edge dropout


def test_kept_edges_are_some_of_the_pairs_in_their_order_without_repeats():
    position = {tuple(pair): place for place, pair in enumerate(PAIRS.tolist())}
    for seed in range(20):
        kept = graph.keep_edges(PAIRS, N_USERS, N_ITEMS, 4, torch.Generator().manual_seed(seed))
        places = [position[tuple(pair)] for pair in kept.tolist()]
        assert len(places) == 4 and places == sorted(set(places))


def test_keeping_every_edge_keeps_every_edge():
    kept = graph.keep_edges(PAIRS, N_USERS, N_ITEMS, len(PAIRS), torch.Generator())
    assert kept.tolist() == PAIRS.tolist()


def test_edges_are_kept_by_the_law_of_drawing_one_after_another_by_weight():
    """Counts of the 15 sets of two edges, against their exact probabilities.

    The seed is fixed, and so is the p-value. That the uniform law is rejected shows that 4 000
    draws suffice.
    """
    weights = graph.edge_weights(PAIRS, N_USERS, N_ITEMS).double().numpy()
    share = weights / weights.sum()
    sets = list(combinations(range(6), 2))
    law = [share[i] * share[j] * (1 / (1 - share[i]) + 1 / (1 - share[j])) for i, j in sets]
    position = {tuple(pair): place for place, pair in enumerate(PAIRS.tolist())}
    generator, counts = torch.Generator().manual_seed(5), dict.fromkeys(sets, 0)
    for _ in range(4000):
        kept = graph.keep_edges(PAIRS, N_USERS, N_ITEMS, 2, generator)
        counts[tuple(position[tuple(pair)] for pair in kept.tolist())] += 1
    observed = np.array(list(counts.values()))
    assert stats.chisquare(observed, 4000 * np.array(law)).pvalue > 0.01
    assert stats.chisquare(observed).pvalue < 1e-9


# Graphs of REARM and MICRO


def counts_by_hand(pairs: np.ndarray, n_rows: int) -> np.ndarray:
    """How many columns each two rows share, pair by pair."""
    columns = [set(pairs[pairs[:, 0] == row, 1].tolist()) for row in range(n_rows)]
    counts = np.array([[len(a & b) for b in columns] for a in columns])
    np.fill_diagonal(counts, 0)
    return counts


def co_occurrence_by_hand(counts: np.ndarray, k: int) -> np.ndarray:
    """Rows with k neighbours at least: the k largest counts, ties to the lowest row, softmaxed."""
    out = np.zeros(counts.shape)
    for row, own in enumerate(counts):
        best = sorted((n for n in range(len(own)) if own[n]), key=lambda n: (-own[n], n))[:k]
        if len(best) == k:
            weights = np.exp(own[best] - own[best].max())
            out[row, best] = weights / weights.sum()
    return out


@pytest.mark.parametrize("block_entries", [1, 50, 1 << 22])
def test_co_occurrence_equals_the_counts_taken_pair_by_pair(block_entries, monkeypatch):
    monkeypatch.setattr(interactions, "BLOCK_ENTRIES", block_entries)
    dataset = tiny(n_users=30, n_items=20)
    pairs = torch.from_numpy(dataset.train.copy())
    counts = counts_by_hand(dataset.train, 30)
    full = (counts > 0).sum(axis=1) >= 4
    ours = graph.co_occurrence_graph(pairs, 30, 20, 4).matrix().to_dense().numpy()
    assert full.sum() > 20
    np.testing.assert_allclose(
        ours[full], co_occurrence_by_hand(counts, 4)[full], rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(ours.sum(axis=1), 1, rtol=1e-5)


#: Forty rows share column 0, and rows 30 and 31 share column 1: all have ties at the cut.
CROWD = torch.tensor([[row, 0] for row in range(40)] + [[30, 1], [31, 1]])


def neighbours_of(matrix: torch.Tensor, row: int) -> list[int]:
    return matrix[row].nonzero().flatten().tolist()


def test_ties_of_co_occurrence_go_to_the_lowest_rows():
    matrix = graph.co_occurrence_graph(CROWD, 40, 2, 3).matrix().to_dense()
    assert neighbours_of(matrix, 39) == [0, 1, 2] and neighbours_of(matrix, 1) == [0, 2, 3]
    assert neighbours_of(matrix, 30) == [0, 1, 31]
    assert matrix[30, 31].item() == pytest.approx(math.e**2 / (math.e**2 + 2 * math.e))
    assert (matrix[:, 0] > 0).sum() == 39  # a hub


def test_ties_of_co_occurrence_at_random_spread_over_the_equal_rows():
    made = [graph.co_occurrence_graph(CROWD, 40, 2, 3, ties="random") for _ in range(2)]
    matrix, again = (each.matrix().to_dense() for each in made)
    assert torch.equal(matrix, again)  # the seed is fixed
    assert all(len(neighbours_of(matrix, row)) == 3 for row in range(40))
    assert not matrix.diagonal().any()
    assert matrix[30, 31].item() == pytest.approx(math.e**2 / (math.e**2 + 2 * math.e))
    in_degrees = (matrix > 0).sum(dim=0)
    assert in_degrees.max() < 12 and (in_degrees > 0).sum() > 30  # 3 each on average


def test_rows_with_few_neighbours_draw_among_them_again_before_the_softmax():
    """Twenty triples: the first user shares 2 items with the second, 1 with the third."""
    triple = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [2, 1]])
    pairs = torch.cat([triple + 3 * n for n in range(20)])
    matrix = graph.co_occurrence_graph(pairs, 60, 60, 4).matrix().to_dense()
    seen = set()
    for n in range(20):
        row = matrix[3 * n]
        assert row.nonzero().flatten().tolist() == [
            3 * n + 1,
            3 * n + 2,
        ] and row.sum() == pytest.approx(1)
        times = (
            row[3 * n + 1] / math.e**2 / (row[3 * n + 2] / math.e)
        )  # how often the one was drawn, over the other
        seen.add(round(times.item(), 3))
    assert seen == {3.0, 1.0, round(1 / 3, 3)}  # four draws, each of the two once at least
    assert torch.equal(matrix, graph.co_occurrence_graph(pairs, 60, 60, 4).matrix().to_dense())


def test_a_row_that_shares_nothing_takes_the_most_active_rows():
    pairs = torch.tensor([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [2, 3], [3, 4]])
    row = graph.co_occurrence_graph(pairs, 5, 5, 2).matrix().to_dense()[3]
    share = np.exp(np.array([3, 2]) / 5)
    np.testing.assert_allclose(row[[2, 1]], share / share.sum(), rtol=1e-6)
    assert torch.equal(
        row, graph.co_occurrence_graph(pairs, 5, 5, 2).matrix().to_dense()[4]
    )  # who has no pair at all


def test_no_shared_column_anywhere_is_still_a_graph():
    matrix = (
        graph.co_occurrence_graph(torch.tensor([[0, 0], [1, 1], [2, 2]]), 3, 3, 2)
        .matrix()
        .to_dense()
    )
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(3))


def test_similarity_graphs_hold_cosines_over_k():
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    matrix = graph.similarity_graph(*graph.nearest_edges(x, 3), (20, 20)).matrix().to_dense()
    dense = torch.nn.functional.cosine_similarity(x[:, None], x, dim=2)
    best = torch.zeros(20, 20).scatter(1, dense.topk(3, dim=1).indices, 1)
    torch.testing.assert_close(matrix, best * dense / 3, rtol=1e-5, atol=1e-6)


def test_a_similarity_graph_of_fewer_edges_than_were_asked_for_still_sums_to_a_mean_cosine(caplog):
    given = ItemGraph(
        np.array([[0, 0, 1, 2], [0, 3, 1, 2]]), np.array([1, 0.5, 1, 0.8], dtype=np.float32)
    )
    edges = graph.item_edges(tiny("image", item_graphs={"image": given}), "image", 5)
    assert "at most 2 edges per item; k is 5" in caplog.text
    sums = graph.similarity_graph(*edges, (16, 16)).matrix().to_dense().sum(dim=1)
    torch.testing.assert_close(sums[:4], torch.tensor([0.75, 1, 0.8, 0]))


@pytest.mark.parametrize("gram_bytes", [0, 1 << 30], ids=["row by row", "all products at once"])
@pytest.mark.parametrize("block_bytes", [1, 300, 1 << 20])
@pytest.mark.parametrize("k", [1, 4, 17])
def test_the_nearest_means_are_those_of_the_means_formed_first(
    gram_bytes, block_bytes, k, monkeypatch
):
    """Users 3 and 4 have the same items, 5 one without features, 16 none."""
    monkeypatch.setattr(neighbours, "GRAM_BYTES", gram_bytes)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", block_bytes)
    features = normal(9, 5) * (torch.arange(9) != 8)[:, None]
    users, items = (torch.rand(16, 8, generator=torch.Generator().manual_seed(2)) < 0.4).nonzero().T
    pairs = torch.stack([users, items], dim=1)
    rest = pairs[(users != 4) & (users != 5)]
    pairs = torch.cat([rest, rest[rest[:, 0] == 3] + torch.tensor([1, 0]), torch.tensor([[5, 8]])])
    mean = graph.mean_graph(pairs, 17, 9)
    formed = torch.stack([features[pairs[pairs[:, 0] == user, 1]].sum(dim=0) for user in range(17)])
    (rows, columns), cosines = graph.nearest_means(features, mean, k)
    assert rows.tolist() == [user for user in range(17) for _ in range(k)]
    assert columns.view(17, k).tolist() == brute_neighbours(formed, k)
    expected = torch.nn.functional.cosine_similarity(formed[rows], formed[columns], dim=1)
    torch.testing.assert_close(cosines, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block_bytes", [4 * 61, 4 * 61 * 7, 1 << 20])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_means_in_which_features_cancel_are_compared_as_well_as_the_means_themselves(
    scale, block_bytes, monkeypatch
):
    """Centred features: the mean of a user of all items is rounding error, near to nobody."""
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", block_bytes)
    features = normal(40, 8)
    features -= features.mean(dim=0)
    users, items = (
        (torch.rand(60, 40, generator=torch.Generator().manual_seed(1)) < 0.9).nonzero().T
    )
    users, items = torch.cat([users, torch.full((40,), 60)]), torch.cat([items, torch.arange(40)])
    mean = graph.mean_graph(torch.stack([users, items], dim=1), 61, 40)
    (rows, columns), cosines = graph.nearest_means(features * scale, mean, 5)
    formed = dense(mean) @ features.double()
    nothing = formed.norm(dim=1) < 1e-3
    formed[nothing] = 0
    assert nothing[60] and nothing.sum() < 5
    assert columns.view(61, 5).tolist() == brute_neighbours(formed, 5)
    expected = torch.nn.functional.cosine_similarity(formed[rows], formed[columns], dim=1)
    torch.testing.assert_close(cosines.double(), expected, rtol=0, atol=2e-5)


def test_some_rows_of_a_product_are_rows_of_the_product():
    made = graph.mean_graph(torch.tensor([[0, 0], [0, 2], [2, 1], [4, 2]]), 5, 3)
    x = normal(3, 4)
    for start, stop in [(0, 5), (0, 1), (1, 2), (1, 4), (3, 5)]:
        assert torch.equal(made.rows_of_product(x, start, stop), made(x)[start:stop])


def test_cosine_graphs_divide_by_the_roots_of_the_row_sums():
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    (rows, columns), cosines = edges = graph.nearest_edges(x, 3)
    matrix = graph.neighbour_graph(*edges, 20).matrix().to_dense()
    kept = torch.zeros(20, 20).index_put((rows, columns), cosines)
    scale = kept.sum(dim=1) ** -0.5
    torch.testing.assert_close(matrix, scale[:, None] * kept * scale)


def test_the_mean_graph_averages_items_and_the_row_normalised_one_a_node_and_its_neighbours():
    pairs = torch.tensor([[0, 0], [0, 2], [2, 1]])
    mean = graph.mean_graph(pairs, 3, 3).matrix().to_dense()
    assert mean.tolist() == [[0.5, 0, 0.5], [0, 0, 0], [0, 1, 0]]
    matrix = graph.row_normalised_adjacency(pairs, 3, 3).matrix().to_dense()
    adjacency = torch.eye(6)
    for user, item in pairs.tolist():
        adjacency[user, 3 + item] = adjacency[3 + item, user] = 1
    torch.testing.assert_close(matrix, adjacency / adjacency.sum(dim=1, keepdim=True))


def test_some_rows_of_a_product_have_the_values_and_gradients_of_the_whole_product():
    pairs = torch.tensor([[0, 1], [0, 3], [1, 0], [3, 2], [3, 3], [3, 0]])  # row 2 is empty
    matrix = graph.SparseGraph(pairs.T, torch.arange(1.0, 7), (4, 5))
    index = torch.tensor([3, 0, 2, 3])
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ours, theirs = matrix.at(index, x), matrix(x)[index]
    torch.testing.assert_close(ours, theirs)
    weights = torch.arange(12.0).view(4, 3)
    gradients = [torch.autograd.grad((part * weights).sum(), x)[0] for part in (ours, theirs)]
    torch.testing.assert_close(*gradients)
