"""Finds the migrations of an Alembic script location, as the SQL that each revision makes.

Revision files are code of the repository and are executed here, in Alembic's offline mode: op.* writes SQL instead of
running it, and there is no database to ask. env.py is not used. Alembic's own bookkeeping (alembic_version) is left
out: which migrations were applied stands in this project's ledger.

A statement inside `with op.get_context().autocommit_block()` gets the comment that makes it commit by itself.
Comments of the file such as `# pgops: allow <rule>` and `# rollback: destructive acknowledged` go into the SQL too.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pgops.errors import PgOpsError, Refused
from pgops.migration.model import Migration, Source
from pgops.migration.scripts.statements import AUTOCOMMIT, split

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script, ScriptDirectory

_COMMENT = re.compile(r"^[ \t]*#[ \t]*((?:pgops: *allow|rollback: *destructive acknowledged)\b[^\r\n]*)", re.MULTILINE)
_DOWN_ONLY = "rollback:"


def revisions_in(location: Path) -> list[Migration]:
    """The revisions of a script location (the folder that holds versions/), each after those that it depends on.

    A revision that does nothing, such as a merge of branches, is left out. One whose downgrade does nothing or
    raises NotImplementedError has no rollback.

    Raises:
        Refused: the folder or a revision cannot be loaded, a revision is missing or there twice, revisions depend on
            each other in a circle, or one needs a database to say what it does.
    """
    scripts = _script_directory(location)
    migrations = [_migration(scripts, revision) for revision in _in_order(scripts, location)]
    found = [migration for migration in migrations if migration.up.text]
    if not found:
        raise Refused(
            "There are no revisions in the script location",
            where=str(location),
            remedy="Make one with: alembic revision -m 'what it does'",
        )
    return found


def _script_directory(location: Path) -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    versions = location / "versions"
    if not versions.is_dir():
        raise Refused(
            "There is no folder versions/ in the script location",
            where=str(location),
            remedy="Correct `alembic` in the fleet file",
        )
    for path in versions.glob("*.py"):
        if not path.resolve().is_relative_to(location.resolve()):
            raise Refused(
                "The revision is a link out of the folder", where=str(path), remedy="Put the file itself there"
            )
    return ScriptDirectory(str(location))


def _in_order(scripts: ScriptDirectory, location: Path) -> list[Script]:
    try:
        with warnings.catch_warnings():
            # Alembic only warns of a revision that is there twice, or that follows one that is not there.
            warnings.filterwarnings("error", category=UserWarning, module=r"alembic\..*|pgops\..*")
            return list(scripts.walk_revisions())[::-1]
    except SyntaxError as error:
        raise Refused(
            f"A revision is not Python: {error.msg}",
            where=f"{error.filename}:{error.lineno}",
            remedy="Correct the file",
        ) from error
    except Exception as error:  # whatever the module level of somebody's revision raises
        raise Refused(
            f"The revisions cannot be loaded: {_said(error)}",
            where=str(location),
            remedy="Try `alembic history` there; every down_revision and depends_on must be the id of another revision",
        ) from error


def _migration(scripts: ScriptDirectory, revision: Script) -> Migration:
    file = Path(revision.path)
    comments = _COMMENT.findall(file.read_text(encoding="utf-8"))
    up = _rendered(scripts, revision, "upgrade")
    down = _rendered(scripts, revision, "downgrade")
    up_comments = [comment for comment in comments if not comment.startswith(_DOWN_ONLY)]
    return Migration(
        version=revision.revision,
        name=revision.doc,
        up=Source(f"{file.name} upgrade", _with_comments(up_comments, up)),
        down=Source(f"{file.name} downgrade", _with_comments(comments, down)) if down else None,
        origin="alembic",
    )


def _with_comments(comments: list[str], statements: list[str]) -> str:
    if not statements:
        return ""
    return "\n".join([*(f"-- {comment}" for comment in comments), *statements]) + "\n"


def _rendered(scripts: ScriptDirectory, revision: Script, direction: str) -> list[str]:
    """The statements of one direction; none where it does nothing."""
    function = getattr(revision.module, direction, None)
    if function is None:
        return []
    where = f"{revision.path}, {direction}()"
    try:
        statements = _recorded(scripts, function)
        again = _recorded(scripts, function)
    except NotImplementedError:
        return []
    except PgOpsError as error:
        raise Refused(error.what, where=where, remedy=error.remedy) from error
    except Exception as error:  # whatever somebody's revision raises
        raise Refused(
            f"The revision cannot be written as SQL: {_said(error)}",
            where=where,
            remedy="It must say what it does without a database: use op.* and op.execute() with plain SQL, "
            "and try `alembic upgrade --sql` with it",
        ) from error
    if statements != again:
        raise Refused(
            "The revision makes other SQL every time",
            where=where,
            remedy="Let the database compute times and random values: what is validated must be what is deployed",
        )
    return statements


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")


def _recorded(scripts: ScriptDirectory, function: Callable[[], None]) -> list[str]:
    from alembic.operations import Operations

    with _offline(scripts) as context:
        recorder = _Recorder(context)
        with Operations.context(context):
            function()
    return recorder.statements


@contextmanager
def _offline(scripts: ScriptDirectory) -> Iterator[MigrationContext]:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    with EnvironmentContext(Config(), scripts, as_sql=True) as environment:
        environment.configure(
            dialect_name="postgresql",
            dialect_opts={"paramstyle": "named"},  # the default doubles every percent sign
            literal_binds=True,
            output_buffer=io.StringIO(),
        )
        yield environment.get_context()


class _Recorder:
    """Takes the place of an offline context's output, and of its connection."""

    def __init__(self, context: MigrationContext) -> None:
        from sqlalchemy.engine.mock import MockConnection

        self.statements: list[str] = []
        self._autocommit = False
        self._impl = cast(Any, context.impl)
        self._impl.static_output = self._write
        self._impl.emit_commit = lambda: self._set_autocommit(True)
        self._impl.emit_begin = lambda: self._set_autocommit(False)
        context.connection = self._impl.connection = MockConnection(context.dialect, self._execute)  # type: ignore[assignment]

    def _set_autocommit(self, on: bool) -> None:
        self._autocommit = on

    def _write(self, text: str) -> None:
        if not self._autocommit:
            self.statements.append(text)
            return
        for statement in split(text):
            self.statements.append(f"{AUTOCOMMIT}\n{statement.rstrip(';')};")

    def _execute(self, construct: Any, parameters: Any = None, **_: Any) -> _Answer:
        """Stands in for op.get_bind().execute(): writes the statement, and has no answer to it."""
        from sqlalchemy.sql.expression import TextClause

        if parameters and isinstance(construct, TextClause) and isinstance(parameters, dict):
            construct = construct.bindparams(**parameters)
        elif parameters:
            raise Refused(
                "It runs a statement with parameters on the connection",
                where="",
                remedy="Use op.execute() with the values in the statement, or op.bulk_insert()",
            )
        self._impl._exec(construct)
        return _Answer()


class _Answer:
    """What a statement would have returned: nobody knows without a database."""

    def __getattr__(self, name: str) -> Any:
        raise _reads_the_database()

    def __iter__(self) -> Iterator[Any]:
        raise _reads_the_database()

    def __bool__(self) -> bool:
        raise _reads_the_database()


def _reads_the_database() -> Refused:
    return Refused(
        "It reads the database to decide what to do",
        where="",
        remedy="Write the decision as SQL (INSERT ... SELECT, UPDATE ... FROM, IF EXISTS, or a DO block): "
        "what is validated must be what is deployed, whatever the data",
    )
