-- Spans are kept as they were accepted; what a retry has stored again is left out here.
-- Only spans whose ids occur twice are looked at closely, so that the common case costs one
-- grouping by three short columns. Joined by all columns that a copy shares with its original, so
-- that a filter on any of them also narrows the search for copies.
WITH repeated AS (
    SELECT trace_id, span_id, start_time, count(*) AS copies
    FROM spans
    GROUP BY trace_id, span_id, start_time
    HAVING count(*) > 1
),
numbered AS (
    SELECT
        s.trace_id, s.span_id, s.start_time, s._node, s._batch, s._row, r.copies,
        row_number() OVER (
            PARTITION BY s.trace_id, s.span_id, s.start_time, s.content_key
            ORDER BY s.received_at, s._node, s._batch, s._row
        ) AS copy
    FROM repeated AS r
    JOIN spans AS s
        ON s.trace_id = r.trace_id AND s.span_id = r.span_id AND s.start_time = r.start_time
    -- A span that lacks the hash of its content cannot be told from another: it stays.
    WHERE s.content_key IS NOT NULL
),
later AS (
    SELECT trace_id, span_id, start_time, _node, _batch, _row
    FROM numbered
    -- The second half always holds. It keeps a column of `repeated` in use: without one the join
    -- becomes a semi-join that holds all spans in memory instead of the repeated ids.
    WHERE copy > 1 AND copy <= copies
)
SELECT s.*
FROM later AS l
RIGHT ANTI JOIN spans AS s
    ON s.trace_id = l.trace_id AND s.span_id = l.span_id AND s.start_time = l.start_time
    AND s._node = l._node AND s._batch = l._batch AND s._row = l._row
