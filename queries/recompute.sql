-- Cost per skill from the bookings themselves, without any sum that was kept: what a rollup must
-- agree with to the last digit. It runs here (`weir query -`) and, unchanged, in any engine that
-- reads the lake's files.
SELECT
    coalesce(skill, '(unattributed)') AS skill,
    sum(sign) AS calls,
    sum(CASE WHEN error_type IS NULL THEN 0 ELSE sign END) AS errors,
    sum(sign * coalesce(usage_input_tokens, 0)) AS input_tokens,
    sum(sign * coalesce(usage_output_tokens, 0)) AS output_tokens,
    sum(CASE WHEN sign < 0 THEN -cost_reported_usd ELSE cost_reported_usd END) AS cost_reported_usd,
    sum(CASE WHEN sign < 0 THEN -cost_computed_usd ELSE cost_computed_usd END) AS cost_computed_usd,
    sum(CASE WHEN sign < 0 THEN -cost_usd ELSE cost_usd END) AS cost_usd,
    sum(CASE WHEN cost_usd IS NULL THEN sign ELSE 0 END) AS unpriced_calls
FROM cost_ledger
WHERE source = 'span'
GROUP BY 1
ORDER BY 1
