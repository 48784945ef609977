-- The counts of each printed day, in one scan of its stamped lines.
--
-- Reads   master (value: the bytes of a stamped line)
-- Gives   a row per day: date, and counts, a JSON array of {g, server, minute, status, category, n,
--         seen, digests, chunks}; a line that does not parse is of the day NULL
-- Its step `counted` is lines_once.sql or copies.sql: ds (day TAB server), g (what is counted), k
-- (which of it), n (how often), cells

WITH
-- Each line's fields. The text source hands on a line's bytes as they are; read as UTF-8 they would
-- merge categories.
fields AS (
    SELECT $fields AS f
    FROM (SELECT decode(cast(value AS binary), 'ISO-8859-1') AS text FROM master)
),

-- What the category is made of, where it is more than the first path segment.
requests AS (
    SELECT *, $segment AS segment
    FROM (SELECT *, get(f, 5) AS request FROM fields)
),

-- The keys that a line is counted by, and its id: file, offset (as text, and as a number).
keyed AS (
    SELECT
        if(get(f, 1) IS NULL, NULL, f[0]) AS ds,
        get(f, 1) AS visitor,
        get(f, 2) AS traffic,
        $category_key AS category,
        get(f, 3) AS file,
        get(f, 4) AS text,
        try_cast(get(f, 4) AS bigint) AS at
    FROM requests
),

-- How often each key is there.
counted AS (
    $counted
),

-- The rows of a day's views. A server's visitors are one value, of their digests: one who came to
-- two servers is found by them, in the driver (to collect here each visitor's servers took a quarter
-- of the whole CPU time). A block that may hold a line twice names its chunk of the log.
day_rows AS (
    SELECT
        ds,
        g,
        CASE g
            WHEN 'traffic' THEN k
            WHEN 'category' THEN $category
        END AS k,
        sum(n) AS n,
        base64(listagg(
            CASE WHEN g = 'visitor' THEN unhex(left(sha2(k, 256), $digest_digits)) END
        )) AS digests,
        collect_set(
            CASE WHEN g = 'block' THEN coalesce(
                split_part(k, ':', 1) || ':' || split_part(k, ':', 2) div $blocks_of_a_chunk, ''
            ) END
        ) AS chunks
    FROM counted
    GROUP BY ALL
)

-- A day as one value, quicker to collect than rows.
SELECT
    split_part(ds, '\t', 1) AS date,
    to_json(collect_list(struct(
        g,
        split_part(ds, '\t', 2) AS server,
        if(g = 'traffic', left(k, 5), NULL) AS minute,
        if(g = 'traffic', right(k, 3), NULL) AS status,
        if(g = 'category', k, NULL) AS category,
        n,
        greatest(n, 0) AS seen,
        digests,
        chunks
    ))) AS counts
FROM day_rows
GROUP BY date
