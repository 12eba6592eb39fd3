#!/bin/bash
# Fills the server named by PGOPS_SERVER at its first start: databases, sample data, roles, passwords.
# The postgres image runs it before any port is open. Needs psql 15 or later (\getenv).
set -Eeuo pipefail

PROJECT=${PROJECT:-/project}
# primary logs every statement; those that set passwords must not be among them.
export PGOPTIONS="-c log_statement=none"

as_superuser() {
    psql --no-psqlrc --quiet --output=/dev/null --set=ON_ERROR_STOP=1 --username=postgres "$@"
}

# set_password ROLE VARIABLE: the value comes from the environment; as an argument it would show in the process list.
set_password() {
    as_superuser --dbname=postgres <<SQL
\getenv password $2
ALTER ROLE $1 PASSWORD :'password';
SQL
}

# create_role NAME DATABASE...: include/sql/roles/NAME.sql in each database, then the password of its variable.
create_role() {
    local name=$1 database
    for database in "${@:2}"; do
        as_superuser --dbname="$database" --file="$PROJECT/include/sql/roles/$name.sql"
    done
    set_password "pgops_$name" "PGOPS_${name^^}_PASSWORD"
}

# sample_database NAME SCRIPT...: with a few thousand rows; the settings are those of sandbox/sample.py at scale 1.
sample_database() {
    local scripts=("${@:2}")
    scripts=("${scripts[@]/#/--file=$PROJECT/sandbox/sql/}")
    scripts=("${scripts[@]/%/.sql}")
    as_superuser --dbname=postgres --command="CREATE DATABASE $1"
    PGOPTIONS="$PGOPTIONS -c sample.users=2000 -c sample.invoices=5000 -c sample.contacts=1000 -c sample.today=2026-02-15" \
        as_superuser --dbname="$1" --single-transaction "${scripts[@]}"
    as_superuser --dbname="$1" --command="CREATE EXTENSION IF NOT EXISTS pg_stat_statements" --command="VACUUM ANALYZE"
}

case ${PGOPS_SERVER:?} in
    primary)
        sample_database app init-db seed-data
        sample_database billing billing
        sample_database crm crm
        create_role backup app billing crm
        create_role migrate app
        create_role monitor app
        create_role physical postgres
        as_superuser --dbname=app --file="$PROJECT/include/sql/roles/monitor_more.sql"
        as_superuser --dbname=postgres \
            --command="CREATE ROLE standby LOGIN REPLICATION" \
            --command="SELECT pg_create_physical_replication_slot('standby', true)"
        set_password standby REPLICATION_PASSWORD
        echo "host replication standby all scram-sha-256" >>"$PGDATA/pg_hba.conf"
        ;;
    staging)
        create_role drill template1
        ;;
    operations)
        as_superuser --dbname=postgres \
            --command="CREATE ROLE airflow LOGIN" \
            --command="CREATE DATABASE airflow OWNER airflow" \
            --command="CREATE DATABASE ledger"
        set_password airflow AIRFLOW_DATABASE_PASSWORD
        create_role ledger ledger
        ;;
    *)
        echo "PGOPS_SERVER is '$PGOPS_SERVER': name primary, staging or operations." >&2
        exit 1
        ;;
esac
