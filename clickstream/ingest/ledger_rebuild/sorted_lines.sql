-- Every stamped line of both stores, in the order of its log.
--
-- Reads   master and quarantine (value: the bytes of a stamped line)
-- Gives   store, server, file, offset, day (`-`: none), raw (the bytes as they were logged)

WITH
lines AS (
    SELECT '$master' AS store, value, substring_index(value, '\t', 3) AS head FROM master
    UNION ALL
    SELECT '$quarantine', value, substring_index(value, '\t', 3) FROM quarantine
),

-- Cut at bytes, not at characters: a line's bytes need not be UTF-8.
cut AS (
    SELECT
        store,
        $stamp AS stamp,
        substring(cast(value AS BINARY), octet_length(head) + 2) AS raw
    FROM lines
    WHERE octet_length(value) > octet_length(head) AND head RLIKE r'$head'
)

SELECT
    store,
    stamp[1] AS server,
    stamp[2] AS file,
    cast(stamp[3] AS BIGINT) AS offset,
    stamp[5] AS day,
    raw
FROM cut
ORDER BY server, file, offset, store
