-- Per-tenant limits: requests per second as a token bucket, and requests in flight.
-- Exact for one Envoy worker (--concurrency 1): each worker has a Lua state of its own.
local refuse = require("maas.refusal").refuse

local limits = {}

local function too_many(reason, wait_s, text)
  refuse(429, reason, text, {["retry-after"] = tostring(math.max(1, math.ceil(wait_s)))})
end

local function check_rate(tenant, now_ms)
  local burst = tenant.burst or math.max(1, tenant.rate)
  local tokens = math.min(burst, (tenant.tokens or burst) + (now_ms - (tenant.at_ms or now_ms)) * tenant.rate / 1000)
  tenant.at_ms = now_ms
  if tokens < 1 then
    tenant.tokens = tokens
    too_many("rate", (1 - tokens) / tenant.rate, "this tenant calls more often than its limit of " .. tenant.rate
      .. " requests per second; wait as long as Retry-After says")
  end
  tenant.tokens = tokens - 1
end

-- Envoy tells no script that a request has ended, least of all one that was broken off. But it keeps the coroutine of a
-- request exactly as long as the request: so those in flight are the coroutines that a collection leaves in a table
-- with weak keys. The count is an upper bound; only when it reaches the limit is it worth a collection.
local function check_concurrency(tenant)
  if not tenant.in_flight then
    tenant.in_flight, tenant.count = setmetatable({}, {__mode = "k"}), 0
  end
  if tenant.count >= tenant.concurrency then
    collectgarbage("collect")
    local count = 0
    for _ in pairs(tenant.in_flight) do
      count = count + 1
    end
    tenant.count = count
    if count >= tenant.concurrency then
      too_many("concurrency", 1, "this tenant has " .. count .. " requests in flight, its limit; wait for an answer")
    end
  end
  tenant.in_flight[coroutine.running()] = true
  tenant.count = tenant.count + 1
end

-- Counts one request of `tenant`, or refuses it with 429.
function limits.check(tenant, handle)
  if tenant.concurrency then
    check_concurrency(tenant)
  end
  if tenant.rate then
    check_rate(tenant, handle:timestamp())
  end
end

return limits
