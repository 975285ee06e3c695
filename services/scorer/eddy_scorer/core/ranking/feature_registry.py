"""All ranking features of `eddy_scorer.core.features`, discovered and checked against the contract on import."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules

from eddy.contract.model import FEATURES
from eddy_scorer.core import features
from eddy_scorer.core.features.feature import Feature


def discovered() -> Iterator[Feature]:
    """Every Feature, alone or in a tuple, in a module of `eddy_scorer.core.features`."""
    for module in iter_modules(features.__path__, f"{features.__name__}."):
        for value in vars(import_module(module.name)).values():
            yield from (each for each in _as_sequence(value) if isinstance(each, Feature))


def registry_of(declared: Iterable[Feature], contract: Sequence[str]) -> Mapping[str, Feature]:
    """Features by name. Raises ValueError unless each feature of the contract is declared once, and no other."""
    by_name: dict[str, Feature] = {}
    for each in declared:
        if by_name.setdefault(each.name, each) is not each:
            raise ValueError(f"ranking feature {each.name!r} is declared twice in eddy_scorer.core.features")
    missing, unlisted = set(contract) - set(by_name), set(by_name) - set(contract)
    if missing:
        raise ValueError(f"no file of eddy_scorer.core.features declares {sorted(missing)} of DECLARED_FEATURES")
    if unlisted:
        raise ValueError(f"DECLARED_FEATURES in eddy.contract.features does not list {sorted(unlisted)}")
    return by_name


def _as_sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, tuple) else (value,)


REGISTRY = registry_of(discovered(), FEATURES)
