"""The stack is deployed once for all stories of the runbook; each story puts back what it broke."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from keyturn.testing.embedded import EmbeddedAws
from tests.docs.terminal import Terminal
from tests.listener.test_deployed import BUCKET, KEY, deploy
from tests.runbook.world import SECRET, World, first_block, programs
from tools.build_listener import build


@pytest.fixture(scope="module")
def world(guarded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A swept stack with one secret, and a shell in which the page's variables are set."""
    folder = tmp_path_factory.mktemp("runbook")
    path = f"{programs(folder)}{os.pathsep}{os.environ['PATH']}"
    account = {**guarded_aws.environment, "PATH": path, "AWS_PAGER": ""}
    with Terminal(folder, folder, account) as terminal:
        world = World(guarded_aws, folder, terminal)
        storage = world.session.client("s3")
        storage.create_bucket(Bucket=BUCKET)
        storage.put_object(Bucket=BUCKET, Key=KEY, Body=build(folder / KEY))
        storage.create_bucket(Bucket="trails")
        world.session.client("secretsmanager").create_secret(Name=SECRET, SecretString="value")
        deploy(world.session)
        region = guarded_aws.environment["AWS_REGION"]
        world.type(first_block().replace("eu-central-1", region))
        world.start = world.variables
        world.sweep()
        yield world
