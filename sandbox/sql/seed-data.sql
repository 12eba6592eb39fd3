-- Rows for database app. sample.users and sample.today are set by whoever runs this file.
create function pg_temp.today() returns timestamptz language sql as $$ select current_setting('sample.today')::timestamptz $$;
create function pg_temp.users() returns int language sql as $$ select current_setting('sample.users')::int $$;

insert into users (email, name, created_at)
select 'user' || n || '@example.com', 'User ' || substr(md5(n::text), 1, 8), pg_temp.today() - n % 900 * interval '1 day'
from generate_series(1, pg_temp.users()) as n;

insert into orders (user_id, status, total_amount, created_at)
select
    1 + ('x' || substr(md5('u' || n), 1, 7))::bit(28)::int % pg_temp.users(),
    (array['pending', 'paid', 'paid', 'shipped', 'shipped', 'shipped', 'cancelled'])[1 + n % 7],
    ('x' || substr(md5('a' || n), 1, 5))::bit(20)::int / 100.0,
    pg_temp.today() - n % 600 * interval '1 day' - n % 86400 * interval '1 second'
from generate_series(1, pg_temp.users() * 5) as n;
