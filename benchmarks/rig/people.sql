-- Purpose: what backfills are measured on: about 165 bytes a row, made of the row's number alone.
create table people_template as
select
    n as id,
    'Name ' || n % 5003 || ' ' || n % 101 as name,
    'person' || n || '@example.org' as email,
    (array['de', 'fr', 'jp', 'us', 'br', 'in'])[1 + n % 6] as country,
    (n * 7919 % 1000)::integer as spent,
    md5(n::text) || md5((-n)::text) as note,
    timestamptz '2025-01-01 00:00:00+00' + n * interval '7 seconds' as created_at
from generate_series(1::bigint, {rows}) as n;

-- A copy as it is right after the migration that added the column, in shared_buffers as far as it fits.
create table people as select * from people_template where id <= {rows} order by id;
alter table people add primary key (id), add column tier text;

create index on people (country);
create index on people (created_at);

vacuum (analyze) people;

-- Along an index: a sequential scan of a large table would pass by shared_buffers.
set enable_seqscan = off; set enable_bitmapscan = off;
select count(note) from people where id > 0;

checkpoint;
