"""Texts as vectors: words and their weights, which needs nothing else, or a sentence encoder where it is installed."""

from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from seapkg.data.validate import fault
from seapkg.errors import RequestError

WIDTH = 384
MAX_TERMS = 50_000
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
ENCODERS = {
    "tfidf": "scikit-learn",
    "minilm": "sentence-transformers",
}  # and the package each needs


def require_encoder(encoder: str) -> None:
    """Raises `RequestError` unless there is such an encoder and its package is installed."""
    if encoder not in ENCODERS:
        raise RequestError(f"no text encoder {encoder!r}; there are {', '.join(ENCODERS)}")
    if encoder == "minilm" and find_spec("sentence_transformers") is None:
        raise RequestError(
            "the text encoder minilm needs sentence-transformers: pip install 'seapkg[text]', or use "
            "--text-encoder tfidf, which needs nothing else"
        )


def describe_encoder(encoder: str) -> dict[str, str]:
    """What made the vectors: the encoder, its model and the version of its package."""
    package = ENCODERS[encoder]
    model = (
        MINILM
        if encoder == "minilm"
        else f"TF-IDF of words and truncated SVD, at most {WIDTH} wide"
    )
    return {"encoder": encoder, "model": model, "package": f"{package} {version(package)}"}


def encode(texts: list[str], encoder: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 [n, at most 384] of texts [n], and which texts had words, bool [n].

    Rows have unit norm; a text without words gets the mean of the others. `where`: the file, for errors.
    """
    written = np.array([bool(text) for text in texts])
    if not written.any():
        raise fault(
            where, "it has no text for any of the items", "Take the file of the same category"
        )
    known = [text for text in texts if text]
    found = _sentences(known) if encoder == "minilm" else _tfidf(known, where)
    norms = np.linalg.norm(found, axis=1)
    meant = norms > 0
    written[written] = meant
    vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
    vectors[written] = found[meant] / norms[meant, None]
    vectors[~written] = vectors[written].mean(axis=0)
    return vectors, written


def _sentences(texts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer  # heavy, and optional

    model = SentenceTransformer(MINILM, device="cpu")
    return np.asarray(model.encode(texts, batch_size=64, show_progress_bar=False), dtype=np.float64)


def _tfidf(texts: list[str], where: str) -> np.ndarray:
    """The leading singular coordinates of weighted word counts; the same texts give the same vectors."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        weights = TfidfVectorizer(
            max_features=MAX_TERMS, sublinear_tf=True, stop_words="english"
        ).fit_transform(texts)
    except ValueError as error:  # no words but those that everybody uses
        raise fault(
            where, f"its texts cannot be weighed ({error})", "Take the file of the same category"
        ) from error
    width = max(1, min(WIDTH, min(weights.shape) - 1))
    if weights.shape[1] == 1:
        return weights.toarray()
    return TruncatedSVD(width, random_state=0).fit_transform(weights)
