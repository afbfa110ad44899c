"""Translation of filters to SQL in LanceDB's dialect."""

from typing import Any

from connectors.store.conditions import sql_list
from connectors.store.interface import ROW_ID, Condition, Where


def sql_of(where: Where) -> str:
    """Return a filter as SQL, with untrusted values escaped.

    >>> sql_of([Condition("author", "=", "o'neil"), Condition("cluster", "in", (1, 2))])
    "`author` = 'o''neil' AND `cluster` IN (1, 2)"
    """
    return " AND ".join(_condition(it) for it in where)


def _condition(it: Condition) -> str:
    column = it.column if it.column == ROW_ID else f"`{it.column}`"
    if it.operator in ("is null", "is not null"):
        return f"{column} {it.operator.upper()}"
    if it.operator == "in":
        return f"{column} IN ({', '.join(map(_literal, it.value))})" if it.value else "FALSE"
    return f"{column} {it.operator} {_literal(it.value)}"


def _literal(value: Any) -> str:
    return sql_list([value]) if isinstance(value, str) else repr(value)
