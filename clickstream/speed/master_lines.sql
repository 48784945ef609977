-- The view `lines` of `speed rebuild`: the lines of the closed files, with what their stamps say.
--
-- Reads   master (value: the bytes of a stamped line; timestamp: when its file was written)
-- Gives   value, timestamp, server, file, offset, day (as printed), second (epoch UTC)
--
-- value, offset and timestamp are what a record of the topic has. Here they are the offset in the
-- log, by which only an equal id counts as a copy, and when the file was closed.

SELECT
    value,
    timestamp,
    get(stamp, 1) AS server,
    get(stamp, 2) AS file,
    get(stamp, 5) AS day,
    try_cast(get(stamp, 3) AS BIGINT) AS offset,
    try_cast(get(stamp, 4) AS BIGINT) DIV 1000 AS second
FROM (SELECT *, $stamp AS stamp FROM master)
