-- Every line of the three stores by its identity (server, file, offset), held against its copies.
--
-- Reads   master (value, dt, server), quarantine (value, server), topic (value, partition)
-- Gives   a row per server, file, bucket of the log and day: how many lines lie where, the first
--         ranges that are missing, and the first runs of lines that are not what they should be
-- :servers names the server of each partition; :drained is JSON, the rejects that were reprocessed;
-- :first and :last are days, unless :whole; :cut names the servers of which Kafka has dropped lines;
-- :pruned are days of which the topic may still hold lines

WITH
-- Each copy with the store that it is in: m, q, k (and below d, a drained reject of the ledger).
lines AS (
    SELECT 'm' AS store, value, server AS stored_under, dt FROM master
    UNION ALL
    SELECT 'q', value, server, NULL FROM quarantine
    UNION ALL
    SELECT 'k', cast(value AS STRING), get(split(:servers, ','), partition), NULL FROM topic
),

-- The stamp and the line behind it. Cut at bytes, not at characters: a line's bytes need not be
-- UTF-8.
stamped AS (
    SELECT *, substring_index(value, '\t', 3) AS head FROM lines
),

cut AS (
    SELECT
        store,
        stored_under,
        dt,
        head,
        substring(cast(value AS BINARY), octet_length(head) + 2) AS raw,
        CASE
            WHEN octet_length(value) > octet_length(head) AND head RLIKE r'$head'
                THEN split(head, '[:\t]')
        END AS h
    FROM stamped
),

-- What the stamp says, and the time that the line itself shows.
parts AS (
    SELECT
        store,
        stored_under,
        dt,
        raw,
        xxhash64(head) AS stamp,
        get(h, 1) AS server,
        get(h, 2) AS file,
        try_cast(get(h, 3) AS BIGINT) AS offset,
        get(h, 4) AS epoch,
        get(h, 5) AS date,
        CASE
            WHEN store <> 'k' AND get(h, 4) <> '-'
                THEN $time
        END AS time
    FROM cut
),

-- A copy as numbers: text is the line's hash, stamp that of its id and time. wrong: it lies where it
-- should not, or its stamp is not of the time that it shows.
records AS (
    SELECT
        store,
        coalesce(server, stored_under, '$no_stamp') AS server,
        offset,
        coalesce(file, '$no_stamp') AS file,
        coalesce(offset DIV $bucket_bytes, -1) AS bucket,
        octet_length(raw) AS size,
        xxhash64(raw) AS text,
        stamp,
        unix_date(try_cast(date AS DATE)) AS day,
        server <> stored_under
            OR (store = 'm' AND date <> dt)
            OR (store = 'm' AND epoch = '-')
            OR (time IS NOT NULL AND NOT coalesce(
                date = $printed_day AND try_cast(epoch AS BIGINT) = $printed_ms, false
            )) AS wrong
    FROM parts
    UNION ALL
    SELECT
        'd', server, explode(offsets) AS offset, file, offset DIV $bucket_bytes,
        NULL, NULL, NULL, NULL, false
    FROM (
        SELECT inline(from_json(:drained,
            'ARRAY<STRUCT<server: STRING, file: STRING, offsets: ARRAY<BIGINT>>>'))
    )
),

-- A line with the number of its copies in each store. The one shuffle: a line's copies and neighbours
-- then lie in one task, a long log in many. A drained reject may have another time in the quarantine
-- than in the master dataset.
ids AS (
    SELECT
        server,
        file,
        bucket,
        offset,
        max(size) AS size,
        count_if(store = 'm') AS m,
        count_if(store = 'q') AS q,
        count_if(store = 'k') AS k,
        count_if(store = 'd') AS d,
        max(wrong)
            OR max(text) <> min(text)
            OR max(stamp) FILTER (WHERE store <> 'q') <> min(stamp) FILTER (WHERE store <> 'q')
            OR max(stamp) FILTER (WHERE store = 'q') <> min(stamp) FILTER (WHERE store = 'q')
            AS altered,
        coalesce(
            max(day) FILTER (WHERE store = 'm'), max(day) FILTER (WHERE store = 'k'), max(day)
        ) AS day
    FROM (SELECT * FROM records DISTRIBUTE BY server, file, bucket)
    GROUP BY server, file, bucket, offset
),

-- What is wrong with a line, of the days asked for.
judged AS (
    SELECT
        *,
        CASE
            WHEN offset IS NULL THEN ''
            WHEN array_contains(split(:pruned, ','), cast(date_from_unix_date(day) AS STRING))
                THEN ''
            WHEN altered THEN '$altered'
            WHEN m > 0 AND q > 0 AND d = 0 THEN '$both'
            WHEN m = 0 AND (k > 0 OR d > 0) THEN '$no_master'
            WHEN d > 0 AND q = 0 THEN '$no_quarantine'
            WHEN m > 0 AND k = 0 AND NOT array_contains(split(:cut, ','), server) THEN '$no_kafka'
            ELSE ''
        END AS fault
    FROM ids
    WHERE
        :whole
        OR offset IS NULL
        OR (NOT (d > 0 AND m = 0)
            AND day BETWEEN unix_date(CAST(:first AS DATE)) AND unix_date(CAST(:last AS DATE)))
),

-- A line beside its neighbours in the log. step: 1 behind a LF, 2 behind a CR LF, else bytes are
-- missing before it. starts and ends: those of a run of lines with one fault.
positioned AS (
    SELECT
        *,
        row_number() OVER along AS position,
        offset - lag(offset + size) OVER along AS step,
        lag(offset + size) OVER along AS before,
        fault <> '' AND fault <> coalesce(lag(fault) OVER along, '') AS starts,
        fault <> '' AND fault <> coalesce(lead(fault) OVER along, '') AS ends
    FROM judged
    WINDOW along AS (PARTITION BY server, file, bucket ORDER BY offset)
),

-- The number of each gap, run and CR LF, so that the first few can be taken.
numbered AS (
    SELECT
        *,
        step NOT IN (1, 2) AS gap,
        count_if(starts) OVER so_far AS run,
        count_if(step NOT IN (1, 2)) OVER so_far AS gaps_so_far,
        count_if(step = 2) OVER so_far AS crlf
    FROM positioned
    WINDOW so_far AS (
        PARTITION BY server, file, bucket ORDER BY offset
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)

SELECT
    server,
    file,
    bucket,
    coalesce(cast(date_from_unix_date(day) AS STRING), '-') AS day,
    count(*) AS ids,
    count_if(m > 0) AS master,
    count_if(q > 0) AS quarantine,
    count_if(k > 0) AS kafka,
    count_if(m > 0 AND q > 0) AS drained,
    sum(greatest(m - 1, 0)) AS master_copies,
    sum(greatest(q - 1, 0)) AS quarantine_copies,
    sum(greatest(k - 1, 0)) AS kafka_copies,
    sum(m) AS m,
    sum(q) AS q,
    sum(k) AS k,
    min(offset) AS first,
    max(offset + size) AS stop,
    count_if(step = 2) AS crlf,
    collect_list(struct(before, offset)) FILTER (WHERE gap AND gaps_so_far <= $ranges) AS missing,
    collect_list(struct(fault, run, offset, position, starts, ends))
        FILTER (WHERE (starts OR ends) AND run <= $ranges) AS wrong,
    collect_list(offset) FILTER (WHERE step = 2 AND crlf <= $ranges) AS doubtful
FROM numbered
GROUP BY server, file, bucket, day
