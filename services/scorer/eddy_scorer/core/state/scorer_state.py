"""The scorer's state of items and users, and the state derived from it."""

from collections.abc import Callable, Mapping

from eddy.contract.scenarios import Scenario, Scenarios
from eddy.text import TextModel
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.columns import ItemColumns
from eddy_scorer.core.state.counts import ItemCountTable
from eddy_scorer.core.state.covisits import CoVisits, Matrices
from eddy_scorer.core.state.embedding_table import EmbeddingTable
from eddy_scorer.core.state.exposure import Exposure
from eddy_scorer.core.state.item_updater import ItemUpdater
from eddy_scorer.core.state.nearest import NearestItems
from eddy_scorer.core.state.orders import Orders, ScenarioOrders
from eddy_scorer.core.state.rebuilds import Rebuilds
from eddy_scorer.core.state.row_reclaim import RowReclaim
from eddy_scorer.core.state.text_embeddings import TextEmbeddings
from eddy_scorer.core.state.users import UserStore


class ScorerState:
    """The whole state. `users` and `items` apply records; `rebuilds` updates the derived state.

    For `approximate_from` see Rebuilds; `monotonic` is a clock in seconds.
    """

    def __init__(
        self,
        scenarios: Scenarios,
        monotonic: Callable[[], float],
        approximate_from: int = 0,
        texts: TextModel | None = None,
    ) -> None:
        self.scenarios = scenarios
        self.catalogue = Catalogue(scenarios)
        self.counts = ItemCountTable(scenarios)
        self.table = EmbeddingTable()
        self.text_embeddings = TextEmbeddings(texts)
        self.users = UserStore(self.catalogue, scenarios)
        self.exposure = Exposure()
        half_lives = {name: scenario.counts.covisit_half_life_sec for name, scenario in scenarios.scenarios.items()}
        self._covisits = CoVisits(half_lives)
        self._columns = ItemColumns(self.catalogue, self.counts, self._covisits, self.table, self.text_embeddings)
        self._orders = ScenarioOrders(self._columns, scenarios.ids.values())
        self.items = ItemUpdater(self._columns, self._orders)
        self.rebuilds = Rebuilds(self._columns, self._orders, monotonic, approximate_from)
        self.row_reclaim = RowReclaim(self._columns, self.users, self.exposure, self._orders, self.rebuilds, monotonic)
        scenarios.subscribe(self._add_scenario)

    def _add_scenario(self, name: str, scenario: Scenario) -> None:
        """Add a scenario. Catalogue, counts and users have added it already, because they subscribed to the scenarios earlier."""
        self._covisits.add_scenario(name, scenario.counts.covisit_half_life_sec)
        if scenario.id not in self.orders:
            self.items.add_scenario(scenario.id)
            self._orders.build({scenario.id}, self._columns.ensure())

    @property
    def orders(self) -> Mapping[int, Orders]:
        """The newest orders of each scenario id."""
        return self._orders.by_scenario

    @property
    def matrices(self) -> Matrices:
        """The newest co-visitation matrices."""
        return self.rebuilds.matrices

    @property
    def nearest(self) -> NearestItems:
        """The approximate index of item embeddings; not `ready` when all embeddings are searched."""
        return self.rebuilds.nearest

    def refresh(self) -> None:
        """Run all due rebuilds in this thread, and reclaim rows."""
        for build in self.rebuilds.due():
            build()
        self.row_reclaim.step()

    def rebuild(self) -> None:
        """Rebuild all derived state in this thread, due or not."""
        for build in self.rebuilds.all():
            build()

    def exposures(self) -> dict[str, tuple[float, float]]:
        """Coverage and Gini coefficient of each scenario, over its eligible items. May run in another thread."""
        orders = self.orders
        return {
            name: self.exposure.coverage_and_gini(scenario, orders[scenario].eligible)
            for name, scenario in list(self.scenarios.ids.items())
            if scenario in orders
        }

    def top_exposures(self) -> dict[str, tuple[str, float]]:
        """By scenario with slates, the item that most recent slates contain, and the share of them that do."""
        tops = {name: self.exposure.top(scenario) for name, scenario in list(self.scenarios.ids.items())}
        return {name: (self.catalogue.ids[row], share) for name, (row, share) in tops.items() if row}

    def popularity_of(self, scenario: int, rows: I64) -> F32:
        """Slow counts of rows in a scenario, each as of its own time; precise enough to order a few rows."""
        self.counts.ensure(len(self.catalogue))
        return self.counts.interactions(scenario, rows)
