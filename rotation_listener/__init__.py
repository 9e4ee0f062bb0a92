"""The rotation listener: a Lambda function that turns events about secrets into keyturn's markers.

`rotation_listener.handler.handler` is its entry point; `infra/template.yaml` deploys it. It never reads the
value of a secret, and needs no permission to do so.
"""
