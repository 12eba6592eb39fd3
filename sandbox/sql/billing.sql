-- Database billing: a sequence of its own, a generated column, a large object.
create sequence invoice_number start 100000;
create table invoices (
    id bigint primary key,
    number bigint not null unique default nextval('invoice_number'),
    customer text not null,
    net numeric(12, 2) not null,
    vat_rate numeric(4, 3) not null default 0.19,
    gross numeric(12, 2) generated always as (round(net * (1 + vat_rate), 2)) stored,
    issued_on date not null,
    document oid
);
create table invoice_lines (
    invoice_id bigint not null references invoices (id) on delete cascade,
    position int not null,
    description text not null,
    amount numeric(12, 2) not null,
    primary key (invoice_id, position)
);
create table payments (
    id bigint generated always as identity primary key,
    invoice_id bigint not null references invoices (id),
    amount numeric(12, 2) not null,
    paid_at timestamptz not null
);
create index on payments (invoice_id);

insert into invoices (id, customer, net, issued_on)
select n, 'Customer ' || n % 97, ('x' || substr(md5('n' || n), 1, 5))::bit(20)::int / 100.0, date '2024-01-01' + n % 700
from generate_series(1, current_setting('sample.invoices')::int) as n;
-- The scan of the first invoice, as a large object.
update invoices set document = lo_from_bytea(0, convert_to(repeat(md5('scan'), 2000), 'UTF8')) where id = 1;
insert into invoice_lines
select i, p, 'Item ' || md5(i || '.' || p), i % 100 + p
from generate_series(1, current_setting('sample.invoices')::int) as i, generate_series(1, 3) as p;
insert into payments (invoice_id, amount, paid_at)
select id, gross, issued_on + interval '14 days' from invoices where id % 5 <> 0 order by id;
