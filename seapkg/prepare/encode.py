"""Encodes texts as vectors: by TF-IDF, or by a sentence encoder that is installed separately."""

from importlib.util import find_spec

import numpy as np

from seapkg.data.validate import fault
from seapkg.errors import RequestError

ENCODERS = ("tfidf", "minilm")
WIDTH = 384
MAX_TERMS = 50_000
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def require_encoder(encoder: str) -> None:
    """Raises `RequestError` if the encoder is unknown or its package is not installed."""
    if encoder not in ENCODERS:
        raise RequestError(f"unknown text encoder {encoder!r}; choose {' or '.join(ENCODERS)}")
    if encoder == "minilm" and find_spec("sentence_transformers") is None:
        raise RequestError(
            "the text encoder minilm needs sentence-transformers: pip install 'seapkg[text]', "
            "or use --text-encoder tfidf"
        )


def encode(texts: list[str], encoder: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts as rows of unit norm; a text without words gets the mean of the others.

    Args:
        texts: n texts.
        encoder: tfidf or minilm.
        where: the file, for errors.

    Returns:
        Vectors, float32 [n, at most 384], and which texts had words, bool [n].
    """
    if not any(texts):
        what = "it has no text for any of the items"
        raise fault(where, what, "Take the file of the same category")
    written = np.array([bool(text) for text in texts])
    known = [text for text in texts if text]
    raw = _sentences(known) if encoder == "minilm" else _tfidf(known)
    norms = np.linalg.norm(raw, axis=1)
    written[written] = norms > 0
    vectors = np.empty((len(texts), raw.shape[1]), dtype=np.float32)
    vectors[written] = raw[norms > 0] / norms[norms > 0, None]
    vectors[~written] = vectors[written].mean(axis=0)
    return vectors, written


def _sentences(texts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer  # optional

    model = SentenceTransformer(MINILM, device="cpu")
    return np.asarray(model.encode(texts, batch_size=64, show_progress_bar=False), dtype=np.float64)


def _tfidf(texts: list[str]) -> np.ndarray:
    """Coordinates of the TF-IDF weights along the leading singular vectors."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(max_features=MAX_TERMS, sublinear_tf=True, stop_words="english")
    weights = vectorizer.fit_transform(texts)
    width = max(1, min(WIDTH, min(weights.shape) - 1))
    return TruncatedSVD(width, random_state=0).fit_transform(weights)
