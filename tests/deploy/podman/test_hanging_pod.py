"""A pod of deploy/kubernetes whose workers hang, as a container of podman, and one beside it that is well."""

from concurrent.futures import ThreadPoolExecutor, wait

from tests.deploy.podman import containers, pods

FAKE = "--env=GANSERVE_ENGINE=fake"
HANG = "import psutil; [one.suspend() for one in psutil.process_iter() if one.name() == 'ganserve-worker']"
BETWEEN_SECONDS = 0.2


def test_a_pod_that_hangs_is_started_again_within_its_manifests_numbers_and_the_other_goes_on(
    engine, tmp_path
):
    spec = pods.deployment()
    startup, alive, ready = (pods.Probe.of(spec, kind) for kind in ("startup", "liveness", "readiness"))
    with (
        containers.started(engine, [*pods.options(spec, tmp_path / "one"), FAKE]) as one,
        containers.started(engine, [*pods.options(spec, tmp_path / "other"), FAKE]) as other,
    ):
        for pod in (one, other):
            startup.asks(pod, True, most=startup.failures)
            ready.asks(pod, True)
        image = one.post("/v1/samples", seed=1).content
        engine.check("exec", one.name, "python", "-c", HANG)
        with ThreadPoolExecutor(1) as pool:
            mended, answers = pool.submit(pods.mended, one, spec), 0
            while wait([mended], timeout=BETWEEN_SECONDS).not_done:
                assert other.post("/v1/samples", seed=1).content == image
                answers += 1
        startup.asks(one, True, most=startup.failures)
        ready.asks(one, True)
        assert one.post("/v1/samples", seed=1).content == image
    assert answers > 20
    # A kubelet asks for the first time within a period of what happened.
    assert mended.result() + alive.period < 60, "it is missed for a minute at most"
