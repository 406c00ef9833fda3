-- Sources tell of the same calls: the best one that a day has counts, and no other.
WITH by_skill AS (
    SELECT
        period_start, skill,
        sum(calls) AS calls,
        sum(errors) AS errors,
        sum(usage_calls) AS usage_calls,
        sum(reported_calls) AS reported_calls,
        sum(computed_calls) AS computed_calls,
        sum(unpriced_calls) AS unpriced_calls,
        sum(usage_input_tokens) AS input_tokens,
        sum(usage_output_tokens) AS output_tokens,
        sum(usage_cache_read_tokens) AS cache_read_tokens,
        sum(usage_cache_write_tokens) AS cache_write_tokens,
        sum(usage_reasoning_tokens) AS reasoning_tokens,
        sum(cost_reported_usd) AS cost_reported_usd,
        sum(cost_computed_usd) AS cost_computed_usd,
        sum(cost_usd) AS cost_usd,
        latency_merge(latency_histogram) AS latency
    FROM cost_preferred
    JOIN {sums} ON preferred_day = (CAST(period_start AS BIGINT) + 86400000000000000) / 86400000000 AND preferred_rank = source_rank
    GROUP BY period_start, skill
    HAVING sum(calls) <> 0 OR sum(cost_usd) <> 0
)
SELECT
    period_start AS {period},
    coalesce(skill, '(unattributed)') AS skill,
    calls,
    errors,
    CASE WHEN usage_calls <> 0 THEN input_tokens END AS input_tokens,
    CASE WHEN usage_calls <> 0 THEN output_tokens END AS output_tokens,
    CASE WHEN usage_calls <> 0 THEN cache_read_tokens END AS cache_read_tokens,
    CASE WHEN usage_calls <> 0 THEN cache_write_tokens END AS cache_write_tokens,
    CASE WHEN usage_calls <> 0 THEN reasoning_tokens END AS reasoning_tokens,
    CASE WHEN reported_calls <> 0 THEN cost_reported_usd END AS cost_reported_usd,
    CASE WHEN computed_calls <> 0 THEN cost_computed_usd END AS cost_computed_usd,
    CASE WHEN calls <> unpriced_calls THEN cost_usd END AS cost_usd,
    unpriced_calls,
    CAST(sum(CASE WHEN skill IS NULL THEN calls ELSE 0 END) OVER (PARTITION BY period_start) AS DOUBLE)
        / nullif(sum(calls) OVER (PARTITION BY period_start), 0) AS unattributed_share,
    latency_quantile(latency, 0.5) AS latency_p50_ms,
    latency_quantile(latency, 0.95) AS latency_p95_ms,
    latency_quantile(latency, 0.99) AS latency_p99_ms
FROM by_skill
