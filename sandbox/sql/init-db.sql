-- Database app as it was before its first migration: users and their orders. The rest comes by migration_deploy
-- (include/migrations/app).
create table users (
    id bigint generated always as identity primary key,
    email text not null unique,
    name text not null,
    created_at timestamptz not null default now()
);
create table orders (
    id bigint generated always as identity primary key,
    user_id bigint not null references users (id),
    status text not null check (status in ('pending', 'paid', 'shipped', 'cancelled')),
    total_amount numeric(12, 2) not null check (total_amount >= 0),
    created_at timestamptz not null default now()
);
create index on orders (user_id);
create index on orders (created_at) where status = 'pending';
