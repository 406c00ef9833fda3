WITH repeated AS (
    SELECT trace_id, span_id, count(*) AS copies
    FROM spans
    GROUP BY trace_id, span_id
    HAVING count(*) > 1
),
by_content AS (
    SELECT
        s.trace_id, s.span_id, s.content_key,
        count(*) AS equal,
        max(r.copies) AS copies,
        min(s.received_at) AS first_received_at,
        max(s.received_at) AS last_received_at
    FROM repeated AS r
    JOIN spans AS s ON s.trace_id = r.trace_id AND s.span_id = r.span_id
    GROUP BY s.trace_id, s.span_id, s.content_key
)
SELECT
    trace_id,
    span_id,
    max(copies) AS copies,
    -- Spans that lack the hash of their content are taken to differ.
    sum(CASE WHEN content_key IS NULL THEN equal ELSE 1 END) AS contents,
    sum(CASE WHEN content_key IS NULL THEN 0 ELSE equal - 1 END) AS surplus,
    sum(CASE WHEN content_key IS NULL THEN equal ELSE 1 END) > 1 AS conflict,
    min(first_received_at) AS first_received_at,
    max(last_received_at) AS last_received_at
FROM by_content
GROUP BY trace_id, span_id
