"""The SQL of a store, in one place."""

from __future__ import annotations

from psycopg import sql

from dualtrack.engine.stores.transaction import INDEX, META, ROWS, TABLES


class Statements:
    """The SQL, with the schema's name in it. Values always travel as parameters, in binary."""

    def __init__(self, schema: str) -> None:
        name = sql.Identifier(schema)

        def of(text: str, table: str = META) -> sql.Composed:
            return sql.SQL(text).format(schema=name, table=sql.Identifier(schema, table))

        self.create = [
            of("CREATE SCHEMA IF NOT EXISTS {schema}"),
            *(
                of("CREATE TABLE IF NOT EXISTS {table} (key bytea PRIMARY KEY, value bytea NOT NULL)", table)
                for table in (INDEX, META)
            ),
            of(
                "CREATE TABLE IF NOT EXISTS {table} "
                "(key bytea PRIMARY KEY, generation bytea NOT NULL, value bytea NOT NULL)",
                ROWS,
            ),
        ]
        self.lock = of("SELECT value FROM {table} WHERE key = %b FOR UPDATE")
        self.get = {table: of("SELECT value FROM {table} WHERE key = %b", table) for table in TABLES}
        self.get_many = {
            table: of("SELECT key, value FROM {table} WHERE key = ANY(%b)", table) for table in TABLES
        }
        self.delete = {table: of("DELETE FROM {table} WHERE key = ANY(%b)", table) for table in TABLES}
        self.put = {
            table: of(
                "INSERT INTO {table} (key, value) SELECT * FROM unnest(%b::bytea[], %b::bytea[]) "
                "ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
                table,
            )
            for table in (INDEX, META)
        }
        self.put[ROWS] = of(
            "INSERT INTO {table} AS old (key, value, generation) "
            "SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[]) ON CONFLICT (key) DO "
            "UPDATE SET generation = EXCLUDED.generation, value = EXCLUDED.value "
            "WHERE old.generation < EXCLUDED.generation",
            ROWS,
        )
        # The inner query counts how much a page would weigh, so that a few huge values come one by one.
        self.page = {
            (table, inclusive): of(
                "SELECT key, value FROM (SELECT key, value, sum(length(value)) OVER (ORDER BY key) AS size "
                f"FROM (SELECT key, value FROM {{table}} WHERE key {'>=' if inclusive else '>'} %b "
                "ORDER BY key LIMIT %b) AS head) AS page WHERE size - length(value) < %b ORDER BY key",
                table,
            )
            for table in TABLES
            for inclusive in (True, False)
        }
