-- Per-tenant limits, requests per second as a token bucket and requests in flight; and a limit for all of them together
-- of the bytes that are held while large bodies come.
-- Exact for one Envoy worker (--concurrency 1): each worker has a Lua state of its own.
local refuse = require("maas.refusal").refuse

local settings = require("maas.settings")

local limits = {}

local SMALL_BYTES = 1048576
local FULL_MS = 20

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
-- with weak keys. What is added up is an upper bound; only when it reaches the limit is it worth a collection.
local function new_account()
  return {shares = setmetatable({}, {__mode = "k"}), sum = 0}
end

-- Adds the share of the running request; false, and nothing added, where that would be over the limit. What was found
-- full is taken for full for a moment, so that who calls on and on does not make everybody wait for collections.
local function add(account, share, limit, now_ms)
  if account.sum + share > limit then
    if account.full_ms and now_ms - account.full_ms < FULL_MS then
      return false
    end
    collectgarbage("collect")
    account.sum = 0
    for _, other in pairs(account.shares) do
      account.sum = account.sum + other
    end
    if account.sum + share > limit then
      account.full_ms = now_ms
      return false
    end
  end
  account.full_ms = nil
  account.shares[coroutine.running()] = share
  account.sum = account.sum + share
  return true
end

local function check_concurrency(tenant, now_ms)
  tenant.in_flight = tenant.in_flight or new_account()
  if not add(tenant.in_flight, 1, tenant.concurrency, now_ms) then
    too_many("concurrency", 1, "this tenant has " .. tenant.concurrency
      .. " requests in flight, its limit; wait for an answer")
  end
end

local held = new_account()

-- Refuses a large body for which there is no room now; one tenant may take half of the room. `bytes` is what the caller
-- announced, nil where it did not. Streams of HTTP/2 need not: Envoy resets the largest when memory runs out
-- (admission.py, overload).
function limits.check_held(tenant, handle, bytes)
  if bytes and bytes <= SMALL_BYTES or not bytes and handle:streamInfo():protocol() ~= "HTTP/1.1" then
    return
  end
  bytes = bytes or settings.body_bytes
  tenant.held = tenant.held or new_account()
  local room, now_ms = settings.memory_bytes / 2, handle:timestamp()
  if not (add(held, bytes, room, now_ms) and add(tenant.held, bytes, math.max(bytes, room / 2), now_ms)) then
    refuse(503, "memory", "the gateway holds as many large requests as it can; try again", {["retry-after"] = "1"})
  end
end

-- Counts one request of `tenant`, or refuses it with 429.
function limits.check(tenant, handle)
  if not tenant.concurrency and not tenant.rate then
    return
  end
  local now_ms = handle:timestamp()
  if tenant.concurrency then
    check_concurrency(tenant, now_ms)
  end
  if tenant.rate then
    check_rate(tenant, now_ms)
  end
end

return limits
