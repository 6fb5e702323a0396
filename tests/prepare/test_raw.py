"""A broken raw file is one error with file and line, and nothing is left behind."""

import numpy as np
import pytest
from raw_shop import (
    ITEMS,
    WIDTH,
    nothing_is_left,
    write_gz,
    write_images,
    write_metadata,
    write_reviews,
)

from seapkg.__main__ import main
from seapkg.errors import DataError
from seapkg.prepare.amazon import prepare


@pytest.mark.parametrize(
    "line", ["(" * 5000 + ")" * 5000, "[" * 90_000, "9" * 5000, "[1]", "{'title': 'no id'}", "'a"]
)
def test_a_metadata_line_that_is_no_record_is_named(raw, out, line):
    write_metadata(raw, ITEMS, **{ITEMS[2]: line})
    with pytest.raises(DataError, match=r"meta_Shop.json.gz, line 3: "):
        prepare(raw, out)


def cut(path, n_bytes):
    path.write_bytes(path.read_bytes()[:-n_bytes])


def overwrite(path, start):
    content = bytearray(path.read_bytes())
    content[start : start + 50] = b"\xff" * 50
    path.write_bytes(bytes(content))


def spoil_image(raw):
    path = raw / "image_features_Shop.b"
    content = bytearray(path.read_bytes())
    at = 2 * (10 + 4 * WIDTH) + 10
    content[at : at + 4] = np.array(np.nan, "<f4").tobytes()
    path.write_bytes(bytes(content))


def rate(raw, *lines):
    next(raw.glob("reviews_*")).unlink()
    (raw / "ratings_Shop.csv").write_text("\n".join(["U1,B1,5.0,1", *lines]) + "\n")


BROKEN = {
    "reviews cut short": (
        lambda raw: cut(raw / "reviews_Shop_5.json.gz", 9),
        "reviews_Shop_5.json.gz, line ",
    ),
    "reviews not gz": (
        lambda raw: (raw / "reviews_Shop_5.json.gz").write_bytes(b"<html>"),
        "reviews_Shop_5.json.gz, line 1: ",
    ),
    "reviews damaged": (
        lambda raw: overwrite(raw / "reviews_Shop_5.json.gz", 200),
        "reviews_Shop_5.json.gz, line ",
    ),
    "no reviews": (
        lambda raw: write_gz(raw / "reviews_Shop_5.json.gz", []),
        "it holds no interactions",
    ),
    "half a review": (
        lambda raw: write_gz(
            raw / "reviews_Shop_5.json.gz",
            ['{"reviewerID": "U", "asin": "B"}', '{"reviewerID": "U'],
        ),
        "reviews_Shop_5.json.gz, line 2: it is neither",
    ),
    "review without item": (
        lambda raw: write_gz(raw / "reviews_Shop_5.json.gz", ['{"reviewerID": "U1"}']),
        "line 1: asin None is not one word",
    ),
    "user is a number": (
        lambda raw: write_gz(raw / "reviews_Shop_5.json.gz", ['{"reviewerID": 1, "asin": "B1"}']),
        "reviewerID 1 is",
    ),
    "metadata cut short": (
        lambda raw: cut(raw / "meta_Shop.json.gz", 9),
        "meta_Shop.json.gz, line ",
    ),
    "images cut short": (
        lambda raw: cut(raw / "image_features_Shop.b", 1),
        "image_features_Shop.b: it does not consist",
    ),
    "no images": (
        lambda raw: (raw / "image_features_Shop.b").write_bytes(b""),
        "image_features_Shop.b: it does not consist",
    ),
    "image not finite": (spoil_image, "image_features_Shop.b, record 2: the vector"),
    "images of others": (lambda raw: write_images(raw, ["B999NOBODY"]), "no vector for any"),
    "texts of others": (lambda raw: write_metadata(raw, ["B999NOBODY"]), "no text for any"),
    "rating with one field": (lambda raw: rate(raw, "U1"), "ratings_Shop.csv, line 2: asin None"),
    "rating without user": (
        lambda raw: rate(raw, ",B2,5.0,1"),
        "ratings_Shop.csv, line 2: reviewerID ''",
    ),
    "nobody in the core": (lambda raw: rate(raw), "the 5-core is empty"),
    "two files": (
        lambda raw: write_reviews(raw, [("a", "b")], "reviews_Other.json.gz"),
        "2 files of interactions",
    ),
    "no files": (lambda raw: [path.unlink() for path in raw.iterdir()], "0 files of interactions"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_exit_code_2_and_leaves_nothing(case, raw, out, capsys):
    spoil, said = BROKEN[case]
    spoil(raw)
    assert main(["data", "prepare", str(raw), str(out)]) == 2
    shown, err = capsys.readouterr()
    assert shown == "" and err.count("\n") == 1 and said in err and nothing_is_left(out)
