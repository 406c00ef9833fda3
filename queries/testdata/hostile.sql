# Statements that try to break out or to break down, each with what becomes of it:
#   refused   an error, and nothing was run;
#   bounded   an answer or an error within the limits, with the caller's own rows at most.
# `@{n|text}` stands for n times the text, `@{lake}` for the lake's folder, `@{n!}` and `@{n+}` for
# chains of n common table expressions, each twice as much as the one before, `@{U+0000}` for a
# character by its number.

-- refused
CREATE TABLE t (a int)
-- refused
CREATE TABLE t AS SELECT * FROM spans
-- refused
CREATE OR REPLACE TABLE spans AS VALUES (1)
-- refused
CREATE TEMPORARY TABLE t AS SELECT 1
-- refused
CREATE VIEW v AS SELECT * FROM spans
-- refused
CREATE OR REPLACE VIEW spans AS SELECT 1
-- refused
CREATE MATERIALIZED VIEW v AS SELECT 1
-- refused
CREATE SCHEMA s
-- refused
CREATE DATABASE d
-- refused
CREATE CATALOG c
-- refused
CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1 + 1
-- refused
CREATE INDEX i ON spans (name)
-- refused
CREATE ROLE admin
-- refused
CREATE USER x
-- refused
DROP TABLE spans
-- refused
DROP TABLE IF EXISTS spans
-- refused
DROP VIEW cost_per_skill
-- refused
DROP SCHEMA public CASCADE
-- refused
DROP DATABASE weir
-- refused
DROP FUNCTION abs
-- refused
ALTER TABLE spans ADD COLUMN x int
-- refused
ALTER TABLE spans RENAME TO s
-- refused
ALTER SESSION SET x = 1
-- refused
TRUNCATE TABLE spans
-- refused
TRUNCATE spans
-- refused
INSERT INTO spans VALUES (1)
-- refused
INSERT INTO spans SELECT * FROM spans
-- refused
INSERT OVERWRITE spans SELECT * FROM spans
-- refused
REPLACE INTO spans VALUES (1)
-- refused
UPDATE spans SET tenant_id = 'acme'
-- refused
UPDATE spans SET name = 'x' WHERE tenant_id = 'rival'
-- refused
DELETE FROM spans
-- refused
DELETE FROM spans WHERE tenant_id = 'rival'
-- refused
MERGE INTO spans USING proxy_audit ON true WHEN MATCHED THEN DELETE
-- refused
WITH x AS (SELECT 1) INSERT INTO spans SELECT * FROM x
-- refused
WITH x AS (DELETE FROM spans RETURNING *) SELECT * FROM x
-- refused
WITH x AS (INSERT INTO spans VALUES (1)) SELECT * FROM x
-- refused
WITH x AS (UPDATE spans SET name = 'x') SELECT 1
-- refused
SELECT * INTO copy FROM spans
-- refused
SELECT * INTO TEMP copy FROM spans
-- refused
SELECT * FROM spans FOR UPDATE
-- refused
SELECT * FROM spans FOR SHARE
-- refused
EXPLAIN INSERT INTO spans VALUES (1)
-- refused
EXPLAIN CREATE TABLE t AS SELECT 1
-- refused
EXPLAIN DELETE FROM spans
-- refused
EXPLAIN COPY spans TO 'planted-explain.parquet'
-- refused
EXPLAIN ANALYZE SELECT * FROM spans
-- refused
EXPLAIN ANALYZE VERBOSE SELECT * FROM spans
-- refused
EXPLAIN (ANALYZE) SELECT * FROM spans
-- refused
EXPLAIN ANALYZE INSERT INTO spans VALUES (1)
-- refused
EXPLAIN EXPLAIN ANALYZE SELECT 1
-- refused
EXPLAIN SET x = 1
-- refused
VACUUM
-- refused
ANALYZE TABLE spans
-- refused
OPTIMIZE TABLE spans
-- refused
CACHE TABLE spans
-- refused
REFRESH spans
-- refused
LOCK TABLES spans READ
-- refused
COMMENT ON TABLE spans IS 'x'
-- refused
GRANT ALL ON spans TO public
-- refused
REVOKE ALL ON spans FROM public
-- refused
COPY spans TO 'planted-1.parquet'
-- refused
COPY spans TO '/tmp/planted-2.parquet'
-- refused
COPY (SELECT * FROM spans) TO 'planted-3.csv'
-- refused
COPY spans TO 's3://bucket/x' STORED AS PARQUET
-- refused
COPY spans FROM '/etc/passwd'
-- refused
COPY spans TO STDOUT
-- refused
COPY (SELECT 1) TO PROGRAM 'sh'
-- refused
CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'
-- refused
CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://bucket/'
-- refused
CREATE EXTERNAL TABLE t (a int) STORED AS CSV LOCATION 'http://127.0.0.1:1/x'
-- refused
CREATE UNBOUNDED EXTERNAL TABLE t (a int) STORED AS CSV LOCATION '/dev/zero'
-- refused
CREATE EXTERNAL TABLE IF NOT EXISTS t STORED AS JSON LOCATION '@{lake}'
-- refused
SELECT * FROM '/etc/passwd'
-- refused
SELECT * FROM '/etc/hostname'
-- refused
SELECT * FROM "/etc/passwd"
-- refused
SELECT * FROM 'file:///etc/passwd'
-- refused
SELECT * FROM 's3://bucket/key.parquet'
-- refused
SELECT * FROM 'http://169.254.169.254/latest/meta-data/'
-- refused
SELECT * FROM 'x.parquet'
-- refused
SELECT * FROM 'x.csv'
-- refused
SELECT * FROM '@{lake}/spans'
-- refused
SELECT * FROM "@{lake}/spans/_delta_log/00000000000000000000.json"
-- refused
SELECT * FROM 'lake://tables/spans/'
-- refused
SELECT * FROM "lake://tables/spans/part_date=2026-11-21/tenant_id=rival/"
-- refused
SELECT * FROM '../lake/spans'
-- refused
SELECT * FROM '~/.ssh/id_rsa'
-- refused
SELECT * FROM read_csv('/etc/passwd')
-- refused
SELECT * FROM read_parquet('@{lake}/spans')
-- refused
SELECT * FROM parquet_metadata('@{lake}/spans')
-- refused
SELECT * FROM read_json('/etc/passwd')
-- refused
SELECT * FROM delta_scan('@{lake}/spans')
-- refused
SELECT * FROM glob('/*')
-- refused
SELECT * FROM TABLE(read_csv('/etc/passwd'))
-- refused
SELECT * FROM LATERAL read_csv('/etc/passwd')
-- refused
SELECT pg_read_file('/etc/passwd')
-- refused
SELECT load_file('/etc/passwd')
-- refused
SELECT readfile('/etc/passwd')
-- refused
SELECT lo_import('/etc/passwd')
-- refused
SELECT file_row_index() FROM spans
-- refused
SELECT input_file_name() FROM spans
-- refused
SELECT * FROM metadata_cache()
-- refused
SELECT * FROM list_files_cache()
-- refused
SELECT * FROM statistics_cache()
-- refused
ATTACH '/tmp/planted.db' AS x
-- refused
ATTACH DATABASE 'planted.db' AS x
-- refused
DETACH x
-- refused
INSTALL httpfs
-- refused
LOAD httpfs
-- refused
LOAD DATA INPATH '/etc/passwd' INTO TABLE spans
-- refused
UNLOAD (SELECT * FROM spans) TO 's3://b/x'
-- refused
EXPORT DATA OPTIONS(uri='x') AS SELECT 1
-- refused
PRAGMA database_list
-- refused
CALL system('ls')
-- refused
EXECUTE IMMEDIATE 'SELECT 1'
-- refused
DO $$ BEGIN END $$
-- refused
SET datafusion.execution.target_partitions = 100000
-- refused
SET datafusion.catalog.information_schema = true
-- refused
SET datafusion.runtime.memory_limit = '100G'
-- refused
SET datafusion.runtime.temp_directory = '/tmp/planted'
-- refused
SET datafusion.execution.enable_recursive_ctes = true
-- refused
SET datafusion.catalog.location = '/etc'
-- refused
SET TIME ZONE 'UTC'
-- refused
SET ROLE admin
-- refused
SET SESSION AUTHORIZATION rival
-- refused
SET @x = 1
-- refused
SET tenant_id = 'rival'
-- refused
SET search_path = rival
-- refused
RESET datafusion.runtime.memory_limit
-- refused
RESET ALL
-- refused
USE rival
-- refused
USE DATABASE rival
-- refused
SHOW ALL
-- refused
SHOW datafusion.runtime.temp_directory
-- refused
SHOW VARIABLES
-- refused
SHOW FUNCTIONS
-- refused
SHOW CREATE TABLE spans
-- refused
SHOW DATABASES
-- refused
SHOW SCHEMAS
-- refused
SHOW STATUS
-- refused
BEGIN
-- refused
START TRANSACTION
-- refused
COMMIT
-- refused
ROLLBACK
-- refused
SAVEPOINT a
-- refused
PREPARE p AS SELECT * FROM spans
-- refused
EXECUTE p
-- refused
EXECUTE p('x')
-- refused
DEALLOCATE p
-- refused
DISCARD ALL
-- refused
DECLARE c CURSOR FOR SELECT 1
-- refused
FETCH NEXT FROM c
-- refused
CLOSE c
-- refused
KILL 1
-- refused
NOTIFY x
-- refused
LISTEN x
-- refused
SELECT * FROM rival.spans
-- refused
SELECT * FROM rival.public.spans
-- refused
SELECT * FROM weir.rival.spans
-- refused
SELECT * FROM other.public.spans
-- refused
SELECT * FROM information_schema.tables
-- refused
SELECT * FROM information_schema.df_settings
-- refused
SELECT * FROM information_schema.columns
-- refused
SELECT * FROM information_schema.routines
-- refused
SELECT * FROM datafusion.public.spans
-- refused
SELECT * FROM pg_catalog.pg_tables
-- refused
SELECT * FROM pg_class
-- refused
SELECT * FROM sqlite_master
-- refused
SELECT * FROM system.tables
-- refused
SELECT * FROM "SPANS"
-- refused
SELECT * FROM "spans; DROP TABLE spans"
-- refused
SELECT * FROM "tenant_id=rival"
-- refused
DESCRIBE rival.nothing
-- refused
DESCRIBE '/etc/passwd'
-- refused
DESCRIBE information_schema
-- refused
SHOW COLUMNS FROM nothing
-- refused
TABLE spans
-- refused
SELECT * FROM spans AS OF '2026-01-01'
-- refused
SELECT * FROM spans VERSION AS OF 1
-- refused
SELECT * FROM spans FOR SYSTEM_TIME AS OF '2026-01-01'
-- refused
SELECT 1; SELECT 2
-- refused
SELECT 1; DROP TABLE spans
-- refused
SELECT 1; COPY spans TO 'planted-4.parquet'
-- refused
SELECT * FROM spans; SET x = 1; SELECT 2
-- refused
SELECT current_setting('x')
-- refused
SELECT set_config('x', 'y', false)
-- refused
SELECT @@version
-- refused
SELECT $1
-- refused
SELECT ?
-- refused
SELECT getvariable('x')
-- refused
SELECT * FROM spans WHERE tenant_id = (SELECT name FROM rival.tenants)
-- bounded
SELECT * FROM spans
-- bounded
SELECT * FROM spans WHERE tenant_id = 'rival'
-- bounded
SELECT * FROM spans WHERE tenant_id <> 'acme' OR 1=1
-- bounded
SELECT * FROM spans WHERE name = '' OR ''=''
-- bounded
SELECT * FROM spans --' AND tenant_id = 'acme'
-- bounded
SELECT * FROM spans /* tenant */ WHERE true
-- bounded
SELECT DISTINCT tenant_id, service_name FROM spans
-- bounded
SELECT tenant_id FROM spans UNION ALL SELECT tenant_id FROM proxy_audit
-- bounded
SELECT attributes FROM spans
-- bounded
SELECT * FROM spans a FULL OUTER JOIN spans b ON a.tenant_id <> b.tenant_id
-- bounded
SELECT array_agg(name) FROM spans
-- bounded
SELECT string_agg(service_name, ',') FROM spans
-- bounded
SELECT min(service_name), max(service_name) FROM spans
-- bounded
SELECT first_value(service_name) OVER (ORDER BY service_name DESC) FROM spans
-- bounded
SELECT (SELECT max(service_name) FROM spans)
-- bounded
SELECT * FROM traces
-- bounded
SELECT * FROM cost_per_skill
-- bounded
WITH spans AS (SELECT * FROM spans) SELECT * FROM spans
-- bounded
SELECT * FROM spans WHERE EXISTS (SELECT 1 FROM spans s WHERE s.tenant_id = 'rival')
-- bounded
SELECT count(*) FROM spans WHERE 1/(CASE WHEN tenant_id='rival' THEN 0 ELSE 1 END) = 1
-- bounded
SELECT cast(service_name AS int) FROM spans WHERE tenant_id = 'rival'
-- bounded
SELECT max(service_name) FROM spans GROUP BY GROUPING SETS ((tenant_id), ())
-- bounded
SELECT md5(service_name) FROM spans
-- bounded
SELECT * FROM spans ORDER BY tenant_id DESC LIMIT 1 OFFSET 1
-- bounded
SELECT approx_distinct(tenant_id), approx_median(duration_nanos) FROM spans
-- bounded
SHOW TABLES
-- bounded
SHOW TABLES LIKE '%'
-- bounded
DESCRIBE spans
-- bounded
DESC spans
-- bounded
EXPLAIN SELECT * FROM spans WHERE tenant_id = 'rival'
-- bounded
EXPLAIN VERBOSE SELECT * FROM spans
-- bounded
EXPLAIN FORMAT TREE SELECT * FROM spans
-- bounded
SELECT version()
-- bounded
SELECT now(), random(), uuid()
-- bounded
SELECT arrow_typeof(tenant_id) FROM spans
-- bounded
SELECT * FROM weir.public.spans
-- bounded
SELECT * FROM public.spans
-- bounded
SHOW COLUMNS FROM spans
-- bounded
(SELECT * FROM spans)
-- bounded
SELECT service_name FROM spans QUALIFY row_number() OVER () = 1
-- refused
SELECT * FROM generate_series(1, 1000000000000)
-- refused
SELECT * FROM range(1, 1000000000000)
-- refused
SELECT count(*) FROM generate_series(1, 9223372036854775807) a, generate_series(1, 9223372036854775807) b
-- refused
SELECT generate_series(1, 1000000000)
-- refused
SELECT unnest(range(1, 1000000000))
-- refused
SELECT * FROM unnest(generate_series(1, 1000000000))
-- refused
SELECT gen_series(1, 1000000000)
-- refused
SELECT array_length(range(0, 9223372036854775807))
-- refused
SELECT repeat('a', 2000000000)
-- refused
SELECT length(repeat('abc', 700000000))
-- refused
SELECT repeat(name, 100000000) FROM spans
-- refused
SELECT lpad('a', 2000000000, 'b')
-- refused
SELECT rpad('a', 2000000000, 'b')
-- refused
SELECT array_repeat(1, 1000000000)
-- refused
SELECT list_repeat('x', 1000000000)
-- refused
SELECT array_resize([1], 1000000000, 1)
-- refused
SELECT list_resize([1], 1000000000, 1)
-- refused
SELECT levenshtein(name, name) FROM spans
-- refused
SELECT arrow_cast('a', 'FixedSizeBinary(2000000000)')
-- refused
SELECT arrow_cast(1, 'FixedSizeList(1000000000, Int64)')
-- refused
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT * FROM t
-- refused
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n * 2 FROM t) SELECT count(*) FROM t
-- refused
WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a
-- refused
SELECT * FROM (WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) SELECT * FROM t) x
-- refused
SELECT 1 WHERE 1 IN (WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n FROM t) SELECT n FROM t)
-- refused
SELECT @{100000|1 + }1
-- refused
SELECT @{3000|1 + }1
-- refused
SELECT @{5000|NOT }true
-- refused
SELECT @{5000|- }1
-- refused
SELECT @{2000|(}1@{2000|)}
-- refused
SELECT @{60|(}1@{60|)}
-- refused
SELECT * FROM @{40|(}spans@{40|)}
-- refused
SELECT @{200|abs(}1@{200|)}
-- refused
SELECT @{500|CASE WHEN true THEN }1@{500| END}
-- refused
SELECT 1 @{500|UNION SELECT 1 }
-- refused
SELECT 1 @{100|INTERSECT SELECT 1 }
-- refused
SELECT * FROM spans WHERE @{3000|name = 'x' OR }true
-- refused
SELECT * FROM spans WHERE @{300|name LIKE '%x%' AND }true
-- refused
SELECT @{30|[}1@{30|]}
-- refused
SELECT * FROM spans @{300|, spans}
-- refused
SELECT * FROM spans a0 @{250| JOIN spans USING (span_id)}
-- refused
SELECT '@{70000|x}'
-- refused
@{70000| }
-- refused
SELECT 1 @{70000| }
-- refused
SELECT @{30000|1,}1
-- refused
SELECT * FROM @{30|(SELECT * FROM }spans@{30|)}
-- refused
SELECT 'x' @{3000||| 'x' }
-- refused
SELECT name FROM spans GROUP BY CUBE (@{15|name, }name)
-- refused
SELECT count(*) FROM spans GROUP BY CUBE (name, kind, trace_id, span_id), CUBE (service_name, model, provider, _batch)
-- refused
SELECT count(*) FROM spans GROUP BY ROLLUP (@{70|name, }kind)
-- refused
SELECT count(*) FROM spans GROUP BY GROUPING SETS (@{100|(name), }())
-- refused
WITH a AS (SELECT 1 AS x), @{26!}SELECT * FROM z
-- refused
SELECT regexp_replace(regexp_replace(regexp_replace('@{1000|a}', 'a', '@{1000|a}', 'g'), 'a', '@{1000|a}', 'g'), 'a', '@{1000|a}', 'g')
-- refused
SELECT x FROM spans PIVOT (count(*) FOR name IN ('a', 'b'))
-- refused
SELECT * FROM spans MATCH_RECOGNIZE (PATTERN (a) DEFINE a AS true)
-- refused
SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (x INT PATH '$'))
-- refused
FROM spans |> WHERE true |> SELECT *
-- refused
SELECT * FROM spans LATERAL VIEW explode(finish_reasons) t AS x
-- refused
SELECT * FROM spans SETTINGS max_threads = 1
-- refused
SELECT 1 FORMAT JSON
-- refused
SELECT regexp_like(name, '((a{1000}){1000}){1000}') FROM spans
-- refused
SELECT pg_sleep(100)
-- refused
SELECT sleep(100)
-- refused
SELECT benchmark(1000000000, md5('a'))
-- refused
SELECT array_transform([1], x -> x)
-- refused

-- refused
   
-- refused
-- nothing
-- refused
/* open
-- refused
;
-- refused
SELECT 'open
-- refused
SELECT "open
-- refused
SELECT 1 FROM
-- refused
\copy spans to x
-- refused
SELECT * FROM spans WHERE name = $$
-- refused
SELECT @{U+0000}
-- refused
EXPLAIN
-- refused
WITH
-- refused
SELECT (
-- refused
@{U+FEFF}@{U+202E}SELECT
-- bounded
WITH a AS (SELECT 'aaaaaaaa' AS x), @{26+}SELECT length(x) FROM z
-- bounded
SELECT replace(replace(replace(replace('@{200|a}', 'a', '@{500|a}'), 'a', '@{500|a}'), 'a', '@{500|a}'), 'a', '@{500|a}')
-- bounded
SELECT count(*) FROM spans a, spans b, spans c, spans d, spans e, spans f, spans g, spans h
-- bounded
SELECT sum(length(a.name || b.name || c.name || d.name)) FROM spans a, spans b, spans c, spans d
-- bounded
SELECT a.* FROM spans a, spans b, spans c, spans d, spans e ORDER BY random()
-- bounded
SELECT DISTINCT a.span_id, b.span_id, c.span_id, d.span_id FROM spans a, spans b, spans c, spans d
-- bounded
SELECT a.span_id, row_number() OVER (ORDER BY b.span_id, a.name) FROM spans a, spans b, spans c, spans d
-- bounded
SELECT array_agg(a.name || b.name || c.name) FROM spans a, spans b, spans c, spans d
-- bounded
SELECT count(DISTINCT a.name || b.name || c.name || d.name) FROM spans a, spans b, spans c, spans d
-- bounded
SELECT a.name FROM spans a JOIN spans b ON a.name <> b.span_id JOIN spans c ON b.name <> c.span_id JOIN spans d ON c.name <> d.span_id WHERE a.name = 'none'
-- bounded
SELECT string_agg(a.name, b.name) FROM spans a, spans b, spans c
-- bounded
SELECT * FROM spans a, spans b, spans c LIMIT 9223372036854775807
-- bounded
SELECT count(*) FROM spans a WHERE EXISTS (SELECT 1 FROM spans b, spans c, spans d, spans e WHERE b.name <> a.name AND c.name = 'none')
-- bounded
SELECT max(x) FROM (SELECT a.name || b.name AS x FROM spans a, spans b UNION ALL SELECT a.name || c.name FROM spans a, spans c, spans d, spans e)
-- bounded
SELECT unnest(array_agg(a.name)) FROM spans a, spans b, spans c
-- bounded
SELECT regexp_replace(a.name, '(.*)(.*)(.*)(.*)(.*)x', 'y') FROM spans a, spans b
-- bounded
SELECT regexp_match(a.name || b.name, '(x+x+)+y') FROM spans a, spans b
-- bounded
SELECT regexp_count(a.name, '(a|a)*b') FROM spans a, spans b
-- bounded
SELECT factorial(20), power(10, 300) * 1e300
-- bounded
SELECT 9223372036854775807 + 1
-- bounded
SELECT -9223372036854775808 / -1
-- bounded
SELECT 1 / 0
-- bounded
SELECT 1 % 0
-- bounded
SELECT cast('x' AS int)
-- bounded
SELECT date '9999-12-31' + interval '1000000 years'
-- bounded
SELECT interval '9999999999 years'
-- bounded
SELECT to_timestamp(9223372036854775807)
-- bounded
SELECT make_date(999999999, 1, 1)
-- bounded
SELECT date_trunc('century', now())
-- bounded
SELECT date_bin(interval '1 nanosecond', now(), timestamp '1970-01-01')
-- bounded
SELECT substr('abc', -9223372036854775808, 9223372036854775807)
-- bounded
SELECT left('abc', -9223372036854775808), right('abc', -9223372036854775808)
-- bounded
SELECT split_part('a,b', ',', -9223372036854775808)
-- bounded
SELECT chr(1114112)
-- bounded
SELECT chr(-1)
-- bounded
SELECT [1,2,3][9223372036854775807]
-- bounded
SELECT [1,2,3][-9223372036854775808]
-- bounded
SELECT array_slice([1,2,3], -9223372036854775808, 9223372036854775807, 9223372036854775807)
-- bounded
SELECT array_element([1], 0)
-- bounded
SELECT decode('zz', 'hex')
-- bounded
SELECT round(1.5, 2147483647)
-- bounded
SELECT trunc(1.5, -2147483648)
-- bounded
SELECT cast('1e400' AS double), cast('nan' AS float)
-- bounded
SELECT 1e308 * 10
-- bounded
SELECT cast(99999999999999999999999999999999999999 AS decimal(38,0)) * 10
-- bounded
SELECT to_char(now(), '@{300|%Y}')
-- bounded
SELECT to_char(now(), '%!')
-- bounded
SELECT overlay('abc' placing 'x' from 9223372036854775807)
-- bounded
SELECT translate('abc', 'abc', '')
-- bounded
SELECT initcap(''), reverse('@{U+0301}a')
-- bounded
SELECT gcd(-9223372036854775808, 0), lcm(9223372036854775807, 9223372036854775806)
-- bounded
SELECT abs(-9223372036854775808)
-- bounded
SELECT * FROM (VALUES (1), (2)) t(a), (VALUES (3)) u(b)
-- bounded
SELECT name FROM spans WHERE name IN (@{4000|'x',}'y')
-- bounded
SELECT name FROM spans LIMIT 0
-- bounded
SELECT name FROM spans LIMIT -1
-- bounded
SELECT name FROM spans OFFSET 9223372036854775807
-- bounded
SELECT nth_value(name, -1) OVER () FROM spans
-- bounded
SELECT lag(name, 9223372036854775807) OVER (ORDER BY name) FROM spans
-- bounded
SELECT ntile(0) OVER () FROM spans
-- bounded
SELECT sum(duration_nanos) OVER (ORDER BY name ROWS BETWEEN 9223372036854775807 PRECEDING AND 9223372036854775807 FOLLOWING) FROM spans
-- bounded
SELECT approx_percentile_cont(duration_nanos, 2.0) FROM spans
-- bounded
SELECT approx_percentile_cont(duration_nanos, 0.5, 100000000) FROM spans
-- bounded
SELECT array_to_string(array_agg(name), '@{1000|x}') FROM spans
-- bounded
SELECT concat_ws('@{1000|x}', @{1000|name, }name) FROM spans
-- bounded
SELECT concat(@{2000|name, }name) FROM spans
-- bounded
SELECT encode(encode(encode(encode(name, 'hex'), 'hex'), 'hex'), 'hex') FROM spans
-- bounded
SELECT named_struct('a', attributes, 'b', attributes, 'c', attributes) FROM spans
-- bounded
SELECT [[[[[[[[[[name]]]]]]]]]] FROM spans
-- bounded
SELECT @{20|abs(}1@{20|)}
-- bounded
SELECT @{150|1 + }1
-- bounded
SELECT 1 @{60|UNION ALL SELECT 1 }
-- bounded
SELECT count(*) FROM spans GROUP BY CUBE (name, kind, span_id, trace_id)
-- bounded
SELECT @{400|*, }* FROM spans
-- bounded
SELECT @{30|a.*, }a.* FROM spans a
-- bounded
SELECT median(duration_nanos), stddev(duration_nanos), corr(duration_nanos, _batch) FROM spans
-- bounded
SELECT bit_and(_batch), bool_or(is_batch) FROM spans
-- bounded
SELECT map(['a','b'], [1,2])['a']
-- bounded
SELECT map([name], [attributes]) FROM spans
-- bounded
SELECT struct(name, attributes) FROM spans
-- bounded
SELECT array_sort(array_agg(name)) FROM spans
-- bounded
SELECT name LIKE '@{5000|%_}' FROM spans
-- bounded
SELECT name ILIKE '%\' FROM spans
-- bounded
SELECT name SIMILAR TO '(a+)+$' FROM spans
-- bounded
SELECT name ~ '(((((a*)*)*)*)*)b' FROM spans
-- bounded
SELECT name ~ '[' FROM spans
