"""Many rows by one statement: on PostgreSQL from arrays, which costs a fraction of a statement for each row."""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY


def insert_all(db: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Inserts rows, at least one, that all name the same columns, none of them JSON, each with values of one type."""
    if db.dialect.name != "postgresql":
        db.execute(table.insert(), list(rows))
        return
    names = list(rows[0])
    insert = f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM {_arrays(db, table, names)}"
    db.exec_driver_sql(insert, _columns(names, rows))


def update_all(db: sa.Connection, table: sa.Table, key: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Sets, in the row that each names by its `key`, the other columns that it holds."""
    names = list(rows[0])
    if db.dialect.name != "postgresql":
        values: dict[str, object] = {name: sa.bindparam(f"new_{name}") for name in names if name != key}
        update = table.update().where(table.c[key] == sa.bindparam(f"new_{key}")).values(values)
        db.execute(update, [{f"new_{name}": value for name, value in row.items()} for row in rows])
        return
    news = ", ".join(f"{name} = news.{name}" for name in names if name != key)
    arrays = f"{_arrays(db, table, names)} AS news ({', '.join(names)})"
    db.exec_driver_sql(
        f"UPDATE {table.name} SET {news} FROM {arrays} WHERE {table.name}.{key} = news.{key}",
        _columns(names, rows),
    )


def one_of(db: sa.Connection, column: sa.Column[str], values: Collection[str]) -> sa.ColumnElement[bool]:
    """Returns the condition that a column has one of the values; a thousand parameters cost as much as the rows."""
    if db.dialect.name != "postgresql":
        return column.in_(values)
    return column == sa.any_(sa.bindparam(None, list(values), type_=ARRAY(column.type)))


def _arrays(db: sa.Connection, table: sa.Table, names: Sequence[str]) -> str:
    """Returns the rows of arrays that are given as parameters, one for each column, in the driver's own words.

    In binary form (`b`): as text, a thousand events take longer to be quoted than all else here.
    """
    arrays = (f"%(all_{name})b::{table.c[name].type.compile(dialect=db.dialect)}[]" for name in names)
    return f"unnest({', '.join(arrays)})"


def _columns(names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    return {f"all_{name}": [row[name] for row in rows] for name in names}
