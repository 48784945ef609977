-- The lines of one day that the stream has read, as records of its topic: at or below the highest
-- offset of their file. Those above it are left to the stream, which would count them twice.
--
-- Reads   lines (see master_lines.sql)
-- Gives   value, timestamp, offset
-- :first and :last are the day's seconds (clients, categories and other statuses go by UTC), :day is
-- its name (traffic goes by the printed day); :highest is a JSON object, offsets by server:file

SELECT value, timestamp, offset
FROM lines
WHERE
    (second BETWEEN :first AND :last OR day = :day)
    AND offset <= try_element_at(
        from_json(:highest, 'MAP<STRING, BIGINT>'), concat(server, ':', file)
    )
