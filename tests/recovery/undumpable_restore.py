"""Restores a backup in a process whose files no other program may look at, as those of Airflow's tasks.

python -m tests.recovery.undumpable_restore <facts as JSON>: endpoint, bucket, prefix, database, backup_id, target (a
`Dsn`). A process of its own: a fork of the tests' own process would inherit locks that its threads hold.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

from pgops.catalog import Catalog
from pgops.postgres import Dsn
from pgops.recovery import restore
from pgops.storage import Bucket
from tests.servers import s3_client

PR_SET_DUMPABLE = 4
NOBODY = 65534

if __name__ == "__main__":
    facts = json.loads(sys.argv[1])
    bucket = Bucket(s3_client(facts["endpoint"]), facts["bucket"], facts["prefix"])
    catalog = Catalog(bucket, facts["database"])
    catalog.manifest(facts["backup_id"])  # reads what only root may read, if that is who we are
    if os.geteuid() == 0:  # root may look into everything
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    restore(catalog, facts["backup_id"], Dsn(**facts["target"]), jobs=2)
