"""The kinds of model by name: each is an encoder and a ranker, exported as the same two graphs."""

from dataclasses import dataclass

from eddy_trainer.core.models.encoder import Encoder
from eddy_trainer.core.models.gru4rec import Gru4Rec
from eddy_trainer.core.models.hstu import Hstu
from eddy_trainer.core.models.linear import Linear
from eddy_trainer.core.models.listwise import Listwise
from eddy_trainer.core.models.logistic import Logistic
from eddy_trainer.core.models.mlp import Mlp
from eddy_trainer.core.models.ncf import Ncf
from eddy_trainer.core.models.pooling import Pooled
from eddy_trainer.core.models.ranker import Ranker
from eddy_trainer.core.models.transformer import Transformer
from eddy_trainer.core.models.youtube_dnn import YoutubeDnn

DEFAULT_MODEL = "transformer"


@dataclass(frozen=True, slots=True)
class ModelKind:
    """An encoder class and a ranker class."""

    encoder: type[Encoder]
    ranker: type[Ranker]


MODELS = {
    "linear": ModelKind(Pooled, Linear),
    "logistic": ModelKind(Pooled, Logistic),
    "mlp": ModelKind(Pooled, Mlp),
    "ncf": ModelKind(Ncf, Listwise),
    "youtube_dnn": ModelKind(YoutubeDnn, Listwise),
    "gru4rec": ModelKind(Gru4Rec, Listwise),
    "transformer": ModelKind(Transformer, Listwise),
    "hstu": ModelKind(Hstu, Listwise),
}
