\set n random(0, 9999)
WITH admitted AS (UPDATE bench_counter SET used = used + 1 WHERE customer_id = 'c' || CAST(:n AS integer) AND used + 1 <= quota RETURNING customer_id)
INSERT INTO bench_record SELECT customer_id, gen_random_uuid(), 'calls', 1, now() FROM admitted;
