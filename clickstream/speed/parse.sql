-- The fields of each record. It is the stream's own query, which Spark analyses once.
--
-- Reads   $records (value, offset, timestamp), as Kafka has them
-- Gives   a row per record: kafka_offset, received, server, file, position (its offset in the log),
--         second (epoch UTC), clock (the minute as printed, taken as if it were UTC), host, status,
--         category; file and position are NULL where it is no valid stamped line
--
-- ANSI mode kills the query at a bad cast or index: only get, try_cast, split with a limit.

WITH
-- Text that stands for bytes. A record with a line feed is no line: fields are split at line feeds.
texts AS (
    SELECT
        offset AS kafka_offset,
        unix_seconds(timestamp) AS received,
        if(contains(value, X'0A'), NULL, decode(value, 'ISO-8859-1')) AS text
    FROM $records
),

-- server, file, offset, ms, day, host, hour, minute, status, and what the category is made of.
fields AS (
    SELECT *, $fields AS f FROM texts
),

-- The same with their types. A longer server or offset is none: a row's key has no room for it, nor
-- a number.
typed AS (
    SELECT
        *,
        if(length(get(f, 0)) <= $server_chars AND length(get(f, 2)) <= $offset_digits,
            try_cast(get(f, 2) AS BIGINT), NULL) AS position,
        if(string(try_cast(get(f, 3) AS BIGINT)) = get(f, 3), try_cast(get(f, 3) AS BIGINT), NULL)
            DIV 1000 AS second,
        86400L * unix_date(try_cast(get(f, 4) AS DATE)) + 3600 * try_cast(get(f, 6) AS INT)
            + 60 * try_cast(get(f, 7) AS INT) AS clock,
        get(f, 5) AS host,
        get(f, 8) AS status,
        get(f, 9) AS request
    FROM fields
),

-- Whether it is a valid line of the years that a reader has a name for.
judged AS (
    SELECT
        *,
        $segment AS segment,
        coalesce(position IS NOT NULL AND second IS NOT NULL AND clock BETWEEN $first AND $last,
            false) AS valid
    FROM typed
)

-- What is not valid is counted for the server that its id names, if it has one.
SELECT
    kafka_offset,
    received,
    second,
    host,
    status,
    $category AS category,
    clock,
    coalesce(if(valid, get(f, 0), nullif(regexp_extract(text, r'$id', 1), '')), '$unknown_server')
        AS server,
    if(valid, get(f, 1), NULL) AS file,
    if(valid, position, NULL) AS position
FROM judged
