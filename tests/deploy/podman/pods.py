"""A pod of deploy/kubernetes as a container of podman: what its manifest allows it, and what a kubelet does to it by its numbers."""

import signal
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.podman.containers import Container
from tests.system.serving import ROOT

FOLDER = ROOT / "deploy/kubernetes"


def deployment() -> dict[str, Any]:
    """The pod's spec."""
    return yaml.safe_load((FOLDER / "base/deployment.yaml").read_text())["spec"]["template"]["spec"]


def predictor() -> dict[str, Any]:
    """KServe's, with its fields beside those of a pod."""
    return yaml.safe_load((FOLDER / "kserve/inferenceservice.yaml").read_text())["spec"]["predictor"]


def options(spec: Mapping[str, Any], folder: Path) -> list[str]:
    """Options of `podman run` for the pod's one container. folder: what its emptyDir is on the node."""
    (container,) = spec["containers"]
    pod, own = spec["securityContext"], container["securityContext"]
    (volume,) = spec["volumes"]
    (mount,) = container["volumeMounts"]
    assert "emptyDir" in volume
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, "which is podman's own, without an option"
    folder.mkdir(exist_ok=True)
    # As Kubernetes gives it to fsGroup.
    subprocess.run(["chown", f"root:{pod['fsGroup']}", folder], check=True)
    folder.chmod(0o2777)
    limits = container["resources"]["limits"]
    return [
        f"--user={pod['runAsUser']}:{pod['runAsGroup']}",
        f"--memory={limits['memory'].replace('Gi', 'g')}",
        f"--cpus={limits['cpu']}",
        f"--read-only={str(own['readOnlyRootFilesystem']).lower()}",
        # Podman's own, which Kubernetes has not.
        "--read-only-tmpfs=false",
        *(f"--cap-drop={one}" for one in own["capabilities"]["drop"]),
        *["--security-opt=no-new-privileges"] * (not own["allowPrivilegeEscalation"]),
        *(f"--env={variable['name']}={variable['value']}" for variable in container["env"]),
        f"--volume={folder}:{mount['mountPath']}",
    ]


@dataclass(frozen=True)
class Probe:
    """With Kubernetes' own defaults."""

    path: str
    period: float
    timeout: float
    failures: int
    grace: float
    """Seconds from SIGTERM to SIGKILL for what failed it."""

    @classmethod
    def of(cls, spec: Mapping[str, Any], kind: str) -> "Probe":
        (container,) = spec["containers"]
        given = container[f"{kind}Probe"]
        (port,) = (one for one in container["ports"] if one["name"] == given["httpGet"]["port"])
        assert port["containerPort"] == 3000, "where a Container is asked"
        known = {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"}
        assert given.keys() <= known | {"terminationGracePeriodSeconds"}
        grace = given.get("terminationGracePeriodSeconds", spec["terminationGracePeriodSeconds"])
        seconds = (given.get("periodSeconds", 10), given.get("timeoutSeconds", 1))
        return cls(given["httpGet"]["path"], *seconds, given.get("failureThreshold", 3), grace)

    def succeeds(self, one: Container) -> bool:
        try:
            return one.get(self.path, seconds=self.timeout).is_success
        except httpx.TransportError:
            return False

    def asks(self, one: Container, until: bool, most: int = 100) -> float:
        """Asks, as often as a kubelet does, until it would think that of the container. Returns the seconds.

        most: as often as that; more is an error.
        """
        begun, in_a_row = time.monotonic(), 0
        for asked in range(1, most + 1):
            in_a_row = in_a_row + 1 if self.succeeds(one) == until else 0
            if in_a_row == (1 if until else self.failures):
                return time.monotonic() - begun
            time.sleep(max(0.0, begun + asked * self.period - time.monotonic()))
        raise AssertionError(f"{self} was asked {most} times: {one.engine.said(one.name)}")


@dataclass
class End:
    """What a kubelet and a client saw of a container that was ended, in seconds from the beginning."""

    unready: float
    """It was thought not ready."""
    answered: float
    """All that was asked until then was answered with an image."""
    over: float
    status: int


def end(one: Container, spec: Mapping[str, Any]) -> End:
    """preStop and SIGTERM, SIGKILL when the grace period is over; meanwhile a client goes on asking."""
    begun = time.monotonic()

    def stop() -> float:
        _stop(one, spec, spec["terminationGracePeriodSeconds"])
        return time.monotonic() - begun

    answered, is_answering = 0.0, True
    with ThreadPoolExecutor(2) as pool:
        unready = pool.submit(Probe.of(spec, "readiness").asks, one, False)
        over = pool.submit(stop)
        while is_answering and not over.done():
            try:
                is_answering = one.post("/v1/samples", seed=1).is_success
            except httpx.TransportError:
                is_answering = False
            answered = time.monotonic() - begun if is_answering else answered
    return End(unready.result(), answered, over.result(), one.engine.state(one.name)["ExitCode"])


def _stop(one: Container, spec: Mapping[str, Any], grace: float) -> None:
    (container,) = spec["containers"]
    begun = time.monotonic()
    one.engine.check("exec", one.name, *container["lifecycle"]["preStop"]["exec"]["command"])
    left = max(0.0, grace - (time.monotonic() - begun))
    one.engine.check("stop", "--time", round(left), one.name, seconds=left + 30)


def mended(one: Container, spec: Mapping[str, Any]) -> float:
    """Seconds until what hangs has failed its liveness, was ended for it and is started again, with the /tmp that it had."""
    begun, alive = time.monotonic(), Probe.of(spec, "liveness")
    alive.asks(one, False, most=alive.failures)
    _stop(one, spec, alive.grace)
    assert one.engine.state(one.name)["ExitCode"] == 128 + signal.SIGKILL, "it ended by itself"
    one.engine.check("start", one.name)
    return time.monotonic() - begun
