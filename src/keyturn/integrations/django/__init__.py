"""A database backend for Django on PostgreSQL: its ENGINE is `keyturn.integrations.django`."""
