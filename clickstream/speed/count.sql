-- The counts of one batch of parsed records. It is a query of each batch, since Spark has no windows
-- over one in a stream.
--
-- Reads   $parsed, the rows of parse.sql
-- Gives   a row per metric, server and minute (slot): sums, an array of {t: second, k: key, n,
--         lowest, highest}; the last two are offsets in a log, of $outcomes only
-- :highest is a JSON object, the highest offset before this batch by server:file; :ahead says how
-- many seconds a line may be ahead of its record; :healthy names statuses, between commas

WITH
-- The highest offset of the record's file before it: in this batch, and in those before it. "Before"
-- goes by the topic's order, so where a batch is cut changes nothing.
positioned AS (
    SELECT
        *,
        max(position) OVER (
            PARTITION BY server, file ORDER BY kafka_offset
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before,
        try_element_at(from_json(:highest, 'MAP<STRING, BIGINT>'), concat(server, ':', file))
            AS known
    FROM $parsed
),

-- What becomes of it.
judged AS (
    SELECT
        *,
        CASE
            WHEN position IS NULL THEN 'skipped'
            WHEN position <= greatest(before, known) THEN 'copies'
            WHEN second <= 0 OR second > least(received + :ahead, $last) THEN 'set_aside'
            ELSE 'counted'
        END AS outcome
    FROM positioned
),

-- A row for each metric that it is counted in (key is not NULL): its outcome with the class of its
-- status and its file, by the minute as printed; and, of a counted one, its client, its category and
-- a status that is not healthy, by the second.
metrics AS (
    SELECT
        server,
        if(position > coalesce(known, -1), position, NULL) AS new,
        inline(array(
            struct(
                '$outcomes' AS metric,
                if(outcome = 'counted', clock, 0L) AS second,
                concat(
                    outcome, ' ',
                    if(outcome = 'counted', CASE
                        WHEN left(status, 1) IN ('2', '3') THEN 'success'
                        WHEN left(status, 1) IN ('4', '5') THEN 'failure'
                        ELSE 'other'
                    END, ''), ' ',
                    coalesce(file, '')
                ) AS key
            ),
            struct('$ip' AS metric, second, if(outcome = 'counted', host, NULL) AS key),
            struct('$category' AS metric, second, if(outcome = 'counted', category, NULL) AS key),
            struct('$non_200' AS metric, second,
                if(outcome = 'counted' AND find_in_set(status, :healthy) = 0, status, NULL) AS key)
        ))
    FROM judged
),

-- How often each key is there in each second.
sums AS (
    SELECT
        metric,
        server,
        second,
        key,
        count(*) AS n,
        if(metric = '$outcomes', min(new), NULL) AS lowest,
        if(metric = '$outcomes', max(new), NULL) AS highest
    FROM metrics
    WHERE key IS NOT NULL
    GROUP BY metric, server, second, key
)

-- A minute together: it is the grain of a stored row.
SELECT
    metric,
    server,
    second DIV $minute_s * $minute_s AS slot,
    collect_list(struct(second AS t, key AS k, n, lowest, highest)) AS sums
FROM sums
GROUP BY metric, server, slot
