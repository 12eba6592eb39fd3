-- Purpose: as many users as bench.rows says, each with preferences (their history is written by the trigger).
insert into users (id, email, name, created_at) overriding system value
select n, 'u' || n || '@example.org', 'User ' || n, now()
from generate_series((select coalesce(max(id), 0) + 1 from users), current_setting('bench.rows')::bigint) n;
insert into user_preferences (user_id, preferences)
select id,
       jsonb_build_object(
           'theme', id % 9,
           'language', (array['en', 'de', 'fr', 'ja'])[1 + id % 4],
           'notifications', jsonb_build_object('email', id % 2 = 0, 'push', id % 3 = 0, 'digest', 'weekly'),
           'widgets', jsonb_build_array('inbox', 'calendar', md5(id::text)))
from users;
