"""Every name, path and link that the documentation cites exists."""

import importlib
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "data/README.md")),
]
TOY = "itemmean"  # docs/adding_a_system.md asks the reader to write it
every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix()
)


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def resolve(name: str) -> object:
    """The object of a dotted name: the longest importable prefix, then attributes."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = getattr(value, part)
        return value
    raise ImportError(name)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@every_page
def test_every_cited_name_of_the_package_resolves(page):
    for name in sorted(set(re.findall(r"`(seapkg(?:\.\w+)+)", page.read_text(encoding="utf-8")))):
        try:
            resolve(name)
        except (ImportError, AttributeError) as error:
            pytest.fail(f"{page.name} cites {name}: {error}")


@every_page
def test_every_relative_link_points_at_a_file_and_an_anchor(page):
    text = without_code_blocks(page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


@every_page
def test_every_cited_path_exists(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:seapkg|tests|docs|notebooks|results)/[\w./-]+)`", text):
        absent = path.startswith("results/runs") or TOY in path
        assert absent or (REPOSITORY / path).exists(), f"{page.name} cites {path}"


def test_a_wrong_name_or_anchor_would_be_noticed(tmp_path):
    with pytest.raises(AttributeError):
        resolve("seapkg.losses.no_such_loss")
    page = tmp_path / "page.md"
    page.write_text("# SEA: theory\n## `split`, and more\n")
    assert anchors(page) == {"sea-theory", "split-and-more"}
