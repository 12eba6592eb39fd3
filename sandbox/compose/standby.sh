#!/bin/bash
# Clones the primary at the first start, then runs as its streaming standby. The arguments are the server's.
set -Eeuo pipefail

if [[ ! -s $PGDATA/PG_VERSION ]]; then
    # The clone takes its name when it is complete: one that was interrupted is made again.
    rm -rf "$PGDATA.new"
    pg_basebackup --pgdata="$PGDATA.new" --host="${PRIMARY_HOST:-primary}" --username=standby \
        --no-password --slot=standby --wal-method=stream --checkpoint=fast --write-recovery-conf
    mv "$PGDATA.new" "$PGDATA"
fi
exec docker-entrypoint.sh postgres "$@"
