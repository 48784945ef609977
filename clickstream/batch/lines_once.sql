-- `counted` of day_counts.sql: every line as if it were there once, and where one may be a copy.
--
-- Two lines with one id have one cell: there can be copies only where fewer cells are taken than
-- lines were read, and only those blocks stay. To look for copies by id everywhere is dear.

SELECT ds, g, k, count(*) AS n, bit_or(cell) AS cells
FROM (
    SELECT
        ds,
        visitor,
        traffic,
        category,
        concat(file, ':', at div $block) AS block,
        shiftleft(1L, cast(at div $cell % $cells_of_a_block AS int)) AS cell
    FROM keyed
)
UNPIVOT INCLUDE NULLS (k FOR g IN (visitor, traffic, category, block))
GROUP BY ds, g, k
HAVING g <> 'block' OR n <> coalesce(bit_count(cells), 0)
