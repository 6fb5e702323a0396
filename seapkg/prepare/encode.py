"""Texts as vectors: weighted words, which needs nothing else, or an installed sentence encoder."""

from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from seapkg.data.validate import fault
from seapkg.errors import RequestError

WIDTH = 384
MAX_TERMS = 50_000
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
ENCODERS = {  # the package that each needs, and the model
    "tfidf": ("scikit-learn", f"TF-IDF of words and truncated SVD, at most {WIDTH} wide"),
    "minilm": ("sentence-transformers", MINILM),
}


def require_encoder(encoder: str) -> None:
    """Raises `RequestError` unless there is such an encoder and its package is installed."""
    if encoder not in ENCODERS:
        raise RequestError(f"no text encoder {encoder!r}; there are {', '.join(ENCODERS)}")
    if encoder == "minilm" and find_spec("sentence_transformers") is None:
        raise RequestError(
            "the text encoder minilm needs sentence-transformers: pip install 'seapkg[text]', "
            "or use --text-encoder tfidf, which needs nothing else"
        )


def describe_encoder(encoder: str) -> dict[str, str]:
    """What made the vectors: the encoder, its model and the version of its package."""
    package, model = ENCODERS[encoder]
    return {"encoder": encoder, "model": model, "package": f"{package} {version(package)}"}


def encode(texts: list[str], encoder: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts as rows of unit norm; a text without words gets the mean of the others.

    Args:
        texts: n texts.
        where: the file, for errors.

    Returns:
        Vectors, float32 [n, at most 384], and which texts had words, bool [n].
    """
    written = np.array([bool(text) for text in texts])
    if not written.any():
        what = "it has no text for any of the items"
        raise fault(where, what, "Take the file of the same category")
    known = [text for text in texts if text]
    raw = _sentences(known) if encoder == "minilm" else _tfidf(known, where)
    norms = np.linalg.norm(raw, axis=1)
    written[written] = norms > 0
    vectors = np.empty((len(texts), raw.shape[1]), dtype=np.float32)
    vectors[written] = raw[norms > 0] / norms[norms > 0, None]
    vectors[~written] = vectors[written].mean(axis=0)
    return vectors, written


def _sentences(texts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer  # heavy, and optional

    model = SentenceTransformer(MINILM, device="cpu")
    return np.asarray(model.encode(texts, batch_size=64, show_progress_bar=False), dtype=np.float64)


def _tfidf(texts: list[str], where: str) -> np.ndarray:
    """Leading singular coordinates of weighted word counts, the same for the same texts."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(max_features=MAX_TERMS, sublinear_tf=True, stop_words="english")
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError as error:  # no words but stop words
        what = f"its texts have no words to weigh ({error})"
        raise fault(where, what, "Take the file of the same category") from error
    if weights.shape[1] == 1:
        return weights.toarray()
    width = max(1, min(WIDTH, min(weights.shape) - 1))
    return TruncatedSVD(width, random_state=0).fit_transform(weights)
