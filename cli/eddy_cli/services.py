"""The five services and their settings, in the order in which a stack starts them."""

from collections.abc import Mapping

from eddy.settings import Settings
from eddy_features.settings import FeaturesSettings
from eddy_gateway.settings import GatewaySettings
from eddy_joiner.settings import JoinerSettings
from eddy_scorer.settings import ScorerSettings
from eddy_trainer.settings import TrainerSettings

SERVICES: Mapping[str, type[Settings]] = {
    "features": FeaturesSettings,
    "scorer": ScorerSettings,
    "joiner": JoinerSettings,
    "trainer": TrainerSettings,
    "gateway": GatewaySettings,
}
