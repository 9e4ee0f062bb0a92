"""A marker table that a parameter names: the parameter is read when the table is first needed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from keyturn.aws.faults import fault_of
from keyturn.aws.parameterstore import ParameterClient, read_parameter
from keyturn.errors import MarkerTableError, ParameterAccessDeniedError, ParameterError
from keyturn.model.markers import Head, MarkersRead
from keyturn.model.protocols import MarkerReader
from keyturn.model.table_names import is_table_name, parameter_of_table, place_of_table
from keyturn.model.versions import AWSCURRENT

T = TypeVar("T")
R = TypeVar("R")


def named_table(given: str, client: Callable[[], ParameterClient]) -> str:
    """Return the name or ARN of a table: `given`, or what the parameter says that it names (`ssm:NAME`).

    Raises `MarkerTableError` if the parameter cannot be read, or names no table. Its text may be anything,
    so no error shows it.
    """
    parameter = parameter_of_table(given)
    if parameter is None:
        return given
    try:
        read = read_parameter(client, parameter, AWSCURRENT, None, decrypt=False)
    except ParameterError as error:
        denied = isinstance(error, ParameterAccessDeniedError)
        raise MarkerTableError(given, f"its name was not read: {error}", denied=denied) from error
    if read.type != "String":
        raise MarkerTableError(given, f"the parameter is a {read.type}; a table is named by a String")
    return _placed(given, read.value.strip())


def _placed(given: str, text: str) -> str:
    """Return the table that this text of a parameter names, in the place of the parameter if that is known.

    Whoever writes a parameter in one account is not believed about the secrets of another.
    """
    place, named = place_of_table(given), place_of_table(text)
    if named is not None and place not in (None, named):
        raise MarkerTableError(given, "the parameter names a table of another account or Region")
    if named is None and not is_table_name(text):
        raise MarkerTableError(given, "the parameter's text is neither the name nor the ARN of a table")
    if named is not None or place is None:
        return text
    return f"arn:{place.partition}:dynamodb:{place.region}:{place.account}:table/{text}"


class NamedTable(Generic[T]):
    """What is opened of such a table, under the name that the parameter had when it was read.

    Once the table is gone, the parameter is read anew at the next use. Threads may share it: two that come at
    once both read the parameter, which does no harm.

    Args:
        given: the table as it was given (`ssm:NAME`).
        client: returns the client that reads the parameter.
        opened: opens the table of a name or an ARN. Makes no request.
    """

    def __init__(self, given: str, client: Callable[[], ParameterClient], opened: Callable[[str], T]) -> None:
        self._given = given
        self._client = client
        self._opened = opened
        self._table: T | None = None

    def ask(self, use: Callable[[T], R]) -> R:
        """Return what `use` returns for the open table. Raises `MarkerTableError`."""
        table = self._table
        if table is None:
            table = self._table = self._opened(named_table(self._given, self._client))
        try:
            return use(table)
        except MarkerTableError as error:
            if error.__cause__ is not None and _is_gone(error.__cause__):
                self._table = None
            raise


def _is_gone(error: BaseException) -> bool:
    return isinstance(error, Exception) and fault_of(error).code == "ResourceNotFoundException"


class NamedReader:
    """A `MarkerReader` of such a table."""

    def __init__(self, table: NamedTable[MarkerReader]) -> None:
        self._table = table

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        return self._table.ask(lambda reader: reader.read_head(consistent=consistent, copy=copy))

    def read_markers(self, keys: Collection[str]) -> MarkersRead:
        return self._table.ask(lambda reader: reader.read_markers(keys))
