"""SQLAlchemy and Django, which open connections by themselves."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from keyturn.integrations.login import Login
from tests.stories.drivers import Driver, Held, by_login
from tests.stories.workers import LogIn

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def by_sqlalchemy(title: str, dialect: str, **options: object) -> Driver:
    """An engine that keeps no connection."""
    import sqlalchemy

    from keyturn.integrations.sqlalchemy import log_in

    def new_engine(url: str | sqlalchemy.URL) -> sqlalchemy.Engine:
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=options)

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        engine = new_engine(f"{dialect}://")
        log_in(engine, login)
        yield lambda: engine.connect().close()

    @contextmanager
    def usual(held: Held) -> Iterator[LogIn]:
        def once() -> None:
            fields = held.fields
            url = sqlalchemy.URL.create(
                dialect,
                fields["username"],
                fields["password"],
                fields["host"],
                int(fields["port"]),
                fields["dbname"],
            )
            new_engine(url).connect().close()

        yield once

    return Driver(title, by_login(keyturn), usual)


def django(title: str, engine: str, djangos: str, **options: object) -> Driver:
    """A database of Django's settings: with keyturn's `engine`, and with the one that Django has itself."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(USE_TZ=True)
        django.setup()

    @contextmanager
    def keyturn(login: Login) -> Iterator[LogIn]:
        module = ModuleType(f"story_{uuid.uuid4().hex}")
        vars(module)["login"] = login
        sys.modules[module.__name__] = module
        try:
            database = login.current().fields()["dbname"]
            chosen = {"login": f"{module.__name__}.login", **options}
            wrapper = _wrapper(engine, {"NAME": database, "OPTIONS": chosen})
            yield lambda: _visit(wrapper)
        finally:
            del sys.modules[module.__name__]

    @contextmanager
    def usual(held: Held) -> Iterator[LogIn]:
        def once() -> None:
            fields = held.fields
            _visit(
                _wrapper(
                    djangos,
                    {
                        "USER": fields["username"],
                        "PASSWORD": fields["password"],
                        "HOST": fields["host"],
                        "PORT": fields["port"],
                        "NAME": fields["dbname"],
                        "OPTIONS": options,
                    },
                )
            )

        yield once

    return Driver(title, by_login(keyturn), usual)


def _wrapper(engine: str, database: dict[str, object]) -> BaseDatabaseWrapper:
    from django.db.utils import ConnectionHandler

    return ConnectionHandler({"default": {"ENGINE": engine, **database}})["default"]


def _visit(wrapper: BaseDatabaseWrapper) -> None:
    try:
        wrapper.ensure_connection()
    finally:
        wrapper.close()
