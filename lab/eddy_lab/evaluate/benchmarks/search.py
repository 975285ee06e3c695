"""`search`: whether a query finds the item that its user interacts with next, prequentially.

A query consists of up to two of the item's categories: by name or, for genres of films, paraphrased, so that only a language model can
match them. Both are searched with `words and meaning` as sources, and with `words` alone; `no query` is the ranking without a query.
"""

from rich.console import Console

from eddy.contract.scenarios import load_scenarios
from eddy.errors import ConfigError
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.progress import bar, offset
from eddy_lab.evaluate.ranking import ranking_figures
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.tasks.next_item import NextItemTask
from eddy_lab.evaluate.tasks.search import SearchTask
from eddy_trainer.core.learner import LearnerPolicy

QUERY_CATEGORIES = 2

# Chosen before any measurement. None of them is a genre of MovieLens or part of one.
PARAPHRASES = {
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
    """Play the whole data set, or its first `limit` events. Raises ConfigError if items have no categories."""
    stream = whole_stream(options).cut(options.limit)
    queries = _queries(stream)
    scored = stream.scored()
    methods, releases = {}, {}
    text_models = {"words and meaning": options.text_model, "words": ""} if options.text_model else {"words": ""}
    with bar(console, "search", len(text_models) * len(stream)) as show:
        for number, (name, text_model) in enumerate(text_models.items()):
            scenarios = load_scenarios(options.scenarios)
            next_item, search = NextItemTask(stream, scenarios), SearchTask(queries)
            policy = PrequentialPolicy(learning=LearnerPolicy(options.seed, options.model))
            prequential = Prequential(stream, scenarios, policy, [next_item, search], options.graphs, text_model)
            prequential.play(offset(show, number * len(stream)))
            releases[name] = prequential.releases.as_dict()
            for kind, ranks in search.ranks.items():
                methods[f"{kind}: {name}"] = ranking_figures(ranks, scored)
            methods.setdefault("no query", ranking_figures(next_item.ranks, scored))
    return BenchmarkResult(
        dataset=stream.dataset,
        events=len(stream),
        methods=methods,
        details={"releases": releases},
    )


def _queries(stream: Stream) -> dict[str, list[str]]:
    """By kind, a query for each event."""
    categories = [stream.catalogue[item]["categories"][:QUERY_CATEGORIES] for item in stream.items]
    if not any(categories):
        raise ConfigError(f"{stream.dataset} has no categories of items, which `search` needs. Choose another data set")
    queries = {"categories": [" ".join(names) for names in categories]}
    if any(PARAPHRASES.keys() & names for names in categories):
        queries["other words"] = [" ".join(PARAPHRASES.get(name, name) for name in names) for names in categories]
    return queries
