"""For each cause that the doctor names: how it comes about. The page's words then have to mend it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from keyturn.aws.faults import Fault, FaultKind
from keyturn.cli.doctor.finding import Cause, RefusedCallError
from keyturn.testing.embedded import LOCALHOST, free_port
from tests.runbook.world import HEAD, SECRET, World

OTHER = "other-table"
REPORTS = "reports"
REGION_ELSEWHERE = "ap-southeast-2"
TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


def nothing(_world: World) -> None:
    """Nobody else does anything."""


@dataclass(frozen=True)
class Story:
    """How a cause comes about, and what happens after the page's commands were typed.

    `options` are the doctor's. `after` is what the page leaves to time, to other people or to the network.
    """

    breaks: Callable[[World], None]
    after: Callable[[World], None] = nothing
    options: Callable[[World], tuple[str, ...]] = lambda _world: ()


def calm(world: World) -> None:
    """Time passes, or somebody mended the network."""
    world.answers.clear()
    world.skew_s, world.within_s = 0.0, 10.0


def unset_region(world: World) -> None:
    """The shell has no Region."""
    world.type("unset AWS_REGION AWS_DEFAULT_REGION")


def lose_a_name(world: World) -> None:
    """A name that no name server has stands for a VPC without DNS."""
    world.of_doctor["AWS_ENDPOINT_URL_DYNAMODB"] = "http://dynamodb.invalid"
    network = world.session.client("ec2").create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    world.export(VPC=network)


def find_the_name(world: World) -> None:
    """What the name server of the VPC then does."""
    world.of_doctor.clear()


def go_through_a_proxy(world: World) -> None:
    """A proxy that nobody named in NO_PROXY."""
    world.of_doctor["HTTP_PROXY"] = f"http://{LOCALHOST}:{free_port()}"
    world.export(HOSTS=f"{LOCALHOST},169.254.169.254")


def name_by_arn(world: World) -> None:
    """The variable has the table's ARN, and the clients are in another Region."""
    region, table = world.start["AWS_REGION"], world.start["TABLE"]
    arn = f"arn:aws:dynamodb:{region}:000000000000:table/{table}"
    world.export(KEYTURN_MARKER_TABLE=arn, AWS_REGION=REGION_ELSEWHERE, AWS_DEFAULT_REGION=REGION_ELSEWHERE)


def name_of_a_stranger(world: World) -> None:
    """A table of the same name in another account."""
    region, table = world.start["AWS_REGION"], world.start["TABLE"]
    world.export(KEYTURN_MARKER_TABLE=f"arn:aws:dynamodb:{region}:444455556666:table/{table}")


def delete_table(world: World) -> None:
    """Somebody took off its protection, and deleted it."""
    table = world.start["TABLE"]
    world.dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    world.dynamodb.delete_table(TableName=table)


def make_table(world: World, name: str, key: str) -> None:
    """A table with this text as its only key."""
    world.dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def name_a_table_of_others(world: World) -> None:
    """The variable names a table that is not keyturn's."""
    make_table(world, "orders", "id")
    world.export(KEYTURN_MARKER_TABLE="orders")


def name_another_marker_table(world: World) -> None:
    """The variable names a marker table that no listener writes."""
    make_table(world, OTHER, "pk")
    world.export(KEYTURN_MARKER_TABLE=OTHER)


def answer_that_it_is_created(world: World) -> None:
    """The emulator makes tables at once, so the answer is replaced."""
    table = world.dynamodb.describe_table(TableName=world.start["TABLE"])
    answer = {"Table": {**table["Table"], "TableStatus": "CREATING"}}
    world.answers["dynamodb:DescribeTable"] = lambda: answer


def empty_table(world: World) -> None:
    """As in a table that was just made."""
    table = world.start["TABLE"]
    for item in world.dynamodb.scan(TableName=table)["Items"]:
        world.dynamodb.delete_item(TableName=table, Key={"pk": item["pk"]})


def set_head(world: World, **attributes: Mapping[str, str]) -> None:
    """Change attributes of the head behind everybody's back."""
    item = world.dynamodb.get_item(TableName=world.start["TABLE"], Key=HEAD)["Item"]
    world.dynamodb.put_item(TableName=world.start["TABLE"], Item={**item, **attributes})


def garble_head(world: World) -> None:
    """A head that was swept in an hour."""
    set_head(world, swept_as_of_s={"N": str(time.time() + 3600)})


def forget_sweeps(world: World) -> None:
    """As it is where an announcement made the head."""
    world.dynamodb.update_item(
        TableName=world.start["TABLE"], Key=HEAD, UpdateExpression="REMOVE swept_as_of_s"
    )


def stop_sweeps(world: World) -> None:
    """The last sweep was two hours ago."""
    set_head(world, swept_as_of_s={"N": str(time.time() - 7200)})


def lose_a_copy(world: World) -> None:
    """The head says that there are two copies, and there is one."""
    set_head(world, copies={"N": "2"})


def write_as_before(world: World, ago_s: float = 60.0) -> None:
    """The note that the sweep leaves of a writer that moves no slot."""
    set_head(world, untracked={"N": "1"}, untracked_at_s={"N": str(int(time.time() - ago_s))})


def let_a_day_pass(world: World) -> None:
    """The note is as it is a day later, if nothing of that version writes."""
    write_as_before(world, 90_000.0)


def take_off_the_date(world: World) -> None:
    """A proxy passes on the answer without its header."""
    item = world.dynamodb.get_item(TableName=world.start["TABLE"], Key=HEAD)["Item"]
    world.answers["dynamodb:GetItem"] = lambda: {"Item": item}


def turn_the_clock(world: World) -> None:
    """This host is two minutes ahead."""
    world.skew_s = 120.0


def set_the_clock(world: World) -> None:
    """What the page's command did, which is not for a test to do."""
    assert "chronyc makestep" in (world.folder / "sudo").read_text()
    calm(world)


def delete_rule(resource: str) -> Callable[[World], None]:
    """Somebody deletes this rule of the stack."""

    def delete(world: World) -> None:
        remove_target(resource)(world)
        world.events.delete_rule(Name=world.part(resource))

    return delete


def remove_target(resource: str) -> Callable[[World], None]:
    """Somebody takes the target off this rule of the stack."""

    def remove(world: World) -> None:
        world.events.remove_targets(Rule=world.part(resource), Ids=["listener"])

    return remove


def disable_rule(world: World) -> None:
    """Somebody disables the rule of the native events."""
    world.events.disable_rule(Name=world.part("SecretLabelUpdated"))


def remove_permission(world: World) -> None:
    """Of the native events' rule alone, by whatever id it has."""
    function, rule = world.start["FUNCTION"], world.part("SecretLabelUpdated")
    policy = json.loads(world.functions.get_policy(FunctionName=function)["Policy"])
    for one in policy["Statement"]:
        if rule in json.dumps(one):
            world.functions.remove_permission(FunctionName=function, StatementId=one["Sid"])


def delete_function(world: World) -> None:
    """Somebody deletes the listener. Its code is still in the bucket."""
    world.functions.delete_function(FunctionName=world.start["FUNCTION"])
    world.export(BUCKET="code", KEY="listener.zip")


def want_a_trail(world: World) -> None:
    """There is none yet."""
    world.export(TRAIL_BUCKET="trails")


def make_reports(world: World) -> None:
    """A convergence table without Time to Live."""
    if REPORTS in world.dynamodb.list_tables()["TableNames"]:
        world.dynamodb.delete_table(TableName=REPORTS)
    make_table(world, REPORTS, "pk")
    world.export(KEYTURN_CONVERGENCE_TABLE=REPORTS)


def mistype_the_secret(world: World) -> None:
    """The name that is asked for is of no secret."""
    world.export(SECRET="prod/bd")


def take_the_listed_name(world: World) -> None:
    """The reader of the page takes a name that it listed."""
    world.export(SECRET=SECRET)


def the_secret(world: World) -> tuple[str, ...]:
    """The doctor is asked about the secret."""
    return ("--secret", world.named("SECRET"))


def become_a_reader_without_rights(world: World) -> None:
    """The doctor runs with a role that has no policy."""
    iam, sts = world.session.client("iam"), world.session.client("sts")
    arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    got = sts.assume_role(RoleArn=arn, RoleSessionName="reader")["Credentials"]
    world.of_doctor |= {
        "AWS_ACCESS_KEY_ID": got["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"],
        "AWS_SESSION_TOKEN": got["SessionToken"],
    }
    world.export(SECRET=SECRET, READER="reader")


def log_out(world: World) -> None:
    """No credentials but those of a profile that nobody chose."""
    file = world.folder / "credentials"
    keys = {
        "aws_access_key_id": "AWS_ACCESS_KEY_ID",
        "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "aws_session_token": "AWS_SESSION_TOKEN",
    }
    lines = [f"{field} = {world.start[name]}" for field, name in keys.items()]
    file.write_text("\n".join(("[work]", *lines, "")))
    world.export(AWS_SHARED_CREDENTIALS_FILE=str(file), PROFILE="work")
    world.type("unset " + " ".join(keys.values()))


def close_the_way(world: World) -> None:
    """A closed port stands for a network without a way to DynamoDB."""
    world.of_doctor["AWS_ENDPOINT_URL_DYNAMODB"] = f"http://{LOCALHOST}:{free_port()}"
    ec2 = world.session.client("ec2")
    network = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    routes = ec2.create_route_table(VpcId=network)["RouteTable"]["RouteTableId"]
    world.export(VPC=network, ROUTES=routes)


def open_the_way(world: World) -> None:
    """What the endpoint does in AWS's network."""
    ec2 = world.session.client("ec2")
    made = [one["ServiceName"] for one in ec2.describe_vpc_endpoints()["VpcEndpoints"]]
    assert any(name.endswith(".dynamodb") for name in made), made
    world.of_doctor.clear()


def refuse(kind: FaultKind, code: str, status: int) -> Callable[[World], None]:
    """Secrets Manager refuses the call in this way."""

    def answer() -> Mapping[str, object]:
        raise RefusedCallError("secretsmanager:ListSecrets", Fault(kind, code, "", status))

    def refused(world: World) -> None:
        world.answers["secretsmanager:ListSecrets"] = answer

    return refused


def hang(world: World) -> None:
    """Secrets Manager has no answer in time."""

    def answer() -> Mapping[str, object]:
        threading.Event().wait(5.0)
        return {}

    world.within_s = 2.0
    world.answers["secretsmanager:ListSecrets"] = answer


STORIES: Final[Mapping[Cause, Story]] = {
    Cause.NO_CLIENT: Story(unset_region),
    Cause.NAME_NOT_RESOLVED: Story(lose_a_name, find_the_name),
    Cause.BY_PROXY: Story(go_through_a_proxy),
    Cause.OTHER_REGION: Story(name_by_arn),
    Cause.OTHER_ACCOUNT: Story(name_of_a_stranger),
    Cause.NO_TABLE: Story(delete_table),
    Cause.OTHER_KEY: Story(name_a_table_of_others),
    Cause.TABLE_NOT_ACTIVE: Story(answer_that_it_is_created, calm),
    Cause.NO_HEAD: Story(empty_table),
    Cause.MISSHAPEN_HEAD: Story(garble_head),
    Cause.NEVER_SWEPT: Story(forget_sweeps),
    Cause.SWEEP_STOPPED: Story(stop_sweeps),
    Cause.COPY_NOT_SWEPT: Story(lose_a_copy),
    Cause.EARLIER_WRITER: Story(write_as_before, let_a_day_pass),
    Cause.NO_DATE: Story(take_off_the_date, calm),
    Cause.WRONG_CLOCK: Story(turn_the_clock, set_the_clock),
    Cause.NO_RULE: Story(delete_rule("SecretLabelUpdated")),
    Cause.NO_SCHEDULE: Story(delete_rule("Sweep")),
    Cause.RULE_DISABLED: Story(disable_rule),
    Cause.NO_TARGET: Story(remove_target("SecretLabelUpdated")),
    Cause.OTHER_TABLE: Story(name_another_marker_table),
    Cause.NO_PERMISSION: Story(remove_permission),
    Cause.NO_TRAIL: Story(want_a_trail),
    Cause.NO_EXPIRY: Story(make_reports),
    Cause.MISSING_SECRET: Story(mistype_the_secret, take_the_listed_name, the_secret),
    Cause.DENIED: Story(become_a_reader_without_rights, options=the_secret),
    Cause.NO_CREDENTIALS: Story(log_out),
    Cause.NO_ANSWER: Story(close_the_way, open_the_way),
    Cause.THROTTLED: Story(refuse(FaultKind.THROTTLED, "ThrottlingException", 400), calm),
    Cause.FAILED: Story(refuse(FaultKind.REFUSED, "ValidationException", 400), calm),
    Cause.NOT_LOOKED_AT: Story(hang, calm),
    # The last, since it makes the stack anew.
    Cause.NO_FUNCTION: Story(delete_function),
}
"""Cause -> its story, in the order in which they are told."""

WITHOUT_COMMANDS: Final = frozenset(
    {Cause.EARLIER_WRITER, Cause.NO_DATE, Cause.THROTTLED, Cause.FAILED, Cause.NOT_LOOKED_AT}
)
"""Causes whose section has no command: it is an upgrade, a proxy of others, or time that mends them."""
