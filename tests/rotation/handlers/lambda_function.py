"""A rotation function in the manner of AWS's templates for PostgreSQL: it knows nothing of keyturn.

One handler checks the token and leads to four functions, which look at the secret and at the database.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import boto3
import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def lambda_handler(event: dict[str, str], context: object) -> None:
    """Do one step."""
    arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ["SECRETS_MANAGER_ENDPOINT"]
    client = boto3.client("secretsmanager", endpoint_url=endpoint)
    metadata = client.describe_secret(SecretId=arn)
    if not metadata.get("RotationEnabled"):
        raise ValueError(f"Secret {arn} is not enabled for rotation.")
    stages = metadata["VersionIdsToStages"].get(token, [])
    if "AWSCURRENT" in stages:
        return
    # AWS stages the token before createSecret; an emulator does not.
    if "AWSPENDING" not in stages and (step != "createSecret" or stages):
        raise ValueError(f"Secret version {token} not set as AWSPENDING for rotation of secret {arn}.")
    steps = {
        "createSecret": create_secret,
        "setSecret": set_secret,
        "testSecret": use_secret,
        "finishSecret": finish_secret,
    }
    steps[step](client, arn, token)


def create_secret(client: SecretsManagerClient, arn: str, token: str) -> None:
    """Store a new password, unless it is stored."""
    current = value_of(client, arn, "AWSCURRENT")
    try:
        value_of(client, arn, "AWSPENDING", token)
    except client.exceptions.ResourceNotFoundException:
        password = client.get_random_password(ExcludeCharacters="/@\"'\\")["RandomPassword"]
        client.put_secret_value(
            SecretId=arn,
            ClientRequestToken=token,
            SecretString=json.dumps(current | {"password": password}),
            VersionStages=["AWSPENDING"],
        )


def set_secret(client: SecretsManagerClient, arn: str, token: str) -> None:
    """Give it to the server."""
    pending = value_of(client, arn, "AWSPENDING", token)
    if connected(pending):
        return
    for stage in ("AWSCURRENT", "AWSPREVIOUS"):
        connection = connected(value_of(client, arn, stage))
        if connection:
            statement = sql.SQL("ALTER USER {} WITH PASSWORD {}")
            user, password = sql.Identifier(pending["username"]), sql.Literal(pending["password"])
            with connection:
                connection.execute(statement.format(user, password))
            return
    raise ValueError(f"Unable to log into database with previous, current, or pending secret of {arn}.")


def use_secret(client: SecretsManagerClient, arn: str, token: str) -> None:
    """Log in with it."""
    if not connected(value_of(client, arn, "AWSPENDING", token)):
        raise ValueError(f"Unable to log into database with pending secret of secret ARN {arn}.")


def finish_secret(client: SecretsManagerClient, arn: str, token: str) -> None:
    """Move the label."""
    for version, stages in client.describe_secret(SecretId=arn)["VersionIdsToStages"].items():
        if "AWSCURRENT" in stages and version != token:
            client.update_secret_version_stage(
                SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=version
            )


def value_of(client: SecretsManagerClient, arn: str, stage: str, token: str | None = None) -> dict[str, str]:
    """Read a version of the secret."""
    version = {"VersionId": token} if token else {}
    text = client.get_secret_value(SecretId=arn, VersionStage=stage, **version)["SecretString"]
    value: dict[str, str] = json.loads(text)
    return value


def connected(value: dict[str, str]) -> psycopg.Connection | None:
    """Log in, or find that it fails for whatever reason."""
    try:
        return psycopg.connect(
            host=value["host"],
            port=value["port"],
            dbname=value["dbname"],
            user=value["username"],
            password=value["password"],
            connect_timeout=5,
        )
    except psycopg.OperationalError:
        return None
