"""For each alarm of the template: what brings its metric about, how it is measured, and what names it.

The emulator counts no metrics of services. So a measure does once what the service counts: it invokes the
listener, looks into the queue, or reads the lines that a filter of the stack reads.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from keyturn.aws.answers import mapping, mappings
from keyturn.cli.doctor.finding import Cause
from tests.runbook.findings import disable_rule, remove_permission
from tests.runbook.world import SECRET, World

LONG_MS: Final = 3_600_000.0
"""The age of an event for which there is no execution: it waits until Lambda gives it up."""


@dataclass(frozen=True)
class AlarmStory:
    """How an alarm comes about.

    `measures` returns the value of its metric, counted since a moment in epoch seconds. `cause` is what the
    doctor names meanwhile, and `says` is in the listener's log meanwhile.
    """

    breaks: Callable[[World], None]
    measures: Callable[[World, float], float]
    cause: Cause | None = None
    says: str = ""


def set_an_event_aside(world: World) -> None:
    """As Lambda does after three failures, which takes it minutes."""
    world.session.client("sqs").send_message(QueueUrl=world.start["QUEUE"], MessageBody="{}")


def in_the_queue(world: World, _since_s: float) -> float:
    """The messages that can be received."""
    queues = world.session.client("sqs")
    answer = queues.get_queue_attributes(QueueUrl=world.start["QUEUE"], AttributeNames=["All"])
    held = answer["Attributes"]
    return float(held["ApproximateNumberOfMessages"]) + float(held["ApproximateNumberOfMessagesNotVisible"])


def take_the_rights(world: World) -> None:
    """The role of the listener loses its policy."""
    iam = world.session.client("iam")
    iam.delete_role_policy(RoleName=world.start["ROLE"], PolicyName="listener")


def errors(world: World, _since_s: float) -> float:
    """Of one invocation."""
    return float("FunctionError" in world.sweep())


def given_up(world: World, since_s: float) -> float:
    """Of one event that is tried three times."""
    return float(sum(errors(world, since_s) for _ in range(3)) == 3)


def take_the_executions(world: World) -> None:
    """No execution may run at all."""
    world.functions.put_function_concurrency(
        FunctionName=world.start["FUNCTION"], ReservedConcurrentExecutions=0
    )


def throttles(world: World, _since_s: float) -> float:
    """Of one invocation."""
    try:
        world.sweep()
    except world.functions.exceptions.TooManyRequestsException:
        return 1.0
    return 0.0


def age_ms(world: World, since_s: float) -> float:
    """Of an event that has to wait, or not."""
    return LONG_MS * throttles(world, since_s)


def take_the_queue(world: World) -> None:
    """The role keeps its rights but that to the queue."""
    iam, role = world.session.client("iam"), world.start["ROLE"]
    policy = statements_of_the_role(world)
    kept = [one for one in policy if "sqs:SendMessage" not in json.dumps(one)]
    iam.put_role_policy(
        RoleName=role,
        PolicyName="listener",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": kept}),
    )


def statements_of_the_role(world: World) -> list[Mapping[str, object]]:
    """What the listener's role may do."""
    got = world.session.client("iam").get_role_policy(RoleName=world.start["ROLE"], PolicyName="listener")
    document: object = got["PolicyDocument"]
    parsed: object = json.loads(document) if isinstance(document, str) else document
    return mappings(mapping(parsed).get("Statement"))


def lost_failures(world: World, _since_s: float) -> float:
    """Of one failed event: Lambda sends it with the role's right to this queue, or not."""
    queue = world.start["QUEUE"].rpartition("/")[2]
    may = [one for one in statements_of_the_role(world) if one["Action"] == "sqs:SendMessage"]
    return float(not any(str(one["Resource"]).endswith(f":{queue}") for one in may))


def failed_invocations(world: World, _since_s: float) -> float:
    """Of one event: EventBridge needs the function's permission for this rule."""
    policy = world.functions.get_policy(FunctionName=world.start["FUNCTION"])["Policy"]
    return float(f"rule/{world.part('SecretLabelUpdated')}" not in policy)


def provision(world: World) -> None:
    """Somebody gives the table one unit of each kind."""
    world.dynamodb.update_table(
        TableName=world.start["TABLE"],
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )


def throttled_requests(world: World, _since_s: float) -> float:
    """Of the requests of a fleet: one unit a second is too few, and on demand is enough."""
    table = world.dynamodb.describe_table(TableName=world.start["TABLE"])["Table"]
    return float(table["BillingModeSummary"]["BillingMode"] == "PROVISIONED")


def disable_schedule(world: World) -> None:
    """Nothing tells the listener to sweep."""
    world.events.disable_rule(Name=world.part("Sweep"))


def leases_renewed(world: World, since_s: float) -> float:
    """The lines that the filter of the stack counts: of sweeps that were through."""
    return float(sum(line.get("outcome") == "swept" for line in world.logged(since_s)))


def rotate_unheard(world: World) -> None:
    """With the rule disabled a secret moves, five minutes pass, and the sweep finds the move."""
    disable_rule(world)
    secrets = world.session.client("secretsmanager")
    arn = secrets.describe_secret(SecretId=SECRET)["ARN"]
    secrets.put_secret_value(SecretId=SECRET, SecretString=f"value of {time.time()}")
    key = {"pk": {"S": arn[:-7]}}
    item = world.dynamodb.get_item(TableName=world.start["TABLE"], Key=key)["Item"]
    ago = {"N": str(time.time() - 900)}
    world.dynamodb.put_item(TableName=world.start["TABLE"], Item={**item, "changed_at_s": ago})
    world.sweep()


def found_by_sweep(world: World, since_s: float) -> float:
    """The sum of the field that the filter of the stack reads."""
    return sum(float(str(line.get("found_by_sweep", 0))) for line in world.logged(since_s))


STORIES: Final[Mapping[str, AlarmStory]] = {
    "UndeliveredAlarm": AlarmStory(set_an_event_aside, in_the_queue),
    "ErrorsAlarm": AlarmStory(take_the_rights, errors, says="this role may not use the table"),
    "ThrottlesAlarm": AlarmStory(take_the_executions, throttles),
    "OldEventsAlarm": AlarmStory(take_the_executions, age_ms),
    "DroppedEventsAlarm": AlarmStory(take_the_rights, given_up, says="this role may not use the table"),
    "DestinationAlarm": AlarmStory(take_the_queue, lost_failures),
    "DeliveryAlarm": AlarmStory(remove_permission, failed_invocations, Cause.NO_PERMISSION),
    "TableReadsAlarm": AlarmStory(provision, throttled_requests),
    "TableWritesAlarm": AlarmStory(provision, throttled_requests),
    "LeaseAlarm": AlarmStory(disable_schedule, leases_renewed, Cause.RULE_DISABLED),
    "EventPathAlarm": AlarmStory(rotate_unheard, found_by_sweep, Cause.RULE_DISABLED),
}
"""Name of the alarm in the template -> its story."""
