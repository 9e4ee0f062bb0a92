"""RabbitMQ and Mosquitto."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from tests.servers.others import RabbitMq, mosquitto, rabbitmq
from tests.servers.process import LOCALHOST, debian_version
from tests.verdicts.cases import RIGHT, WRONG, Door, Driver, Server, Situation
from tests.verdicts.silence import silent


def _pika(door: Door) -> None:
    import pika  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    parameters = pika.ConnectionParameters(
        LOCALHOST,
        door.port,
        door.database,
        pika.PlainCredentials(door.user, door.password),
        blocked_connection_timeout=2,
        socket_timeout=2,
        stack_timeout=2,
    )
    connection = pika.BlockingConnection(parameters)
    try:
        connection.channel().queue_declare(door.command, passive=True)
    finally:
        if connection.is_open:
            connection.close()


def _aio_pika(door: Door) -> None:
    import aio_pika  # type: ignore[import-not-found,unused-ignore] # of the group `servers`

    async def run() -> None:
        connection = await aio_pika.connect(
            host=LOCALHOST,
            port=door.port,
            login=door.user,
            password=door.password,
            virtualhost=door.database,
            timeout=2,
        )
        async with connection:
            channel = await connection.channel()
            await channel.get_queue(door.command)

    asyncio.run(run())


def _amqp(door: Door) -> None:
    import amqp  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    connection = amqp.Connection(
        f"{LOCALHOST}:{door.port}",
        userid=door.user,
        password=door.password,
        login_method="PLAIN",
        virtual_host=door.database,
        connect_timeout=2,
        read_timeout=2,
    )
    with connection:
        connection.channel().queue_declare(door.command, passive=True)


def _paho(door: Door) -> None:
    import paho.mqtt.client as mqtt  # type: ignore[import-not-found,import-untyped,unused-ignore] # of the group `servers`

    answers: list[object] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(door.user, door.password)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason)
    client.connect(LOCALHOST, door.port)
    for _ in range(50):
        if answers:
            break
        client.loop(0.1)
    client.disconnect()
    for reason in answers:
        if getattr(reason, "is_failure", False):
            raise MqttRefusedError(getattr(reason, "value", 0), str(reason))


class MqttRefusedError(Exception):
    """What a program raises that takes the reason from `on_connect`: paho itself raises nothing."""


RABBIT: Final = (
    Driver("pika", _pika),
    Driver("aio-pika", _aio_pika),
    Driver("amqp", _amqp, "amqp (Celery)"),
)


def rabbit() -> Iterator[Server]:
    """Yield RabbitMQ."""
    with rabbitmq() as server, silent() as port_of_silence:
        _prepare(server)
        hidden = {str(server.port): "5672", str(port_of_silence): "5672"}
        title = f"RabbitMQ {debian_version('rabbitmq-server')}"
        yield Server(title, RABBIT, tuple(_situations(server.port, port_of_silence)), hidden)


def _prepare(server: RabbitMq) -> None:
    server.control("add_user", "app", RIGHT)
    server.control("add_user", "limited", RIGHT)
    server.control("add_vhost", "forbidden")
    for user in ("app", "limited"):
        server.control("set_permissions", user, "app.*", "app.*", "app.*")
    server.control("set_user_limits", "limited", '{"max-connections": 0}')


def _situations(port: int, port_of_silence: int) -> Iterator[Situation]:
    door = partial(Door, port, database="/", command="app-queue")
    yield Situation("wrong password", door(password=WRONG), refused=True)
    yield Situation("unknown user", door("nobody"), refused=True)
    yield Situation("too many connections", door("limited"), refused=False)
    yield Situation("unknown database", door(database="missing"), refused=False, why="a virtual host")
    yield Situation("no right", door(database="forbidden"), refused=False, why="to the virtual host")
    yield Situation("no right", door(command="other-queue"), refused=False, why="to the queue")
    yield Situation("down", Door(1, database="/"), refused=False)
    yield Situation("no answer", Door(port_of_silence, database="/"), refused=False)


def mqtt() -> Iterator[Server]:
    """Yield Mosquitto."""
    with ExitStack() as stack:
        port = stack.enter_context(mosquitto("app", RIGHT))
        why = "paho raises nothing: the application has to raise its own error, and to recognise it"
        situations = (
            Situation("wrong password", Door(port, password=WRONG), refused=False, why=why),
            Situation("unknown user", Door(port, "nobody"), refused=False, why=why),
            Situation("down", Door(1), refused=False),
        )
        yield Server(
            f"Mosquitto {debian_version('mosquitto')}",
            (Driver("paho-mqtt", _paho),),
            situations,
            {str(port): "1883"},
        )
