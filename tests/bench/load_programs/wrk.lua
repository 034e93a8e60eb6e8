-- POSTs one body over and over. Arguments behind `--`: SUMMARY-FILE BODY-FILE, and for large models a file for the time of every answer.
local ffi = require("ffi")
ffi.cdef [[ typedef struct { long s; long ns; } bench_timespec; int clock_gettime(int, bench_timespec *); ]]
local MONOTONIC = 1

function init(args)
  local body = assert(io.open(args[2], "rb"))
  wrk.method = "POST"
  wrk.body = body:read("*a")
  body:close()
  if args[3] then
    local answers = assert(io.open(args[3], "w"))
    local now = ffi.new("bench_timespec[1]")
    response = function()
      ffi.C.clock_gettime(MONOTONIC, now)
      answers:write(string.format("%.6f\n", tonumber(now[0].s) + tonumber(now[0].ns) * 1e-9))
      answers:flush()
    end
  end
  summary_path = args[1]
end

local threads = {}
function setup(thread) table.insert(threads, thread) end

function done(summary, latency)
  local e = summary.errors
  local file = assert(io.open(threads[1]:get("summary_path"), "w"))
  file:write(string.format(
    '{"requests": %d, "elapsed_s": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
  file:close()
end
