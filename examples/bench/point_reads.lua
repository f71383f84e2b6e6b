-- Point reads of random accounts, for wrk. Prints reads a second and the 99th percentile in milliseconds.

local accounts, query = tonumber(os.getenv("ACCOUNTS")), os.getenv("QUERY")
-- Another store than the view's first one answers only to those who accept what it has.
wrk.headers["Prefer"] = "stale-ok"

request = function()
  return wrk.format("GET", string.format("/v1/views/activity/a-%06d%s", math.random(0, accounts - 1), query))
end

done = function(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  if failed > 0 then
    io.stderr:write(string.format("%d reads failed\n", failed))
  end
  io.write(string.format("%.0f\t%.2f\n", summary.requests / (summary.duration / 1e6), latency:percentile(99) / 1000))
end
