-- One thread, hence one connection, is one caller that steps through one sequence after the other, each of STEPS steps.
-- Arguments behind `--`: SUMMARY-FILE BODY-FILE INPUT-NAME FEATURES STEPS. The body file holds one FP32 row.
local threads = {}
function setup(thread)
  thread:set("caller", #threads + 1)
  table.insert(threads, thread)
end

function init(args)
  summary_path = args[1]
  local body = assert(io.open(args[2], "rb"))
  local row = body:read("*a")
  body:close()
  local name, features, steps = args[3], tonumber(args[4]), tonumber(args[5])
  local step, sequence = 0, caller * 1000000 + os.time() % 1000000
  local function make()
    local header = string.format(
      '{"parameters":{"sequence_id":%d,"sequence_start":%s,"sequence_end":%s,"binary_data_output":true},'
        .. '"inputs":[{"name":"%s","shape":[1,%d],"datatype":"FP32","parameters":{"binary_data_size":%d}}]}',
      sequence, tostring(step == 0), tostring(step == steps - 1), name, features, #row)
    local headers = { ["Inference-Header-Content-Length"] = #header, ["Content-Type"] = "application/octet-stream" }
    return wrk.format("POST", nil, headers, header .. row)
  end
  -- wrk tries the first thread's requests once before it starts; that one must not be a step.
  local trial = caller == 1
  request = function()
    if trial then
      trial = false
      return wrk.format("GET")
    end
    local made = make()
    step = step + 1
    if step == steps then
      step, sequence = 0, sequence + 1
    end
    return made
  end
end

function done(summary, latency)
  local e = summary.errors
  local file = assert(io.open(threads[1]:get("summary_path"), "w"))
  file:write(string.format(
    '{"requests": %d, "elapsed_s": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
  file:close()
end
