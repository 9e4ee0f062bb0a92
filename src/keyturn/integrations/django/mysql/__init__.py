"""Django's MySQL backend with keyturn's login: the engine `keyturn.integrations.django.mysql`."""
