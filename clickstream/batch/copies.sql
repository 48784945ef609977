-- `counted` of day_counts.sql: what copies have counted too often, as counts below 0.
--
-- Only the chunks of logs in :chunks (a JSON array) are looked at. A copy's fields are those of its
-- line, so they are all keys beside the id. Who came is the same with copies and without.

SELECT ds, g, k, -sum(extra) AS n, NULL AS cells
FROM (
    SELECT ds, traffic, category, count(*) - 1 AS extra
    FROM keyed
    WHERE coalesce(concat(file, ':', at div $chunk), '') IN (
        SELECT explode(from_json(:chunks, 'array<string>'))
    )
    GROUP BY ds, file, text, visitor, traffic, category
    HAVING count(*) > 1
)
UNPIVOT (k FOR g IN (traffic, category))
GROUP BY ds, g, k
