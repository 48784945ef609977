-- The lines behind a figure of a report, each once.
--
-- Reads   master (value: the bytes of a stamped line)
-- Gives   id, ms (epoch), visitor, text (the stamped line)
-- :day, :hour, :server and :category are those of the figure, :first and :last epoch seconds;
-- NULL: any

WITH
-- Text that stands for bytes.
texts AS (
    SELECT decode(CAST(value AS BINARY), 'ISO-8859-1') AS text FROM master
),

fields AS (
    SELECT text, $fields AS f FROM texts
),

-- What is no valid stamped line has one field.
named AS (
    SELECT
        text,
        split_part(text, '\t', 1) AS id,
        get(f, 0) AS day,
        get(f, 1) AS server,
        try_cast(get(f, 2) AS BIGINT) AS ms,
        try_cast(get(f, 3) AS INT) AS hour,
        get(f, 4) AS request,
        get(f, 5) AS visitor
    FROM fields
    WHERE get(f, 1) IS NOT NULL
),

-- A step of its own: within one query Spark would evaluate the expression at every mention.
segments AS (
    SELECT *, $segment AS segment FROM named
),

keyed AS (
    SELECT *, $category AS category FROM segments
)

SELECT id, min(ms) AS ms, min(visitor) AS visitor, min(text) AS text
FROM keyed
WHERE
    (:day IS NULL OR day = :day)
    AND (:server IS NULL OR server = :server)
    AND (:hour IS NULL OR hour = :hour)
    AND (:category IS NULL OR category = :category)
    AND (:first IS NULL OR ms >= 1000L * :first)
    AND (:last IS NULL OR ms < 1000L * (:last + 1))
GROUP BY id
