-- wrk's side: POST /v1/samples, and one line of JSON at the end.
--     wrk ... -s load.lua URL -- N FORMAT        N 0: every n from 1 to 100 equally often
local requests, sent = {}, 0

function init(args)
  local n, format = tonumber(args[1]), args[2]
  local headers = { ["Content-Type"] = "application/json" }
  math.randomseed(os.time())
  -- Written beforehand: the load must cost little beside what it loads. A multiple of 100, and 37 and 100
  -- have no common divisor, so that each n comes as often as any other, small ones between large ones.
  for i = 1, 5000 do
    local body = string.format('{"label": %d, "n": %d, "seed": %d, "format": "%s"}',
      math.random(0, 9), n > 0 and n or (37 * i) % 100 + 1, math.random(0, 2147483647), format)
    requests[i] = wrk.format("POST", "/v1/samples", headers, body)
  end
end

function request()
  sent = sent % #requests + 1
  return requests[sent]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "lost": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
