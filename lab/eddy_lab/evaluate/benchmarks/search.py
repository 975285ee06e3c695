"""`search`: whether a query finds the item that its user takes next, as a stream: ranked, then learned.

A query says up to two of the item's categories: as they are called, or, for genres of films, in other words, which only a language model
can lead to it. Both are asked with `words and meaning` as sources, and with `words` alone; `no query` is the list without asking.
"""

import time
from functools import partial

from rich.console import Console

from eddy.contract.scenarios import load_scenarios
from eddy.errors import ConfigError
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.progress import bar, further
from eddy_lab.evaluate.ranking import ranking_figures
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.tasks.next_item import NextItemTask
from eddy_lab.evaluate.tasks.search import SearchTask
from eddy_trainer.core.learner import LearnerPolicy

SAID = 2

# Chosen once, before anything was measured; none of them is a genre of MovieLens or a part of one.
OTHERWISE = {
    "Action": "fights, explosions and car chases",
    "Adventure": "heroes on a dangerous journey",
    "Animation": "cartoons",
    "Children's": "movies for kids",
    "Comedy": "something funny to laugh about",
    "Crime": "gangsters, police and murder",
    "Documentary": "a true report about real life",
    "Drama": "serious stories about people's lives",
    "Fantasy": "wizards and magic kingdoms",
    "Film-Noir": "dark old detective movies",
    "Horror": "scary monsters and ghosts",
    "Musical": "singing and dancing",
    "Mystery": "a riddle to be solved by a detective",
    "Romance": "love stories",
    "Sci-Fi": "space ships, robots and the future",
    "Thriller": "suspense and danger",
    "War": "soldiers in battle",
    "Western": "cowboys and sheriffs",
}


def run(options: Options, console: Console) -> BenchmarkResult:
    """All of the data set, or the first `limit` events of it. Raises ConfigError where items have no categories."""
    stream = whole_stream(options).cut(options.limit)
    said = [stream.catalogue[item]["categories"][:SAID] for item in stream.items]
    if not any(said):
        raise ConfigError(f"search needs items with categories, which {stream.dataset} does not have")
    queries = {"categories": [" ".join(each) for each in said]}
    if any(OTHERWISE.keys() & each for each in said):
        queries["other words"] = [" ".join(OTHERWISE.get(one, one) for one in each) for each in said]
    started = time.monotonic()
    counted = stream.scored()
    methods, releases = {}, {}
    variants = {"words and meaning": options.text_model, "words": ""} if options.text_model else {"words": ""}
    with bar(console, "search", len(variants) * len(stream)) as show:
        for number, (name, text_model) in enumerate(variants.items()):
            scenarios = load_scenarios(options.scenarios)
            next_items, search = NextItemTask(stream, scenarios), SearchTask(queries)
            policy = PrequentialPolicy(learning=LearnerPolicy(options.seed, options.model))
            played = Prequential(stream, scenarios, policy, [next_items, search], options.graphs, text_model)
            played.play(partial(further, show, number * len(stream)))
            releases[name] = played.releases.as_dict()
            for kind, ranks in search.ranks.items():
                methods[f"{kind}: {name}"] = ranking_figures(ranks, counted)
            methods.setdefault("no query", ranking_figures(next_items.ranks, counted))
    return BenchmarkResult(
        protocol="search",
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods=methods,
        also={"releases": releases},
    )
