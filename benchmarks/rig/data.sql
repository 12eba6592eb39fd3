-- Purpose: text and jsonb as applications keep it: words that come again and again, salted with md5 so that neither
--          compressor wins by the data alone. About 1 KiB a row with its indexes. Everything is made of the row's
--          number, so every run has the same bytes.
create table documents (
    id bigint primary key,
    author text not null,
    title text not null,
    body text not null,
    attributes jsonb not null,
    created_at timestamptz not null
);

insert into documents
select
    n,
    'author' || n % 5003,
    'Report ' || left(salt, 8),
    words.body || ' ' || salt || ' ' || md5(salt || 'b') || md5(salt || 'c') || md5(salt || 'd'),
    jsonb_build_object(
        'status', (array['draft', 'open', 'open', 'closed', 'archived'])[1 + n % 5],
        'language', (array['en', 'de', 'fr', 'ja'])[1 + n % 4],
        'owner', jsonb_build_object('id', n % 7919, 'team', 'team-' || n % 23),
        'tags', jsonb_build_array('t' || n % 11, 't' || n % 101, 't' || n % 1009),
        'checksum', md5(salt || 'e'),
        'score', n % 100003 / 1000.0),
    timestamptz '2025-01-01 00:00:00+00' + n * interval '7 seconds'
from generate_series({first}, {last}) as n
cross join lateral (select md5({seed} || '/' || n)) as salts (salt)
cross join lateral (
    select string_agg(
        (array['the', 'invoice', 'customer', 'of', 'backup', 'and', 'a', 'delivery', 'address', 'was', 'changed', 'to',
               'please', 'confirm', 'order', 'number', 'before', 'Monday', 'payment', 'received', 'not', 'yet', 'in',
               'warehouse', 'shipment', 'delayed', 'by', 'weather', 'contract', 'renewal', 'support', 'ticket'])
        [1 + get_byte(choices, b) % 32], ' ' order by b)
    from (select decode(md5(salt || 1) || md5(salt || 2) || md5(salt || 3) || md5(salt || 4), 'hex') as choices offset 0)
             as chosen,
         generate_series(0, 63) as b
) as words (body);
