-- Thirty tables beside the sample's, as a small shop has them: a key, a name, a number, a date, an index.
do $$
begin
    for number in 1..30 loop
        execute format(
            'create table part_%1$s (
                 id bigint generated always as identity primary key,
                 name text not null,
                 weight integer not null,
                 created_at timestamptz not null
             )',
            to_char(number, 'FM00'));
        execute format(
            'insert into part_%s (name, weight, created_at)
             select md5(n::text), n %% 1000, timestamptz ''2026-02-15 12:00:00+00'' - n * interval ''1 minute''
               from generate_series(1, %s) n',
            to_char(number, 'FM00'), case when number <= 3 then 50000 else 2000 end);
        execute format('create index on part_%s (created_at)', to_char(number, 'FM00'));
    end loop;
end
$$
