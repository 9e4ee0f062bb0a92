"""A database backend for Django on PostgreSQL. Its ENGINE is `keyturn.integrations.django`."""
