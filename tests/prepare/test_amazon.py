"""Raw Amazon files become a dataset, the same every time, and nothing in them is run."""

import ast
import gzip
import json
import random
import sys
import types

import numpy as np
import pytest
from raw_shop import (
    ITEMS,
    NO_IMAGE,
    NO_TEXT,
    WIDTH,
    brute_core,
    met_pairs,
    metadata_line,
    nothing_is_left,
    vector,
    write_gz,
    write_metadata,
    write_reviews,
)

import seapkg
from seapkg.__main__ import main
from seapkg.errors import DataError, RequestError
from seapkg.prepare import encode
from seapkg.prepare.amazon import prepare
from seapkg.prepare.raw_features import plain


def products(folder):
    """Product ids in the order of items, as items.tsv lists them."""
    rows = [
        line.split("\t")
        for line in (folder / "items.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ]
    assert [row[0] for row in rows] == [str(number) for number in range(len(rows))]
    return [row[2] for row in rows]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# the folder that is made


def test_the_loader_reads_what_was_made_and_its_pairs_are_the_core(raw, out):
    record = prepare(raw, out)
    data, names = seapkg.load(out), products(out)
    core = brute_core(met_pairs(), 5)
    assert (data.n_users, data.n_items) == (
        len({user for user, _ in core}),
        len({item for _, item in core}),
    )
    assert names == sorted({item for _, item in core})
    people = sorted({user for user, _ in core})
    pairs = np.concatenate([data.train, data.valid, data.test]).tolist()
    assert sorted((people[user], names[item]) for user, item in pairs) == sorted(core)
    assert (
        record == json.loads((out / "prepared.json").read_text())
        and record["fingerprint"] == data.fingerprint
    )
    assert data.modalities == ("image", "text")
    assert {path.name for path in out.iterdir()} == {
        "train.npy",
        "valid.npy",
        "test.npy",
        "image_feat.npy",
        "text_feat.npy",
        "items.tsv",
        "prepared.json",
    }
    assert np.load(out / "train.npy").dtype == np.int64 and np.load(out / "train.npy").shape[0] == 2


def test_what_was_left_out_is_counted(raw, out):
    pairs, core = met_pairs(), brute_core(met_pairs(), 5)
    counts = prepare(raw, out)["counts"]
    assert counts["interactions read"] == len(pairs)
    assert counts["users"] == len({user for user, _ in core})
    assert counts["items"] == len({item for _, item in core})
    assert counts["train"] + counts["valid"] + counts["test"] == counts["interactions"] == len(core)


def test_images_stand_at_their_items_and_a_missing_one_is_the_mean(raw, out):
    record = prepare(raw, out)
    images, names = np.load(out / "image_feat.npy"), products(out)
    assert images.dtype == np.float32 and NO_IMAGE in names
    others = [item for item in names if item != NO_IMAGE]
    for item in others:
        np.testing.assert_array_equal(images[names.index(item)], vector(item))
    mean = np.mean([vector(item) for item in others], axis=0, dtype=np.float64)
    np.testing.assert_allclose(images[names.index(NO_IMAGE)], mean, rtol=1e-6, atol=1e-9)
    assert record["items without an image"] == [NO_IMAGE]


def test_texts_stand_at_their_items_and_a_missing_one_is_the_mean(raw, out):
    """Items of one kind share words, so they are nearer to each other than to other kinds."""
    record = prepare(raw, out)
    x, names = np.load(out / "text_feat.npy").astype(np.float64), products(out)
    kinds = np.array([ITEMS.index(item) % 5 for item in names])
    written = np.array([item != NO_TEXT for item in names])
    cosines = (x @ x.T)[np.ix_(written, written)]
    np.fill_diagonal(cosines, np.nan)
    same = kinds[written][:, None] == kinds[written]
    assert np.nanmin(cosines[same]) > np.nanmax(cosines[~same])
    np.testing.assert_allclose(np.linalg.norm(x[written], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(x[~written], x[written].mean(axis=0, keepdims=True), atol=1e-6)
    assert record["items without a text"] == [NO_TEXT] and x.shape[1] < 384


def test_of_several_records_of_an_item_the_first_counts(raw, out, tmp_path):
    prepare(raw, out)
    path = raw / "image_features_Shop.b"
    path.write_bytes(path.read_bytes() + ITEMS[0].encode() + bytes(4 * WIDTH))
    lines = gzip.decompress((raw / "meta_Shop.json.gz").read_bytes()).decode().splitlines()
    write_gz(raw / "meta_Shop.json.gz", [*lines, metadata_line(ITEMS[0], "another title")])
    prepare(raw, tmp_path / "again")
    assert seapkg.load(tmp_path / "again").fingerprint == seapkg.load(out).fingerprint
    assert (tmp_path / "again" / "items.tsv").read_bytes() == (out / "items.tsv").read_bytes()


def test_names_are_titles_or_else_product_ids(raw, out):
    prepare(raw, out)
    names = dict(zip(products(out), seapkg.load(out).item_names, strict=True))
    assert names[ITEMS[0]] == f"lamp {ITEMS[0]}" and names[NO_TEXT] == NO_TEXT


def test_text_is_flattened_resolved_and_kept_on_one_line():
    assert plain([" a\tb", None, [["c &amp; d"], [5]], "e\n\0\ud800f"]) == "a b c & d 5 e f"


def test_interactions_alone_are_enough(raw, out):
    for pattern in ("meta_*", "image_*"):
        next(raw.glob(pattern)).unlink()
    record = prepare(raw, out)
    data = seapkg.load(out)
    assert data.modalities == () and data.item_names == tuple(products(out))
    assert list(record["from"]) == ["reviews_Shop_5.json.gz"]


@pytest.mark.parametrize("header", [[], ["user,item,rating,timestamp"]])
def test_ratings_give_the_same_as_reviews(raw, out, tmp_path, header):
    prepare(raw, out)
    next(raw.glob("reviews_*")).unlink()
    lines = [*header, *(f"{user},{item},4.0,1389657600" for user, item in met_pairs())]
    (raw / "ratings_Shop.csv").write_text("\r\n".join(lines) + "\n")
    prepare(raw, tmp_path / "again")
    assert seapkg.load(tmp_path / "again").fingerprint == seapkg.load(out).fingerprint


# determinism


def test_the_same_files_and_options_give_the_same_bytes(raw, out, tmp_path):
    prepare(raw, out, seed=4)
    prepare(raw, tmp_path / "again", seed=4)
    assert contents(out) == contents(tmp_path / "again")


def test_another_seed_gives_another_split_of_the_same_pairs(raw, out, tmp_path):
    prepare(raw, out)
    prepare(raw, tmp_path / "again", seed=1)
    one, other = contents(out), contents(tmp_path / "again")
    assert {name for name in one if one[name] != other[name]} == {
        "train.npy",
        "valid.npy",
        "test.npy",
        "prepared.json",
    }


def test_the_order_of_lines_makes_no_difference(raw, out, tmp_path):
    prepare(raw, out)
    pairs = met_pairs()
    random.Random(0).shuffle(pairs)
    write_reviews(raw, pairs)
    prepare(raw, tmp_path / "again")
    assert seapkg.load(out).fingerprint == seapkg.load(tmp_path / "again").fingerprint


# metadata is data


def test_code_in_metadata_is_refused_and_never_run(raw, out, tmp_path):
    trap = tmp_path / "trap"
    line = f"{{'asin': '{ITEMS[1]}', 'title': __import__('os').mkdir({str(trap)!r})}}"
    write_metadata(raw, ITEMS, **{ITEMS[1]: line})
    with pytest.raises(
        DataError, match=r"meta_Shop.json.gz, line 2: it is neither a JSON object nor a Python"
    ):
        prepare(raw, out)
    assert not trap.exists() and nothing_is_left(out)


def test_code_in_quotes_is_a_title(raw, out, tmp_path):
    trap = tmp_path / "trap"
    title = f"__import__('os').mkdir({str(trap)!r})"
    write_metadata(raw, ITEMS, **{ITEMS[1]: metadata_line(ITEMS[1], title)})
    prepare(raw, out)
    assert seapkg.load(out).item_names[products(out).index(ITEMS[1])] == title and not trap.exists()


def test_json_metadata_is_read_as_well(raw, out, tmp_path):
    prepare(raw, out)
    lines = gzip.decompress((raw / "meta_Shop.json.gz").read_bytes()).decode().splitlines()
    write_gz(raw / "meta_Shop.json.gz", [json.dumps(ast.literal_eval(line)) for line in lines])
    prepare(raw, tmp_path / "again")
    assert seapkg.load(tmp_path / "again").fingerprint == seapkg.load(out).fingerprint


# the command and its options


def test_the_command_makes_the_folder_and_prints_its_counts(raw, out, capsys):
    assert main(["data", "prepare", str(raw), str(out), "--core", "6", "--seed", "2"]) == 0
    shown, err = capsys.readouterr()
    record = json.loads((out / "prepared.json").read_text())
    assert json.loads(shown) == record["counts"] and "is ready" in err
    assert record["options"] == {"core": 6, "seed": 2, "text_encoder": "tfidf"}
    assert record["counts"]["interactions"] == len(brute_core(met_pairs(), 6))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--core", "2"], "they are 2 and 0"),
        (["--seed", "-1"], "they are 5 and -1"),
        (["--text-encoder", "bert"], "choose tfidf or minilm"),
    ],
)
def test_a_wrong_option_is_exit_code_2(options, said, raw, out, capsys):
    assert main(["data", "prepare", str(raw), str(out), *options]) == 2
    assert said in capsys.readouterr().err and nothing_is_left(out)


def test_raw_files_that_are_not_there_are_exit_code_2(tmp_path, out, capsys):
    assert main(["data", "prepare", str(tmp_path / "nowhere"), str(out)]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_refused_and_left_alone(raw, out):
    out.mkdir(parents=True)
    prepare(raw, out)  # an empty one is taken
    before = contents(out)
    with pytest.raises(RequestError, match="not empty"):
        prepare(raw, out, seed=1)
    assert contents(out) == before


def test_without_the_sentence_encoder_its_use_is_refused_at_once(raw, out, monkeypatch):
    monkeypatch.setattr(encode, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'seapkg\[text\]'"):
        prepare(raw, out, text_encoder="minilm")
    assert nothing_is_left(out)


def test_the_sentence_encoder_is_given_the_texts_in_the_order_of_items(raw, out, monkeypatch):
    asked = []

    class SentenceTransformer:
        def __init__(self, name, device):
            assert name.endswith("all-MiniLM-L6-v2") and device == "cpu"

        def encode(self, texts, **options):
            asked.extend(texts)
            return np.arange(1, 2 * len(texts) + 1, dtype=np.float32).reshape(-1, 2)

    fake = types.SimpleNamespace(SentenceTransformer=SentenceTransformer)
    monkeypatch.setitem(sys.modules, "sentence_transformers", fake)
    monkeypatch.setattr(encode, "find_spec", lambda name: object())
    record = prepare(raw, out, text_encoder="minilm")
    names = [item for item in products(out) if item != NO_TEXT]
    kinds = [["lamp", "soap", "cup", "rope", "sock"][ITEMS.index(item) % 5] for item in names]
    expected = [
        f"{k} {i} Acme Home {k}s It's a {k} {i} for everyone"
        for k, i in zip(kinds, names, strict=True)
    ]
    assert asked == expected and record["options"]["text_encoder"] == "minilm"
    assert np.load(out / "text_feat.npy").shape == (len(products(out)), 2)


def test_preparing_imports_no_sentence_encoder(raw, out, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # an import would fail
    prepare(raw, out)
