# Attacks of tenant `acme` on the rows of `rival`: one statement a line. Each is run in two worlds that
# differ in the rows of others only, and must give the same answer, the same error and the same plan.
# 
# Asking for another tenant by name.
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'rival'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'RIVAL'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = ' rival'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'rival '
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'riv' || 'al'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'r%'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'rival/../acme'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'acme/../rival'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'rival' || chr(0)
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = '%'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = ''
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'acme'' OR ''1''=''1'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = U&'\0072ival'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = E'\x72ival'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = concat('ri','val')
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = reverse('lavir')
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = lower('RIVAL')
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = replace('r_val','_','i')
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = X'726976616c'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = decode('726976616c','hex')::varchar
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = chr(114) || 'ival'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = translate('abcde','abcde','rival')
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = initcap('rival')
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'ｒival'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'rіval'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'rival​'
SELECT count(*) AS n, min(name), max(service_name) FROM spans WHERE tenant_id = 'ŕival'
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id <> 'acme' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id != 'acme' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id IS DISTINCT FROM 'acme' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id NOT IN ('acme') ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id IN ('rival', 'acme') ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id LIKE 'r%' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id NOT LIKE 'a%' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id ILIKE 'RIV%' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id SIMILAR TO 'riv.*' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id ~ '^r' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id !~ '^a' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id ~* 'RIVAL' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id > 'acme' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id < 'acme' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id >= 'b' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id BETWEEN 'b' AND 'z' ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id IS NULL ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id IS NOT NULL ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id = ANY (SELECT DISTINCT tenant_id FROM spans) ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id IN (SELECT tenant_id FROM proxy_audit) ORDER BY 1
SELECT span_id, name, tenant_id FROM spans WHERE tenant_id NOT IN (SELECT tenant_id FROM ocsf_events WHERE tenant_id = 'acme') ORDER BY 1
# Predicates that fail on rows of others: division, casts, overflow, patterns, functions out of range.
SELECT count(*) AS n FROM spans WHERE 100 / duration_nanos >= 0
SELECT count(*) AS n FROM spans WHERE 1 / duration_nanos < 5
SELECT count(*) AS n FROM spans WHERE duration_nanos % duration_nanos = 0
SELECT count(*) AS n FROM spans WHERE 1 / (duration_nanos - 0) IS NOT NULL
SELECT count(*) AS n FROM spans WHERE cast(name AS bigint) >= 0
SELECT count(*) AS n FROM spans WHERE cast(service_name AS date) IS NOT NULL
SELECT count(*) AS n FROM spans WHERE CASE WHEN service_name LIKE 'canary%' THEN 1/0 ELSE 1 END = 1
SELECT count(*) AS n FROM spans WHERE CASE WHEN tenant_id = 'rival' THEN cast('x' AS int) ELSE 1 END = 1
SELECT count(*) AS n FROM spans WHERE 1 / (CASE WHEN tenant_id = 'rival' THEN 0 ELSE 1 END) = 1
SELECT count(*) AS n FROM spans WHERE 1 / (CASE WHEN tenant_id <> 'acme' THEN 0 ELSE 1 END) = 1
SELECT count(*) AS n FROM spans WHERE 1 / (CASE WHEN service_name ~ 'canary' THEN 0 ELSE 1 END) = 1
SELECT count(*) AS n FROM spans WHERE 1 / nullif(duration_nanos, 0) IS NOT NULL OR true
SELECT count(*) AS n FROM spans WHERE cast(9223372036854775807 AS bigint) + duration_nanos IS NULL
SELECT count(*) AS n FROM spans WHERE (CASE WHEN usage_input_tokens = 7777777777 THEN 9223372036854775807 ELSE 0 END) + 1 > 0
SELECT count(*) AS n FROM spans WHERE cast(usage_input_tokens AS int) IS NULL OR true
SELECT count(*) AS n FROM spans WHERE cast(usage_input_tokens AS smallint) IS NULL OR cast(usage_input_tokens AS smallint) >= 0
SELECT count(*) AS n FROM spans WHERE cast(cost_usd AS decimal(5,2)) < 100
SELECT count(*) AS n FROM spans WHERE cost_usd * cost_usd * cost_usd > 0 OR true
SELECT count(*) AS n FROM spans WHERE sqrt(duration_nanos) > 1
SELECT count(*) AS n FROM spans WHERE ln(duration_nanos) > 0
SELECT count(*) AS n FROM spans WHERE log(duration_nanos) > 0
SELECT count(*) AS n FROM spans WHERE power(0, -duration_nanos) IS NOT NULL
SELECT count(*) AS n FROM spans WHERE factorial(duration_nanos % 21) >= 0
SELECT count(*) AS n FROM spans WHERE to_timestamp(service_name) IS NULL
SELECT count(*) AS n FROM spans WHERE to_date(name) IS NULL
SELECT count(*) AS n FROM spans WHERE to_timestamp_millis(duration_nanos * 1000000000000) IS NOT NULL
SELECT count(*) AS n FROM spans WHERE date_trunc(service_name, start_time) IS NOT NULL
SELECT count(*) AS n FROM spans WHERE extract(year FROM start_time) >= 2026
SELECT count(*) AS n FROM spans WHERE regexp_like(name, service_name)
SELECT count(*) AS n FROM spans WHERE regexp_like('own', name)
SELECT count(*) AS n FROM spans WHERE name SIMILAR TO service_name
SELECT count(*) AS n FROM spans WHERE name ~ service_name
SELECT count(*) AS n FROM spans WHERE decode(name, 'hex') IS NOT NULL
SELECT count(*) AS n FROM spans WHERE decode(service_name, 'base64') IS NOT NULL
SELECT count(*) AS n FROM spans WHERE chr(duration_nanos) <> ''
SELECT count(*) AS n FROM spans WHERE substr(name, -duration_nanos) <> ''
SELECT count(*) AS n FROM spans WHERE left(name, duration_nanos - 90) <> ''
SELECT count(*) AS n FROM spans WHERE split_part(name, '-', duration_nanos) = ''
SELECT count(*) AS n FROM spans WHERE array_element(finish_reasons, duration_nanos) IS NULL
SELECT count(*) AS n FROM spans WHERE cast(attributes['secret'] AS int) IS NULL
SELECT count(*) AS n FROM spans WHERE cast(attributes['secret'] AS int) = 1
SELECT count(*) AS n FROM spans WHERE attributes['secret'] LIKE 'canary%'
SELECT count(*) AS n FROM spans WHERE attributes['canary-7f3a9c'] IS NOT NULL
SELECT count(*) AS n FROM spans WHERE cardinality(attributes) > 2
SELECT count(*) AS n FROM spans WHERE array_has(map_keys(attributes), 'canary-7f3a9c')
SELECT count(*) AS n FROM spans WHERE array_has(map_values(attributes), 'canary-7f3a9c')
SELECT count(*) AS n FROM spans WHERE try_cast(name AS int) IS NULL
SELECT count(*) AS n FROM spans WHERE isnan(1.0 / duration_nanos)
SELECT count(*) AS n FROM spans WHERE abs(-9223372036854775808 + duration_nanos) > 0
SELECT count(*) AS n FROM spans WHERE nanvl(1.0/0.0, duration_nanos) > 0
SELECT count(*) AS n FROM spans WHERE gcd(duration_nanos, 0) > 50
SELECT count(*) AS n FROM spans WHERE bit_length(name) > 100000
SELECT count(*) AS n FROM spans WHERE octet_length(service_name) / duration_nanos >= 0
SELECT count(*) AS n FROM spans WHERE to_hex(duration_nanos) <> '0'
SELECT count(*) AS n FROM spans WHERE strpos(service_name, 'canary') > 0
SELECT count(*) AS n FROM spans WHERE starts_with(service_name, 'canary')
SELECT count(*) AS n FROM spans WHERE ends_with(service_name, '9c')
SELECT count(*) AS n FROM spans WHERE contains(service_name, '7f3a9c')
SELECT count(*) AS n FROM spans WHERE md5(service_name) = md5('canary-7f3a9c')
SELECT count(*) AS n FROM spans WHERE digest(service_name, 'sha256') = digest('canary-7f3a9c', 'sha256')
SELECT count(*) AS n FROM spans WHERE digest(name, service_name) IS NOT NULL
SELECT count(*) AS n FROM spans WHERE arrow_typeof(service_name) = 'Utf8' AND 1 / duration_nanos >= 0
SELECT count(*) AS n FROM spans WHERE service_name = 'canary-7f3a9c'
SELECT count(*) AS n FROM spans WHERE trace_id LIKE 'cafebabe%'
SELECT count(*) AS n FROM spans WHERE trace_id = 'cafebabecafebabecafebabecafebabe'
SELECT count(*) AS n FROM spans WHERE span_id >= 'deadbeef'
SELECT count(*) AS n FROM spans WHERE part_date = '1999-09-09'
SELECT count(*) AS n FROM spans WHERE part_date < '2026-01-01'
SELECT count(*) AS n FROM spans WHERE 1 / (extract(year FROM part_date) - 1999) < 100
SELECT count(*) AS n FROM spans WHERE 1 / cast(part_date - date '1999-09-09' AS int) < 9
SELECT count(*) AS n FROM spans WHERE cast(part_date AS varchar) LIKE '1999%'
SELECT count(*) AS n FROM spans WHERE start_time < '2000-01-01T00:00:00Z'
SELECT count(*) AS n FROM spans WHERE _batch >= 3
SELECT count(*) AS n FROM spans WHERE _batch = 3 AND _row = 0
SELECT count(*) AS n FROM spans WHERE _node <> '' AND tenant_id <> 'acme'
SELECT count(*) AS n FROM spans WHERE cost_usd > 31337
SELECT count(*) AS n FROM spans WHERE usage_input_tokens > 7000000000
# The same below joins, subqueries and views, and where the optimiser moves or splits it.
SELECT count(*) FROM (SELECT cast(name AS int) AS x FROM spans) WHERE x > 0
SELECT count(*) FROM (SELECT 100 / duration_nanos AS x FROM spans) WHERE x > 0
SELECT count(*) FROM spans a JOIN spans b ON 100 / a.duration_nanos = 100 / b.duration_nanos
SELECT count(*) FROM spans a, spans b WHERE a.tenant_id <> b.tenant_id
SELECT count(*) FROM spans a JOIN spans b ON a.trace_id = b.trace_id AND a.tenant_id <> b.tenant_id
SELECT count(*) FROM spans a FULL JOIN spans b ON a.tenant_id = b.tenant_id AND a.span_id = b.span_id WHERE a.tenant_id IS NULL OR b.tenant_id IS NULL
SELECT count(*) FROM spans a LEFT ANTI JOIN spans b ON a.span_id = b.span_id
SELECT count(*) FROM spans a RIGHT SEMI JOIN spans b ON a.trace_id = b.trace_id WHERE b.tenant_id <> 'acme'
SELECT count(*) FROM spans WHERE EXISTS (SELECT 1 FROM spans x WHERE x.tenant_id = 'rival')
SELECT count(*) FROM spans s WHERE NOT EXISTS (SELECT 1 FROM spans x WHERE x.trace_id = s.trace_id AND x.tenant_id <> s.tenant_id)
SELECT (SELECT count(*) FROM spans WHERE tenant_id <> 'acme') AS n
SELECT (SELECT max(name) FROM spans x WHERE x.trace_id = s.trace_id) AS m FROM spans s ORDER BY 1
SELECT count(*) FROM spans WHERE trace_id IN (SELECT trace_id FROM spans WHERE service_name LIKE 'canary%')
SELECT count(*) FROM traces WHERE 1 / errors > 0
SELECT count(*) FROM traces WHERE trace_id LIKE 'cafe%'
SELECT * FROM traces ORDER BY trace_id
SELECT * FROM traces WHERE service_name > 'a' ORDER BY trace_id
SELECT trace_id, spans, cost_usd FROM traces WHERE cost_usd > 1000 ORDER BY 1
SELECT * FROM cost_per_skill ORDER BY skill, model
SELECT * FROM cost_per_skill WHERE skill LIKE 'canary%'
SELECT sum(cost_usd), sum(calls) FROM cost_per_skill
SELECT skill FROM cost_per_skill WHERE 1 / (calls - 4) >= 0
SELECT * FROM duplicate_spans ORDER BY 1, 2
SELECT count(*), sum(surplus), sum(copies) FROM duplicate_spans
SELECT * FROM duplicate_spans WHERE conflict
SELECT * FROM duplicate_spans WHERE copies > 1 AND span_id = '0000000000000000'
SELECT count(*), count(DISTINCT tenant_id), min(tenant_id), max(name) FROM spans_distinct
SELECT count(*) FROM spans_distinct WHERE tenant_id <> 'acme'
SELECT count(*) FROM spans_distinct WHERE 100 / duration_nanos >= 0
SELECT count(*) FROM spans_distinct WHERE trace_id LIKE 'cafebabe%' OR service_name LIKE 'canary%'
SELECT span_id, name FROM spans_distinct WHERE cast(substr(name, 5) AS int) >= 0 ORDER BY 1
SELECT a.span_id FROM spans_distinct a LEFT ANTI JOIN spans b ON a.span_id = b.span_id
SELECT name FROM spans UNION SELECT service_name FROM spans ORDER BY 1
SELECT name FROM spans EXCEPT SELECT name FROM spans WHERE tenant_id = 'acme'
SELECT tenant_id FROM spans INTERSECT SELECT 'rival'
SELECT tenant_id FROM proxy_audit UNION ALL SELECT tenant_id FROM ocsf_events UNION ALL SELECT tenant_id FROM spans ORDER BY 1
SELECT s.name, p.message FROM spans s LEFT JOIN proxy_audit p ON s.trace_id = p.trace_id ORDER BY 1, 2
SELECT count(*) FROM spans s JOIN proxy_audit p ON s.tenant_id <> p.tenant_id
SELECT count(*) FROM ocsf_events o, proxy_audit p WHERE o.tenant_id > p.tenant_id
SELECT u FROM (SELECT unnest(map_keys(attributes)) AS u FROM spans) ORDER BY 1
SELECT u FROM (SELECT unnest(map_values(attributes)) AS u FROM spans) WHERE u LIKE 'canary%'
SELECT DISTINCT u FROM (SELECT unnest(finish_reasons) AS u FROM spans) ORDER BY 1
# Names: aliases, common table expressions and quoting that shadow or reach around a table.
WITH spans AS (SELECT 'rival' AS tenant_id, 'x' AS name) SELECT * FROM spans
WITH spans AS (SELECT * FROM spans) SELECT count(*), max(tenant_id) FROM spans
WITH x AS (SELECT * FROM spans), spans AS (SELECT * FROM x) SELECT max(name) FROM spans
WITH traces AS (SELECT * FROM spans) SELECT count(DISTINCT tenant_id) FROM traces
WITH repeated AS (SELECT * FROM spans), later AS (SELECT * FROM repeated) SELECT count(*) FROM spans_distinct
WITH l AS (SELECT 1) SELECT count(*), max(tenant_id) FROM spans_distinct
SELECT spans.* FROM (SELECT 'rival' AS tenant_id) AS spans
SELECT rival.tenant_id FROM spans AS rival ORDER BY 1
SELECT count(*) FROM spans AS tenant_id WHERE tenant_id.tenant_id <> 'acme'
SELECT 'acme' AS tenant_id, name FROM spans ORDER BY name
SELECT tenant_id AS "acme", count(*) FROM spans GROUP BY tenant_id
SELECT count(*) FROM (SELECT 'rival' AS tenant_id, name FROM spans) WHERE tenant_id = 'rival'
SELECT "tenant_id" FROM "spans" ORDER BY 1
SELECT * FROM "SPANS"
SELECT * FROM "spans "
SELECT * FROM "spans​"
SELECT * FROM "ｓpans"
SELECT * FROM `spans` WHERE `tenant_id` = 'rival'
SELECT * FROM [spans]
SELECT count(*) FROM weir.public.spans WHERE tenant_id <> 'acme'
SELECT count(*) FROM public.spans
SELECT * FROM rival.public.spans
SELECT * FROM weir.rival.spans
SELECT * FROM rival.spans
SELECT * FROM public.rival
SELECT * FROM weir."public"."../rival"
SELECT * FROM datafusion.public.spans
SELECT * FROM "weir.public.spans"
SELECT * FROM spans.spans
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns WHERE table_name = 'spans'
SELECT * FROM information_schema.df_settings
SELECT * FROM information_schema.schemata
SELECT * FROM information_schema.routines
SELECT * FROM information_schema.views
SELECT * FROM weir.information_schema.tables
SELECT * FROM pg_catalog.pg_tables
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pg_stats
SELECT * FROM system.tables
SELECT * FROM sqlite_master
SELECT * FROM delta_log
SELECT * FROM "_delta_log"
SHOW TABLES
SHOW COLUMNS FROM spans
DESCRIBE spans
DESCRIBE traces
DESCRIBE spans_distinct
DESCRIBE duplicate_spans
DESCRIBE rival.spans
DESCRIBE "canary"
SHOW ALL
SHOW datafusion.catalog.location
SHOW FUNCTIONS
SHOW CREATE TABLE spans
SHOW SCHEMAS
SHOW DATABASES
# Files and places.
SELECT * FROM 'spans/part_date=1999-09-09/tenant_id=rival'
SELECT * FROM "lake/spans/part_date=1999-09-09/tenant_id=rival/"
SELECT * FROM 'lake://tables/spans/'
SELECT * FROM "lake://tables/spans/part_date=1999-09-09/"
SELECT * FROM 'file:///'
SELECT * FROM '../rival/spans'
SELECT * FROM read_parquet('lake://tables/spans/*.parquet')
SELECT * FROM parquet_metadata('spans')
SELECT * FROM metadata_cache()
SELECT * FROM statistics_cache()
SELECT * FROM list_files_cache()
SELECT * FROM spans_distinct(1)
SELECT input_file_name() FROM spans
SELECT file_row_index() FROM spans
SELECT spans.file_path FROM spans
SELECT _metadata FROM spans
SELECT "$path" FROM spans
SELECT rowid FROM spans
SELECT ctid FROM spans
SELECT tableoid FROM spans
CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 'lake://tables/spans/'
CREATE VIEW spans AS SELECT * FROM spans
CREATE TABLE spans AS SELECT 1
COPY spans TO '/dev/null'
COPY (SELECT * FROM spans) TO 'lake://tables/x.parquet'
INSERT INTO spans SELECT * FROM spans
DELETE FROM spans WHERE tenant_id = 'rival'
UPDATE spans SET tenant_id = 'acme' WHERE tenant_id = 'rival'
DROP TABLE spans
TRUNCATE TABLE spans
SET weir.tenant = 'rival'
SET datafusion.catalog.information_schema = true
SET ROLE rival
SET SESSION AUTHORIZATION rival
USE rival
PREPARE p AS SELECT * FROM spans
EXECUTE p
DEALLOCATE p
ANALYZE TABLE spans
RESET ALL
BEGIN
LISTEN rival
SELECT current_user
SELECT current_setting('weir.tenant')
SELECT set_config('weir.tenant', 'rival', false)
SELECT current_catalog()
SELECT current_database()
SELECT version()
# Statistics, samples, sketches, positions.
SELECT count(*) FROM spans
SELECT count(1), count(tenant_id), count(DISTINCT tenant_id) FROM spans
SELECT approx_distinct(tenant_id), approx_distinct(service_name) FROM spans
SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_nanos) FROM spans
SELECT approx_percentile_cont(0.999) WITHIN GROUP (ORDER BY usage_input_tokens) FROM spans
SELECT approx_median(duration_nanos) FROM spans
SELECT median(duration_nanos), min(duration_nanos), max(duration_nanos) FROM spans
SELECT round(stddev(duration_nanos), 3), round(var_pop(duration_nanos), 3) FROM spans
SELECT round(corr(duration_nanos, _row), 3), round(covar_samp(duration_nanos, _row), 3) FROM spans
SELECT round(regr_slope(duration_nanos, _row), 3) FROM spans
SELECT array_agg(DISTINCT tenant_id) FROM spans
SELECT string_agg(service_name, ',') FROM spans
SELECT array_agg(name ORDER BY name) FROM spans
SELECT first_value(name ORDER BY name DESC), last_value(name ORDER BY name DESC) FROM spans
SELECT nth_value(name, 3 ORDER BY name DESC) FROM spans
SELECT bit_and(duration_nanos), bit_or(duration_nanos), bit_xor(duration_nanos) FROM spans
SELECT bool_and(tenant_id = 'acme'), bool_or(tenant_id = 'rival') FROM spans
SELECT min(part_date), max(part_date), count(DISTINCT part_date) FROM spans
SELECT part_date, count(*) FROM spans GROUP BY 1 ORDER BY 1
SELECT min(start_time), max(start_time), min(received_at), max(received_at) FROM spans
SELECT min(trace_id), max(trace_id), min(span_id), max(span_id) FROM spans
SELECT min(_batch), max(_batch), min(_row), max(_row), count(DISTINCT _batch) FROM spans
SELECT _batch, min(_row), max(_row), count(*) FROM spans GROUP BY 1 ORDER BY 1
SELECT sum(cost_usd), avg(cost_usd), max(cost_usd) FROM spans
SELECT sum(usage_input_tokens), max(usage_input_tokens) FROM spans
SELECT grouping(tenant_id), tenant_id, count(*) FROM spans GROUP BY ROLLUP(tenant_id) ORDER BY 1, 2
SELECT tenant_id, service_name, count(*) FROM spans GROUP BY CUBE(tenant_id, service_name) ORDER BY 1, 2, 3
SELECT name, row_number() OVER (ORDER BY name) AS r FROM spans ORDER BY 2
SELECT name, lag(name) OVER (ORDER BY name) AS before, lead(name) OVER (ORDER BY name) AS after FROM spans ORDER BY 1
SELECT name, first_value(name) OVER (ORDER BY name DESC) AS f FROM spans ORDER BY 1
SELECT name, count(*) OVER () AS n, sum(duration_nanos) OVER () AS d FROM spans ORDER BY 1
SELECT name, rank() OVER (ORDER BY usage_input_tokens DESC NULLS LAST) AS r FROM spans ORDER BY 1, 2
SELECT name, ntile(3) OVER (ORDER BY name) AS t, percent_rank() OVER (ORDER BY name) AS p, cume_dist() OVER (ORDER BY name) AS c FROM spans ORDER BY 1
SELECT name FROM spans TABLESAMPLE BERNOULLI (100)
SELECT name FROM spans TABLESAMPLE SYSTEM (50)
SELECT name FROM spans ORDER BY name LIMIT 1
SELECT name FROM spans ORDER BY name DESC LIMIT 1
SELECT name FROM spans ORDER BY name OFFSET 8
SELECT name FROM spans ORDER BY name DESC LIMIT 100 OFFSET 3
SELECT name FROM spans ORDER BY start_time LIMIT 2
SELECT span_id FROM spans ORDER BY duration_nanos LIMIT 1
SELECT span_id FROM spans ORDER BY usage_input_tokens DESC NULLS LAST, span_id LIMIT 3
SELECT span_id FROM spans ORDER BY cost_usd DESC NULLS LAST, span_id LIMIT 3
SELECT DISTINCT ON (tenant_id) tenant_id, name FROM spans ORDER BY tenant_id, name
SELECT count(*) FROM spans HAVING max(service_name) LIKE 'canary%'
SELECT count(*) FILTER (WHERE tenant_id = 'rival') AS n FROM spans
SELECT max(length(service_name)), max(length(name)) FROM spans
SELECT * FROM spans ORDER BY span_id, name
SELECT * FROM proxy_audit ORDER BY event_id
SELECT * FROM ocsf_events ORDER BY 1
SELECT * FROM cost_ledger
SELECT * FROM rejected_events
SELECT count(*), min(message), max(message) FROM proxy_audit
SELECT count(*), min(details), max(details) FROM proxy_audit
SELECT tenant_id, count(*) FROM proxy_audit GROUP BY 1
SELECT tenant_id, count(*) FROM ocsf_events GROUP BY 1
SELECT count(*) FROM ocsf_events WHERE 1 / (CASE WHEN tenant_id = 'rival' THEN 0 ELSE 1 END) = 1
SELECT count(*) FROM proxy_audit WHERE 1 / (CASE WHEN message LIKE 'canary%' THEN 0 ELSE 1 END) = 1
# Rows that are not asked for in an order, and answers that differ from run to run.
SELECT name FROM spans LIMIT 3
SELECT * FROM spans LIMIT 1
SELECT name FROM spans LIMIT 1 OFFSET 5
SELECT name, random() FROM spans
SELECT name FROM spans WHERE random() < 2
SELECT name FROM spans WHERE 1 / duration_nanos > random() - 2
SELECT name, uuid() FROM spans
SELECT count(*) FROM spans WHERE start_time < now()
SELECT any_value(name) FROM spans
SELECT name FROM spans_distinct LIMIT 3
SELECT array_agg(name) FROM spans
SELECT DISTINCT service_name FROM spans LIMIT 10
# Plans.
EXPLAIN SELECT * FROM spans
EXPLAIN VERBOSE SELECT * FROM spans WHERE trace_id = 'x'
EXPLAIN FORMAT TREE SELECT count(*) FROM spans
EXPLAIN FORMAT PGJSON SELECT count(*) FROM spans
EXPLAIN FORMAT GRAPHVIZ SELECT count(*) FROM spans
EXPLAIN VERBOSE SELECT * FROM spans_distinct
EXPLAIN VERBOSE SELECT * FROM duplicate_spans
EXPLAIN VERBOSE SELECT * FROM traces
EXPLAIN SELECT a.name FROM spans a JOIN spans b ON a.trace_id = b.parent_span_id
EXPLAIN SELECT name FROM spans WHERE part_date = '1999-09-09'
EXPLAIN SELECT name FROM spans WHERE part_date > '2026-11-20'
EXPLAIN SELECT name FROM spans WHERE tenant_id = 'rival'
EXPLAIN SELECT * FROM spans ORDER BY start_time LIMIT 3
EXPLAIN ANALYZE SELECT * FROM spans
EXPLAIN ANALYZE VERBOSE SELECT count(*) FROM spans
EXPLAIN (ANALYZE) SELECT * FROM spans
EXPLAIN (ANALYZE, FORMAT TREE) SELECT 1
EXPLAIN EXPLAIN SELECT 1
EXPLAIN COPY spans TO 'x'
EXPLAIN INSERT INTO spans SELECT * FROM spans
# Text that is no SQL, or two statements.
SELECT 1; SELECT * FROM spans
SELECT * FROM spans WHERE name = '' OR ''=''
SELECT * FROM spans WHERE tenant_id = 'acme' OR 1=1 -- '
SELECT * FROM spans /* tenant */ WHERE /*! tenant_id = 'rival' */ 1=1 ORDER BY span_id, name
'; DROP TABLE spans; --
SELECT * FROM spans WHERE tenant_id = 'acme\' OR tenant_id = \'rival'
SELECT $1
SELECT * FROM spans WHERE tenant_id = $1
SELECT * FROM spans WHERE tenant_id = :tenant
SELECT * FROM spans WHERE tenant_id = ?
SELECT @@tenant
SELECT * FROM ${jndi}

   
--
‮SELECT * FROM snaps
SELECT * FROM spans ORDER BY 1
SELECT * FROM cost_by_skill_hourly ORDER BY hour, skill
SELECT * FROM cost_by_skill_daily ORDER BY day, skill
SELECT sum(calls), sum(cost_usd) FROM cost_by_skill_daily WHERE skill LIKE 'canary%'
SELECT latency_quantile(latency_merge(latency_histogram), 0.5) FROM cost_hourly
