"""A query that Spark plans once and runs over every batch.

Spark analyses, optimizes and plans anew whatever is asked of a batch, which is more CPU than 10,000
rows take. It has no prepared queries; but of a plan without joins only the leaf depends on the
batch, and a plan's nodes can be copied over another child.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Prepared:
    """`query` makes one row of one text of a batch, by a chain of operators from one leaf.

    It is called once, for one partition; all batches have the same columns. Adaptive
    execution, which plans while it runs, must be off.
    """

    def __init__(self, query: Callable[["DataFrame"], "DataFrame"]) -> None:
        self._query = query
        self._leaf: Callable[[Any], Any]
        self._above: list[tuple[Any, Any]] = []

    def texts(self, batch: "DataFrame") -> list[str]:
        """What the query gives of each partition of a batch, as if that were all of it.

        `batch` is as `foreachBatch` has it: a bare RDD.
        """
        java = cast(Any, batch)._jdf
        if not self._above:
            self._plan(cast(Any, self._query(batch.coalesce(1)))._jdf)
        plan = self._leaf(java.logicalPlan().rdd())
        for node, children in self._above:
            plan = node.withNewChildren(children.updated(0, plan))
        return [str(row.getUTF8String(0).toString()) for row in plan.executeCollect()]

    def _plan(self, query: Any) -> None:
        """Keep the nodes of its plan, from the leaf's parent upwards, each with its children.

        All of it is planned for one partition, so nothing is exchanged; what made it one goes.
        """
        node = query.queryExecution().executedPlan()
        while (children := node.children()).size():
            if children.size() > 1:
                raise ValueError("only a chain of operators can be prepared")
            if node.nodeName() != "Coalesce":
                self._above.insert(0, (node, children))
            node = children.head()
        output, name, stream = node.output(), node.name(), node.stream()
        parts, order = node.outputPartitioning(), node.outputOrdering()
        self._leaf = lambda rdd: node.copy(output, rdd, name, parts, order, stream)
