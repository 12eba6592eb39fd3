-- Database crm: names that need quotes, text that needs care, a table without rows.
create schema "Sales";
create table "Sales"."Contacts" (
    "Id" bigint primary key,
    "Full Name" text not null,
    "E-Mail" text,
    notes text
);
create table "Sales"."Deal ""stages""" (name text primary key, position int not null);
create table "Sales"."Leads" (id bigint generated always as identity primary key, source text);  -- nobody yet
create view "Sales"."Named contacts" as select "Id", "Full Name" from "Sales"."Contacts" where "Full Name" <> '';
create materialized view "Sales"."Contacts by initial" as
    select left("Full Name", 1) as initial, count(*) from "Sales"."Contacts" group by 1;

insert into "Sales"."Contacts"
select n, (array['Zoë', 'Łukasz', 'O''Hara', 'Ann "Bee"', '山田'])[1 + n % 5] || ' ' || substr(md5(n::text), 1, 6),
       case when n % 10 > 0 then 'c' || n || '@example.org' end, repeat(md5('note' || n) || E'\t\\\n', n % 20)
from generate_series(1, current_setting('sample.contacts')::int) as n;
insert into "Sales"."Deal ""stages""" values ('new', 1), ('won', 2), ('lost', 3);
refresh materialized view "Sales"."Contacts by initial";
