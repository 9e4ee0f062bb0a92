"""Pydantic settings whose fields are filled from secrets and follow them; see `LiveSettings`."""

from keyturn.settings.live import FromParameter, FromSecret, LiveSettings

__all__ = ["FromParameter", "FromSecret", "LiveSettings"]
