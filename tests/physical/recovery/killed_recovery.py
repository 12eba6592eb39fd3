"""Recovers in a process of its own, to be killed: `python killed_recovery.py FACTS.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePosixPath

from pgops.physical import recover, state
from pgops.physical.host import LocalHost
from pgops.physical.state import Place
from tests.physical.plain_engine import PlainEngine


class SlowEngine(PlainEngine):
    """Says when it has begun to fetch, and takes its time."""

    def fetch(self, backup, directory, host, watch):
        super().fetch(backup, directory, host, watch)
        host.run(["rm", "-f", str(directory / "global" / "pg_control")])  # half of a backup
        print("fetching", flush=True)
        host.run(["sleep", "600"])


def main() -> None:
    facts = json.loads(Path(sys.argv[1]).read_text())
    host = LocalHost(run_as=tuple(facts["run_as"]))
    place = Place(host, PurePosixPath(facts["base"]), PurePosixPath(facts["bindir"]), tuple(facts["ports"]))
    recovery = state.read(place, facts["id"])
    engine = object.__new__(SlowEngine if facts["step"] == "restore" else PlainEngine)
    engine.folder, engine.host, engine.fetched = Path(facts["archive"]), host, 0
    if facts["step"] == "restore":
        recover.restore(place, recovery, engine)
    else:
        print("recovering", flush=True)
        recover.recover(place, recovery, engine, patience_seconds=0)


if __name__ == "__main__":
    main()
