"""What is run before a service starts, for real: in order, again when it failed, also when its daemon was killed."""

from __future__ import annotations

import signal

import pytest

from tests.end_to_end.host import DIFFERENT, Host

pytestmark = [pytest.mark.root, pytest.mark.host]

STEPS = """
services:
  web:
    image: ${REGISTRY}/sleeper:1
    command: ["sh", "-c", "echo started >> /data/log; exec sleep 1000"]
    init: true
    restart: always
    volumes: ["data:/data"]
    environment: {WHO: web}
    depends_on: [db]
    pre_start:
      - command:
          - sh
          - -c
          - echo first $$WHO >> /data/log; until wget -q -O - http://db:80/ 2>&1 | grep -q error; do sleep 0.1; done
        environment: {WHO: step}
      - image: ${REGISTRY}/sleeper:1
        command: ["sh", "-c", "test -e /data/go || { echo no go; sleep 1; exit 7; }; echo second >> /data/log"]
  db:
    image: ${REGISTRY}/sleeper:1
    command: ["httpd", "-f", "-p", "80"]
    restart: always
volumes: {data: {}}
"""
RUNS = ("steps-db-1", "steps-web-1")


def log(host: Host) -> list[str]:
    file = host.machine.state / "volumes/steps_data/log"
    return file.read_text().splitlines() if file.exists() else []


def test_steps_run_in_order_until_they_succeed_and_leave_nothing(host: Host) -> None:
    host.write("steps.yaml", STEPS)
    host.start()
    why = '; it exited with code 7: "no go"'
    host.until(lambda: why in host.reconciler("plan", code=DIFFERENT), "why it waits is told")
    assert log(host) == ["first step"]
    host.end(signal.SIGKILL)
    (host.machine.state / "volumes/steps_data/go").touch()
    host.start()
    host.until_converged(*RUNS)
    assert log(host) == ["first step", "second", "started"]
    host.kill("steps-web-1")
    host.until(lambda: len(log(host)) == 4, "it is started again")
    host.reboot()
    host.until(lambda: len(log(host)) == 5, "it is started once more")
    host.until_converged(*RUNS)
    assert log(host)[2:] == ["started"] * 3
    assert len(list((host.machine.state / "containers").iterdir())) == 2
    host.write("steps.yaml", STEPS.replace("WHO: web", "WHO: other"))
    host.until(lambda: log(host)[5:] == ["first step", "second", "started"], "a new revision is prepared")
    host.until_converged(*RUNS)
