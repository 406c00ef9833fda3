SELECT
    {period} AS period_start,
    source, skill, skill_version, skill_attribution, agent_name, model, provider, team_id, user_id,
    cost_center, project, environment, op_kind, cost_status,
    CAST(sign AS BIGINT) AS calls,
    CASE WHEN error_type IS NULL THEN 0 ELSE CAST(sign AS BIGINT) END AS errors,
    CASE WHEN usage_input_tokens IS NULL AND usage_output_tokens IS NULL
        THEN 0 ELSE CAST(sign AS BIGINT) END AS usage_calls,
    CASE WHEN cost_reported_usd IS NULL THEN 0 ELSE CAST(sign AS BIGINT) END AS reported_calls,
    CASE WHEN cost_computed_usd IS NULL THEN 0 ELSE CAST(sign AS BIGINT) END AS computed_calls,
    CASE WHEN cost_usd IS NULL THEN CAST(sign AS BIGINT) ELSE 0 END AS unpriced_calls,
    CASE WHEN cost_disagrees THEN CAST(sign AS BIGINT) ELSE 0 END AS disagreeing_calls,
    CAST(sign AS BIGINT) * coalesce(usage_input_tokens, 0) AS usage_input_tokens,
    CAST(sign AS BIGINT) * coalesce(usage_output_tokens, 0) AS usage_output_tokens,
    CAST(sign AS BIGINT) * coalesce(usage_cache_read_tokens, 0) AS usage_cache_read_tokens,
    CAST(sign AS BIGINT) * coalesce(usage_cache_write_tokens, 0) AS usage_cache_write_tokens,
    CAST(sign AS BIGINT) * coalesce(usage_cache_write_1h_tokens, 0) AS usage_cache_write_1h_tokens,
    CAST(sign AS BIGINT) * coalesce(usage_reasoning_tokens, 0) AS usage_reasoning_tokens,
    CAST(coalesce(CASE WHEN sign < 0 THEN -cost_reported_usd ELSE cost_reported_usd END, 0)
        AS DECIMAL(38, 12)) AS cost_reported_usd,
    CAST(coalesce(CASE WHEN sign < 0 THEN -cost_computed_usd ELSE cost_computed_usd END, 0)
        AS DECIMAL(38, 12)) AS cost_computed_usd,
    CAST(coalesce(CASE WHEN sign < 0 THEN -cost_usd ELSE cost_usd END, 0)
        AS DECIMAL(38, 12)) AS cost_usd,
    latency_histogram(duration_ms, sign) AS latency_histogram
FROM cost_ledger
