"""A small shop in raw files, and where a dataset is made of it."""

import pytest
from raw_shop import (
    ITEMS,
    NO_IMAGE,
    NO_TEXT,
    met_pairs,
    write_images,
    write_metadata,
    write_reviews,
)


@pytest.fixture
def raw(tmp_path):
    """The raw files: an item without image, one without metadata, and one that nobody met."""
    folder = tmp_path / "raw"
    folder.mkdir()
    write_reviews(folder, met_pairs())
    write_metadata(folder, [*ITEMS, "B999NOBODY"], **{NO_TEXT: None})
    write_images(folder, ["B999NOBODY", *(item for item in reversed(ITEMS) if item != NO_IMAGE)])
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "made" / "shop"
