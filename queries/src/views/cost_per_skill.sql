-- Sources tell of the same calls: the best one that a day has counts, and no other.
SELECT
    coalesce(skill, '(unattributed)') AS skill,
    coalesce(model, '(unknown)') AS model,
    sum(calls) AS calls,
    CASE WHEN sum(usage_calls) <> 0 THEN sum(usage_input_tokens) END AS input_tokens,
    CASE WHEN sum(usage_calls) <> 0 THEN sum(usage_output_tokens) END AS output_tokens,
    CASE WHEN sum(calls) <> sum(unpriced_calls) THEN sum(cost_usd) END AS cost_usd,
    sum(unpriced_calls) AS calls_without_cost
FROM cost_preferred
JOIN cost_sums_daily ON preferred_day = (CAST(period_start AS BIGINT) + 86400000000000000) / 86400000000 AND preferred_rank = source_rank
GROUP BY 1, 2
HAVING sum(calls) <> 0
