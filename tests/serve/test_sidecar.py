"""docs/sidecar.md: what deploys the endpoint beside an application is right, by whatever can judge it here.

botocore judges the ECS task definition, systemd the unit, and hadolint and kubernetes-validate the rest. The
last two are installed by `make sidecar`; without them, or without systemd, their tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import botocore.session
import click
import pytest
import yaml
from botocore.validate import ParamValidator

from keyturn.cli.serve import command
from keyturn.serve.tokens import found_token
from tests.docs.pages import blocks

PAGE: Final = "docs/sidecar.md"
KUBERNETES: Final = ("1.29.0", "1.37.0")
EXPOSURE_MAX: Final = 20
"""The exposure that systemd may see in the unit, of 100: it counts what a program could do and need not."""

Container = Mapping[str, object]


def block(language: str, at: int = 0, page: str = PAGE) -> str:
    """Return one of the page's blocks in a language."""
    return [one.text for one in blocks(page) if one.language == language][at]


def task() -> dict[str, object]:
    """Return the ECS task definition."""
    return cast("dict[str, object]", json.loads(block("json")))


def pod() -> Mapping[str, object]:
    """Return the specification of the pod."""
    manifests = list(yaml.safe_load_all(block("yaml")))
    assert ["ServiceAccount", "Deployment"] == [one["kind"] for one in manifests]
    return cast("Mapping[str, object]", manifests[1]["spec"]["template"]["spec"])


def listed(value: object) -> list[Container]:
    """Return a list of mappings as one."""
    assert isinstance(value, list)
    return value


def unit(page: str = PAGE) -> dict[str, list[str]]:
    """Return the settings of the systemd unit: each may stand there several times."""
    found: dict[str, list[str]] = {}
    for line in block("ini", page=page).splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def tool(name: str) -> str:
    """Return where a program is. Without it the test is skipped, or fails where it is required."""
    found = shutil.which(name)
    if found is None and os.environ.get("KEYTURN_TEST_SIDECAR") == "required":
        pytest.fail(f"{name} is not installed")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def said(*words: str) -> str:
    """Return what a program says; it must be content."""
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


# ECS


def test_ecs_takes_the_task_definition() -> None:
    """Every name, type and bound is as RegisterTaskDefinition wants it, and nothing needed is missing."""
    model = botocore.session.get_session().get_service_model("ecs")
    shape = model.operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    report = ParamValidator().validate(task(), shape)
    assert not report.has_errors(), report.generate_report()
    wrong = ParamValidator().validate(task() | {"cpu": 512}, shape)
    assert wrong.has_errors()


def test_the_application_waits_for_an_endpoint_that_is_ready() -> None:
    """It depends on the health of a container that has a check; both have one token."""
    keyturn, orders = listed(task()["containerDefinitions"])
    assert [{"containerName": keyturn["name"], "condition": "HEALTHY"}] == orders["dependsOn"]
    assert "/ready" in str(keyturn["healthCheck"])
    assert keyturn["secrets"] == orders["secrets"]
    assert int(str(keyturn["memory"])) < int(str(task()["memory"]))


# Kubernetes


def test_the_sidecar_is_native_and_locked_down() -> None:
    """An init container that goes on, with probes, resources, and no right that it does not need."""
    (sidecar,) = listed(pod()["initContainers"])
    (orders,) = listed(pod()["containers"])
    assert "Always" == sidecar["restartPolicy"]
    security = cast("Mapping[str, object]", sidecar["securityContext"])
    assert {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True} == {
        name: security[name] for name in ("allowPrivilegeEscalation", "readOnlyRootFilesystem")
    }
    assert {"drop": ["ALL"]} == security["capabilities"]
    assert cast("Mapping[str, object]", pod()["securityContext"])["runAsNonRoot"] is True
    assert {"requests", "limits"} == set(cast("Mapping[str, object]", sidecar["resources"]))
    paths = {name: str(sidecar[name]) for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert ["/ready", "/ready", "/ping"] == [
        next(path for path in ("/ready", "/ping") if path in asked) for asked in paths.values()
    ]
    volumes = {one["name"] for one in listed(pod()["volumes"])}
    assert {one["name"] for each in (sidecar, orders) for one in listed(each["volumeMounts"])} == volumes


@pytest.mark.proof
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(tmp_path: Path, version: str) -> None:
    """By its own schemas, the oldest with native sidecars by default and the newest; strict."""
    manifests = tmp_path / "orders.yaml"
    manifests.write_text(block("yaml"))
    said(tool("kubernetes-validate"), "--strict", "-k", version, str(manifests))


@pytest.mark.proof
def test_the_image_is_as_hadolint_wants_it(tmp_path: Path) -> None:
    """Not one finding, of whatever severity."""
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(block("dockerfile"))
    assert said(tool("hadolint"), "--no-color", str(dockerfile)) == ""


def test_the_image_gets_signals_and_is_no_root() -> None:
    """Its entry point is a list, so that no shell stands in between; a number names its user."""
    lines = block("dockerfile").splitlines()
    assert 'ENTRYPOINT ["keyturn", "serve"]' in lines
    assert "USER 65532:65532" in lines


# systemd


@pytest.mark.parametrize("page", [PAGE, "docs/serve.md"])
def test_systemd_takes_the_unit(tmp_path: Path, page: str) -> None:
    """No setting is unknown or wrong. Only the program's path is replaced, which is not there."""
    analyze = tool("systemd-analyze")
    text = block("ini", page=page).replace("/opt/keyturn/bin/keyturn", "/bin/true")
    file = tmp_path / "keyturn.service"
    file.write_text(text)
    assert "" == said(analyze, "verify", "--man=no", str(file))
    file.write_text(text.replace("DynamicUser=", "DynamiteUser="))
    answer = subprocess.run([analyze, "verify", "--man=no", str(file)], capture_output=True, check=False)
    assert b"DynamiteUser" in answer.stderr


def test_the_unit_leaves_the_endpoint_few_rights(tmp_path: Path) -> None:
    """By systemd's own measure."""
    file = tmp_path / "keyturn.service"
    file.write_text(block("ini"))
    said(tool("systemd-analyze"), "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", str(file))


def test_the_token_of_the_unit_stays(tmp_path: Path) -> None:
    """Made at the first start, good for the endpoint, and for its group alone; the next start leaves it."""
    (line,) = unit()["ExecStartPre"]
    group = str(os.getgid())
    script = line.partition("'")[2].rpartition("'")[0]
    script = script.replace("/etc/keyturn", str(tmp_path)).replace("chgrp secrets", f"chgrp {group}")
    tokens = []
    for _ in range(2):
        said("/bin/sh", "-c", script)
        tokens.append((tmp_path / "token").read_text())
    first, second = tokens
    assert first == second
    assert 0o640 == (tmp_path / "token").stat().st_mode & 0o777
    assert ["token"] == [one.name for one in tmp_path.iterdir()]
    token = found_token({"AWS_TOKEN": f"file://{tmp_path}/token"}, lambda: 0.0)
    assert token.matches([first.strip().encode()])


# All of them


def probes() -> Mapping[str, Sequence[str]]:
    """Return the command of each probe by what it asks for; the same for all that are on the page."""
    (sidecar,) = listed(pod()["initContainers"])
    keyturn = listed(task()["containerDefinitions"])[0]
    found = [cast("Mapping[str, Sequence[str]]", keyturn["healthCheck"])["command"][1:]]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = cast("Mapping[str, Mapping[str, Sequence[str]]]", sidecar[name])
        found.append(probe["exec"]["command"])
    _, _, image = block("dockerfile").partition("CMD ")
    found.append(json.loads(image.partition("\n")[0]))
    ready, ping = found[0], found[-2]
    assert [ready, ready, ready, ping, ready] == found
    return {"/ready": ready, "/ping": ping}


def test_all_probes_ask_the_same() -> None:
    """The image, the task and the pod have one command for /ready, and /ping is asked whether it is alive."""
    for path, command_line in probes().items():
        assert ["python", "-c"] == list(command_line[:2])
        compile(command_line[2], "probe", "exec")
        assert f"http://localhost:2773{path}" in command_line[2]


def environments() -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the variables of each endpoint."""
    keyturn = listed(task()["containerDefinitions"])[0]
    pairs = [*listed(keyturn["environment"]), *listed(keyturn["secrets"])]
    yield "ECS", {str(one["name"]): one.get("value", one.get("valueFrom")) for one in pairs}
    sidecar = listed(pod()["initContainers"])[0]
    yield "Kubernetes", {str(one["name"]): one["value"] for one in listed(sidecar["env"])}
    yield "compose", yaml.safe_load(block("yaml", 1))["services"]["keyturn"]["environment"]
    for page in (PAGE, "docs/serve.md"):
        settings = [one.partition("=") for line in unit(page)["Environment"] for one in line.split()]
        yield page, {name: value for name, _, value in settings}


def commands() -> Iterator[Sequence[str]]:
    """Yield the arguments of each `keyturn serve`."""
    yield cast("list[str]", listed(task()["containerDefinitions"])[0]["command"])
    yield cast("list[str]", listed(pod()["initContainers"])[0]["args"])
    for page in (PAGE, "docs/serve.md"):
        (line,) = unit(page)["ExecStart"]
        program, *arguments = line.split()
        assert ("/opt/keyturn/bin/keyturn", "serve") == (program, arguments[0])
        yield arguments[1:]


def test_every_endpoint_has_a_region_and_a_table() -> None:
    """And a token, but for the one on a unix socket. AWS_REGION is the name that all SDKs know."""
    found = dict(environments())
    assert 5 == len(found)
    for name, environment in found.items():
        needed = {"AWS_REGION", "KEYTURN_MARKER_TABLE"} | (
            set() if name == "docs/serve.md" else {"AWS_TOKEN"}
        )
        assert needed == needed & environment.keys(), name


def test_every_option_is_known() -> None:
    """`keyturn serve` parses the arguments that are given to it."""
    for arguments in commands():
        with click.Context(command) as context:
            command.make_parser(context).parse_args(list(arguments))
