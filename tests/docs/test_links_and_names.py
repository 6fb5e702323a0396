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
MOVED = {"seapkg/models/README.md"}  # the changelog names what was moved
every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix()
)


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def resolves(name: str) -> bool:
    try:
        resolve(name)
    except (ImportError, AttributeError):
        return False
    return True


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether a link is a web address, or the target and its anchor exist."""
    if re.match(r"[a-z]+:", link):
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def absent(path: str) -> bool:
    """Whether a path is cited although the repository does not have it."""
    return path.startswith("results/runs") or TOY in path or path in MOVED


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
    names = re.findall(r"`(seapkg(?:\.\w+)+)", page.read_text(encoding="utf-8"))
    assert [name for name in sorted(set(names)) if not resolves(name)] == []


@every_page
def test_every_relative_link_points_at_a_file_and_an_anchor(page):
    text = without_code_blocks(page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [link for link in links if not leads_somewhere(page, link)] == []


@every_page
def test_every_cited_path_exists(page):
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:seapkg|tests|docs|notebooks|results)/[\w./-]+)`", text)
    assert [path for path in paths if not (REPOSITORY / path).exists() and not absent(path)] == []


def test_a_wrong_name_or_anchor_would_be_noticed(tmp_path):
    assert resolves("seapkg.losses.bpr") and not resolves("seapkg.losses.no_such_loss")
    page = tmp_path / "page.md"
    page.write_text("# SEA: theory\n## `split`, and more\n")
    assert leads_somewhere(page, "#split-and-more") and leads_somewhere(page, "page.md#sea-theory")
    assert not leads_somewhere(page, "#elsewhere") and not leads_somewhere(page, "other.md")


def test_every_page_that_the_code_cites_exists():
    root = REPOSITORY / "README.md"
    for source in (REPOSITORY / "seapkg").rglob("*.py"):
        links = re.findall(r"docs/\w+\.md(?:#[\w-]+)?", source.read_text(encoding="utf-8"))
        assert [link for link in links if not leads_somewhere(root, link)] == [], source
