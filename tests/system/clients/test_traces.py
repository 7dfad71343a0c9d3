"""What a collector gets of a real server: requests that share a pass, over HTTP and gRPC."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tritonclient.grpc as triton

from tests.collector import attributes_of, collecting
from tests.system.serving import free_port, serving
from tests.waiting import wait_until


def test_requests_that_ride_in_one_pass_are_linked_to_it(all_models, tmp_path):
    port = free_port()
    with (
        collecting() as collector,
        serving(
            tmp_path / "home",
            models=all_models,
            engine="onnxruntime",
            threads=1,
            grpc_port=port,
            variables=collector.variables,
        ) as server,
    ):
        seed = triton.InferInput("seed", [1], "INT64")
        seed.set_data_from_numpy(np.array([1]))
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            client.infer("tiny", [seed], headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda seed: server.samples(model="slow", seed=seed), range(12)))
        wait_until(lambda: len(collector.named("POST /v1/samples")) == 12 and collector.named("forward pass"))
        wait_until(lambda: len(collector.named("encode")) == 13)
        (inferred,) = [span for span in collector.spans if span.name.endswith("/ModelInfer")]
        assert (inferred.trace_id.hex(), inferred.parent_span_id.hex()) == ("a" * 32, "b" * 16)
        forwards = [collector.inside(span)["forward"] for span in collector.named("POST /v1/samples")]
        links = [span.links[0].span_id for span in forwards]
        passes = {span.span_id: attributes_of(span) for span in collector.named("forward pass")}
        assert set(links) <= set(passes)
        assert len(set(links)) < 12, "some rode together"
        for one in set(links):
            assert passes[one]["ganserve.batch.images"] == links.count(one)
            assert passes[one]["ganserve.model"] == "slow"
        assert not any("livez" in span.name or "readyz" in span.name for span in collector.spans)
