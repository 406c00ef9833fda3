SELECT
    coalesce(skill_name, '(unattributed)') AS skill,
    coalesce(model, '(unknown)') AS model,
    count(*) AS calls,
    sum(usage_input_tokens) AS input_tokens,
    sum(usage_output_tokens) AS output_tokens,
    sum(cost_usd) AS cost_usd,
    count(*) - count(cost_usd) AS calls_without_cost
FROM spans
WHERE op_kind IN ('llm', 'embedding', 'rerank')
GROUP BY 1, 2
