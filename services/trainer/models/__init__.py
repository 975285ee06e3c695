"""The models that can be trained and served, by name: each an encoder and a ranker, exported through the same two graphs."""

from dataclasses import dataclass

from services.trainer.models.encoder import Encoder
from services.trainer.models.gru4rec import Gru4Rec
from services.trainer.models.hstu import Hstu
from services.trainer.models.linear import Linear
from services.trainer.models.listwise import Listwise
from services.trainer.models.logistic import Logistic
from services.trainer.models.mlp import Mlp
from services.trainer.models.ncf import Ncf
from services.trainer.models.pooling import Pooled
from services.trainer.models.ranker import Ranker
from services.trainer.models.transformer import Transformer
from services.trainer.models.youtube_dnn import YoutubeDnn

DEFAULT = "transformer"


@dataclass(frozen=True, slots=True)
class Model:
    """A kind of encoder and a kind of ranker."""

    encoder: type[Encoder]
    ranker: type[Ranker]


MODELS = {
    "linear": Model(Pooled, Linear),
    "logistic": Model(Pooled, Logistic),
    "mlp": Model(Pooled, Mlp),
    "ncf": Model(Ncf, Listwise),
    "youtube_dnn": Model(YoutubeDnn, Listwise),
    "gru4rec": Model(Gru4Rec, Listwise),
    "transformer": Model(Transformer, Listwise),
    "hstu": Model(Hstu, Listwise),
}
