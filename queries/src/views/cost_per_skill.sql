SELECT
    coalesce(skill, '(unattributed)') AS skill,
    coalesce(model, '(unknown)') AS model,
    cast(sum(sign) AS bigint) AS calls,
    sum(sign * usage_input_tokens) AS input_tokens,
    sum(sign * usage_output_tokens) AS output_tokens,
    CASE
        WHEN sum(CASE WHEN cost_usd IS NULL THEN 0 ELSE sign END) > 0 THEN sum(sign * cost_usd)
    END AS cost_usd,
    cast(sum(CASE WHEN cost_usd IS NULL THEN sign ELSE 0 END) AS bigint) AS calls_without_cost
FROM cost_ledger
GROUP BY 1, 2
HAVING sum(sign) <> 0
