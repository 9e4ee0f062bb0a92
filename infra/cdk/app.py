"""keyturn and a function that reads through it, as an app of AWS's CDK.

pip install 'keyturn[cdk,cli]'
keyturn stack --layer
cdk deploy
"""

from __future__ import annotations

from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

from keyturn.cdk import Keyturn


class Orders(Stack):
    """One stack with both. Where several stacks of a Region read, keyturn has a stack of its own."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        topic = sns.Topic(self, "Alarms")
        keyturn = Keyturn(self, "Keyturn", {"NamePrefixes": "orders/"}, alarm_topic=topic)
        secret = secretsmanager.Secret(self, "Database", secret_name="orders/database")  # noqa: S106 # a name
        library = lambda_.LayerVersion(self, "Library", code=lambda_.Code.from_asset("keyturn_layer.zip"))
        function = lambda_.Function(
            self,
            "Reader",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="app.handler",
            code=lambda_.Code.from_asset("function"),
            layers=[library],
            environment={"SECRET_ID": secret.secret_arn},
        )
        secret.grant_read(function)
        keyturn.grant_read(function)


app = App()
Orders(app, "orders")
app.synth()
