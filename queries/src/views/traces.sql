SELECT
    trace_id,
    min(start_time) AS start_time,
    max(coalesce(end_time, start_time)) AS end_time,
    count(*) AS spans,
    count(*) FILTER (WHERE status_code = 'error') AS errors,
    min(name) FILTER (WHERE parent_span_id IS NULL) AS root_name,
    min(service_name) AS service_name,
    min(agent_name) AS agent_name,
    count(*) FILTER (WHERE op_kind IN ('llm', 'embedding', 'rerank')) AS model_calls,
    sum(cost_usd) FILTER (WHERE op_kind IN ('llm', 'embedding', 'rerank')) AS cost_usd
FROM spans_distinct
GROUP BY trace_id
