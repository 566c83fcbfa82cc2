"""Copies of a head office on PostgreSQL, by PostgreSQL's own pg_dump and pg_restore: made while it runs, and read back
into a schema of any name, so that a copy can be tried beside the head office that it is of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from posline.errors import BadRequest, NotPossible, Unavailable
from posline.storage.files import sync_folder
from relay.operations.backups import LEAVE_BEHIND, NOT_COPIED
from relay.postgres.connection import Database

__all__ = ["drop_schema", "dump", "is_dump", "load"]

MAGIC = b"PGDMP"
PIECE_BYTES = 256 * 1024  # of rows, handed on at a time
SCHEMA = re.compile(rb'^CREATE SCHEMA ("?)([A-Za-z_][A-Za-z0-9_$]*)\1;')
COPY = re.compile(rb"^COPY .* FROM stdin;$")
# what pg_restore writes for psql alone, and settings that an older server need not know
LEFT_OUT = (b"--", b"\\restrict", b"\\unrestrict", b"SET ", b"SELECT pg_catalog.set_config(")


def _program(name: str, instead: str) -> str:
    found = shutil.which(name)
    if found is None:
        newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
        if not newest:
            raise NotPossible(
                f"there is no {name} on this machine: install PostgreSQL's client programs, of the server's version or"
                f" a newer one, or run where they are: {instead}"
            )
        found = str(newest[-1])
    return found


def _address(database: Database) -> tuple[str, dict[str, str]]:
    """An address for the command line, which others on the machine can see, and the password for the environment."""
    given = {name: str(value) for name, value in conninfo_to_dict(database.conninfo).items()}
    password = given.pop("password", "")
    return make_conninfo(**given), os.environ | ({"PGPASSWORD": password} if password else {})


def dump(database: Database, target: Path) -> int:
    """Write a copy of the head office's schema; its bytes. Raises NotPossible, BadRequest, Unavailable."""
    instead = f"pg_dump -Fc -n {database.schema} -f {target} ..."
    address, environment = _address(database)
    fresh = target.with_name(f".{target.name}.unfinished")
    command = [
        _program("pg_dump", instead), "--format=custom", f"--schema={database.schema}", "--no-owner", "--no-acl",
        f"--file={fresh}", f"--dbname={address}", "--no-password",
        *(f"--exclude-table-data={database.schema}.{table}" for table in NOT_COPIED),
    ]  # fmt: skip
    try:
        fresh.touch(mode=0o600)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise Unavailable(f"pg_dump failed: {_last(done.stderr)}")
        look = [_program("pg_restore", instead), "--list", str(fresh)]
        done = subprocess.run(look, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"what pg_dump wrote cannot be read back: {_last(done.stderr)}")
        with fresh.open("rb+") as written:
            os.fsync(written.fileno())
        size = fresh.stat().st_size
        fresh.replace(target)
        sync_folder(target.parent.absolute())
    except OSError as error:
        raise BadRequest.of("file", f"{target} cannot be written ({error.strerror}): name another place") from error
    finally:
        fresh.unlink(missing_ok=True)
    return size


def is_dump(path: Path) -> bool:
    """Whether a file is one that `dump` wrote."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise BadRequest.of("file", f"{path} cannot be read ({error.strerror})") from error


def load(source: Path, database: Database) -> None:
    """Read a copy into the schema of `database`, which must not be there yet; all of it or nothing. Raises NotPossible,
    BadRequest, Unavailable."""
    if not is_dump(source):
        raise BadRequest.of("file", f"{source} is no copy of pg_dump in its custom format")
    program = _program("pg_restore", f"pg_restore -d ... {source}")
    command = [program, "--file=-", "--no-owner", "--no-acl", str(source)]
    try:
        with database.connect() as connection:
            there = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (database.schema,)).fetchone()
            if there is not None:
                said = f"the schema {database.schema} is there already: name another with ?schema="
                raise BadRequest.of("database", said)
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading:
                assert reading.stdout is not None and reading.stderr is not None
                with connection.transaction():
                    _run(connection, reading.stdout, database.schema, source)
                    connection.execute(LEAVE_BEHIND)
                    said = reading.stderr.read().decode(errors="replace")
                    if reading.wait():
                        raise BadRequest.of("file", f"{source} cannot be read: {_last(said)}")
    except psycopg.OperationalError as error:
        raise database.unavailable(error) from error
    except psycopg.Error as error:
        raise Unavailable(f"the copy could not be read into the database at {database.shown}: {error}") from error


def _run(connection: psycopg.Connection[object], script: Iterable[bytes], schema: str, source: Path) -> None:
    """Carry out pg_restore's script in another schema. Names stand outside of rows alone, and each with its schema."""
    quoted = sql.Identifier(schema).as_string().encode()
    lines = iter(script)
    statements, named = list[bytes](), b""
    ours: re.Pattern[bytes] | None = None
    for line in lines:
        if line.startswith(LEFT_OUT):
            continue
        if (made := SCHEMA.match(line)) is not None and not named:
            named = made[2]
            ours = re.compile(rb'(?<![\w"$])"?' + re.escape(named) + rb'"?\.')
            statements.append(b"CREATE SCHEMA " + quoted + b";\n")
            continue
        if ours is not None:
            line = ours.sub(lambda _: quoted + b".", line)
        if COPY.match(line.rstrip(b"\n")):
            _flush(connection, statements)
            with connection.cursor().copy(line.rstrip(b";\n")) as copy:
                for piece in _rows(lines):
                    copy.write(piece)
        else:
            statements.append(line)
    if not named:
        raise BadRequest.of("file", f"{source} holds no schema of a head office")
    _flush(connection, statements)


def _rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    piece, size = list[bytes](), 0
    for line in lines:
        if line == b"\\.\n":
            break
        piece.append(line)
        size += len(line)
        if size >= PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join(piece)


def _flush(connection: psycopg.Connection[object], statements: list[bytes]) -> None:
    text = b"".join(statements)
    statements.clear()
    if text.strip():
        connection.execute(text, prepare=False)


def drop_schema(database: Database) -> None:
    """Take a schema away that was made to try a copy. Raises Unavailable."""
    try:
        with database.connect() as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(database.schema)))
    except psycopg.OperationalError as error:
        raise database.unavailable(error) from error


def _last(said: str) -> str:
    lines: Sequence[str] = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
