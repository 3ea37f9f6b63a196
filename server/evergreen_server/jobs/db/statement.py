"""Statements that each job runs several times: compiled once for each connection, and run by the driver's own cursor.

SQLAlchemy takes four times as long to run a statement as SQLite does. What it does for the errors of one still happens:
they are its own errors, and a connection that is lost, or invalid from now on, is dropped with its pool.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Executable = sa.Select[Any] | sa.UpdateBase | sa.TextClause


@dataclass(slots=True, kw_only=True)
class _Form:
    """A statement as the driver takes it, with the parameters of some names."""

    text: str
    fixed: Mapping[str, object]
    """The parameters that the statement brings itself."""
    order: Sequence[str] | None
    """The names of the parameters by position; None if the driver takes names."""
    encode: Sequence[tuple[str, Callable[[Any], object]]]
    columns: Mapping[str, TypeEngine[Any]]
    decode: Sequence[tuple[str, Callable[[Any], object]]] | None = None
    """Known once the driver has told the types of a first answer."""


class Statement:
    """A statement without lists of values. The names of its parameters are those of the mapping that it is run with."""

    def __init__(self, statement: Executable | Callable[[str], Executable]) -> None:
        """Takes the statement, or what makes it for a dialect, such as `sqlite`."""
        self._of = statement if callable(statement) else lambda _dialect: statement

    def run(self, db: sa.Connection, values: Mapping[str, object]) -> int:
        """Runs it and returns how many rows it changed."""
        answer, _ = self._executed(db, values)
        number = int(answer.rowcount)
        answer.close()
        return number

    def first(self, db: sa.Connection, values: Mapping[str, object]) -> Mapping[str, Any] | None:
        """Runs it and returns the first row by its columns, or None."""
        return next(iter(self._rows(db, values, 1)), None)

    def all(self, db: sa.Connection, values: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
        """Runs it and returns every row by its columns."""
        return self._rows(db, values, None)

    def scalar(self, db: sa.Connection, values: Mapping[str, object]) -> Any:
        """Runs it and returns the first column of the first row, or None."""
        row = self.first(db, values)
        return None if row is None else next(iter(row.values()))

    def _rows(self, db: sa.Connection, values: Mapping[str, object], most: int | None) -> Sequence[Mapping[str, Any]]:
        answer, form = self._executed(db, values)
        if form.decode is None:
            # Before the rows, with the last of which SQLAlchemy forgets their types.
            form.decode = list(_decoders(form.columns, db.dialect, answer))
        try:
            found = answer.fetchall() if most is None else answer.fetchmany(most)
        except Exception as exc:
            _fail(db, exc, form.text, None)
        answer.close()
        rows = [dict(zip(form.columns, values, strict=True)) for values in found]
        for name, decode in form.decode:
            for row in rows:
                row[name] = decode(row[name])
        return rows

    def _executed(self, db: sa.Connection, values: Mapping[str, object]) -> "tuple[_Answer, _Form]":
        if not db.in_transaction():
            db.begin()
        forms = db.info.setdefault(Statement, {})
        key = (self, *values)
        form = forms.get(key)
        if form is None:
            form = forms[key] = _form_of(self._of(db.dialect.name), db.dialect, values)
        given: Any = {**form.fixed, **values}
        for name, encode in form.encode:
            given[name] = encode(given[name])
        if form.order is not None:
            given = tuple(given[name] for name in form.order)
        heard = db.engine.dispatch
        if heard.before_cursor_execute or heard.after_cursor_execute:
            # Whoever listens to statements is to hear of this one what SQLAlchemy tells of each.
            return db.exec_driver_sql(form.text, given, {"preserve_rowcount": True}), form
        cursor = None
        try:
            cursor = db.connection.cursor()
            cursor.execute(form.text, given)
        except Exception as exc:
            _fail(db, exc, form.text, cursor)
        return cursor, form


_Answer = DBAPICursor | sa.CursorResult[Any]


def _form_of(statement: Executable, dialect: sa.Dialect, values: Mapping[str, object]) -> _Form:
    compiled = statement.compile(dialect=dialect, column_keys=list(values))
    assert isinstance(compiled, SQLCompiler)
    binds = compiled.binds
    assert all(name in values for name, bind in binds.items() if bind.required), "a parameter is missing"
    encoders = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()}
    columns = statement.selected_columns if isinstance(statement, sa.Select) else ()
    return _Form(
        text=str(compiled),
        fixed={name: value for name, value in compiled.params.items() if not binds[name].required},
        order=compiled.positiontup,
        encode=[(name, encode) for name, encode in encoders.items() if encode is not None],
        columns={column.name: column.type for column in columns},
    )


def _decoders(
    columns: Mapping[str, TypeEngine[Any]], dialect: sa.Dialect, answer: _Answer
) -> Iterator[tuple[str, Callable[[Any], object]]]:
    cursor = answer.cursor if isinstance(answer, sa.CursorResult) else answer
    described = () if cursor is None else cursor.description or ()
    for (name, type_), (_, code, *_) in zip(columns.items(), described, strict=True):
        decode = type_.dialect_impl(dialect).result_processor(dialect, code)
        if decode is not None:
            yield name, decode


def _fail(db: sa.Connection, exc: Exception, text: str, cursor: DBAPICursor | None) -> NoReturn:
    """Raises the error of a driver as SQLAlchemy does, and invalidates what it invalidates; any other as it is."""
    if not isinstance(exc, db.dialect.loaded_dbapi.Error):
        raise exc
    # SQLAlchemy has no public name for this. Without the parameters, which hold prompts.
    db._handle_dbapi_exception(exc, text, None, cursor, None)
