"""All candidate sources of `eddy_scorer.core.sources`, discovered and checked against the contract on import."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules

from eddy.contract.sources import CANDIDATE_SOURCES, CandidateSource
from eddy_scorer.core import sources
from eddy_scorer.core.sources.source import BaseSource, MergedSource


def discovered() -> Iterator[type[BaseSource]]:
    """Every source class in a module of `eddy_scorer.core.sources`."""
    for module in iter_modules(sources.__path__, f"{sources.__name__}."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, BaseSource) and hasattr(value, "name"):
                yield value


def registry_of(
    defined: Iterable[type[BaseSource]], contract: Sequence[CandidateSource]
) -> Mapping[str, type[BaseSource]]:
    """Source classes by name. Raises ValueError unless each source of the contract is defined once, and no other."""
    by_name: dict[str, type[BaseSource]] = {}
    for each in defined:
        if isabstract(each) or by_name.setdefault(each.name, each) is not each:
            raise ValueError(f"candidate source {each.name!r}: define exactly one class, with all abstract methods")
    listed = {source.name: source for source in contract}
    if missing := set(listed) - set(by_name):
        raise ValueError(f"no file of eddy_scorer.core.sources defines {sorted(missing)} of CANDIDATE_SOURCES")
    if unlisted := set(by_name) - set(listed):
        raise ValueError(f"CANDIDATE_SOURCES in eddy.contract.sources does not list {sorted(unlisted)}")
    for name, source in listed.items():
        if source.merged != issubclass(by_name[name], MergedSource):
            raise ValueError(
                f"candidate source {name!r} has merged={source.merged} in eddy.contract.sources, but its class "
                f"{'is not' if source.merged else 'is'} a MergedSource"
            )
    return by_name


REGISTRY = registry_of(discovered(), CANDIDATE_SOURCES)


def merged_sources() -> list[MergedSource]:
    """An instance of each source that is interleaved, in the order of the contract."""
    classes = [REGISTRY[source.name] for source in CANDIDATE_SOURCES if source.merged]
    return [each() for each in classes if issubclass(each, MergedSource)]
