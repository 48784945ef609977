-- The most frequent paths, user agents and statuses of the requests behind an alert.
--
-- Reads   master (value: the bytes of a stamped line)
-- Gives   field (path, user_agent, status; '' counts every line), value, n: :top of each field
-- :first and :last are epoch seconds; :host is a client as an alert names it (NULL: any); with :bad
-- only statuses not among :healthy (between commas) are looked at

WITH
-- Text that stands for bytes.
lines AS (
    SELECT decode(CAST(value AS BINARY), 'ISO-8859-1') AS text FROM master
),

-- The seconds asked for.
chosen AS (
    SELECT split_part(text, '\t', 1) AS id, $fields AS f
    FROM lines
    WHERE try_cast(split_part(text, '\t', 2) AS BIGINT) BETWEEN 1000L * :first AND 1000L * :last + 999
),

-- Each line once, whatever copies there are.
once AS (
    SELECT DISTINCT
        id,
        get(f, 0) AS host,
        get(f, 1) AS status,
        get(f, 2) AS request,
        get(f, 3) AS user_agent
    FROM chosen
),

-- Those of the client, and the bad ones.
named AS (
    SELECT *, split_part(split_part(request, ' ', 2), '?', 1) AS target
    FROM once
    WHERE (:host IS NULL OR $named_host = :host) AND (NOT :bad OR find_in_set(status, :healthy) = 0)
),

-- Each field by itself, and all lines. A request stands for the path where there is none: a bad
-- request line is worth seeing.
counted AS (
    SELECT
        grouping_id(path, user_agent, status) AS g,
        count(*) AS n,
        coalesce(path, user_agent, status) AS value
    FROM (SELECT if(target = '', request, target) AS path, user_agent, status FROM named)
    GROUP BY GROUPING SETS ((path), (user_agent), (status), ())
),

ranked AS (
    SELECT *, row_number() OVER (PARTITION BY g ORDER BY n DESC, value) AS position FROM counted
)

SELECT
    CASE g WHEN 3 THEN 'path' WHEN 5 THEN 'user_agent' WHEN 6 THEN 'status' ELSE '' END AS field,
    value,
    n
FROM ranked
WHERE position <= :top
ORDER BY g, position
