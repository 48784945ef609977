"""A query that Spark plans once and runs over every batch.

Spark analyses, optimizes and plans again every query of a batch, which is more CPU than 10,000
rows take. It has no prepared queries; but of a plan without joins only the leaf depends on the
batch, and a plan's nodes can be copied over another child.

Those nodes are no interface that Spark promises: whoever calls this must be ready for any failure.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LINE_FEED = 10


class Prepared:
    """`query` makes one row of one text of a batch, by a chain of operators from one leaf.

    It is called once, for one partition; all batches have the same columns. Adaptive execution,
    which plans while it runs, must be off. What it gives comes by way of `file`: through py4j's
    socket all but the shortest text waits 40 ms for an acknowledgement.
    """

    def __init__(self, query: Callable[["DataFrame"], "DataFrame"], file: Path) -> None:
        self._query = query
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        self._leaf: Callable[[Any], Any]
        self._stream: Callable[[str], Any]
        self._above: list[Any] = []

    def texts(self, batch: "DataFrame") -> list[str]:
        """The query's text of each partition of a batch, as if that were all of it.

        `batch` is as `foreachBatch` has it: a bare RDD.
        """
        java = cast(Any, batch)._jdf
        if not self._above:
            self._plan(cast(Any, self._query(batch.coalesce(1)))._jdf)
            self._stream = cast(Any, batch.sparkSession)._jvm.java.io.FileOutputStream
        plan = self._leaf(java.logicalPlan().rdd())
        for node in self._above:
            plan = node.withNewChildInternal(plan)
        self._write(plan.executeCollect())
        return self._file.read_bytes().decode().split("\n")[:-1]

    def _write(self, rows: Any) -> None:
        """Have the JVM write each row's text, which holds no line feed, and one after it."""
        out = self._stream(str(self._file))
        for row in rows:
            row.getUTF8String(0).writeTo(out)
            out.write(LINE_FEED)
        out.close()

    def _plan(self, query: Any) -> None:
        """Keep the nodes of its plan, from the leaf's parent upwards.

        All of it is planned for one partition, so nothing is exchanged; what made it one goes.
        """
        node = query.queryExecution().executedPlan()
        while (children := node.children()).size():
            if children.size() > 1:
                raise ValueError("only a chain of operators can be prepared")
            if node.nodeName() != "Coalesce":
                self._above.insert(0, node)
            node = children.head()
        output, name, stream = node.output(), node.name(), node.stream()
        parts, order = node.outputPartitioning(), node.outputOrdering()
        self._leaf = lambda rdd: node.copy(output, rdd, name, parts, order, stream)
