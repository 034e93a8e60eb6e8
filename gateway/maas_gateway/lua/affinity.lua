-- Keeps each sequence with the server that holds its state, while the weights of a split change.
--
-- The first step is placed by the hash of the correlation id and the weight that is in force (metadata of the route); the
-- later ones go where it went. With the memory lost, e.g. because Envoy was started again, the hash places them as it
-- did the first step, which is wrong only where the weight has changed since. Envoy runs one worker, so one memory.

local bit = require("bit")

local affinity = {}

local TENANT, MODEL, SEQUENCE, START, SIDE =
  "x-maas-tenant", "x-maas-model", "x-maas-sequence", "x-maas-sequence-start", "x-maas-side"
local MOST_IN_A_GENERATION = 100000
-- Names of a tenant and of a model, and an id of Triton's, which has at most 128 characters; a longer one is none, and not worth memory.
local LONGEST_KEY_BYTES = 512
local GENERATION_S = 3600

-- Two generations: what was not asked for during a whole one is forgotten with it.
local young, old, count, began = {}, {}, 0, os.time()

local function remember(key, side)
  if #key > LONGEST_KEY_BYTES then
    return
  end
  if young[key] == nil then
    if count >= MOST_IN_A_GENERATION or os.time() - began > GENERATION_S then
      young, old, count, began = {}, young, 0, os.time()
    end
    count = count + 1
  end
  young[key] = side
end

local function recall(key)
  local side = young[key]
  if side == nil and old[key] ~= nil then
    side = old[key]
    remember(key, side)
  end
  return side
end

-- FNV-1a, 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/); the product with the prime 0x01000193 in parts that a
-- double holds exactly.
local function hash(text)
  local value = 0x811c9dc5
  for i = 1, #text do
    value = bit.bxor(value, text:byte(i))
    local low, high = bit.band(value, 0xffff), bit.rshift(value, 16)
    value = bit.tobit(low * 0x193 + bit.lshift(bit.band(high * 0x193 + low * 0x100, 0xffff), 16))
  end
  return value % 4294967296
end

local function place(id, percent)
  -- By a prime, so that ids which count upwards spread evenly.
  local share = hash(id) % 10007 / 10007
  return share * 100 < percent and "candidate" or "stable"
end

-- Says to the route where a step of a sequence goes. The route of the model must have been chosen: it knows the weight.
function affinity.follow(handle, headers)
  local id = headers:get(SEQUENCE)
  if id == nil then
    return
  end
  -- Two tenants may use the same id; neither moves the other's sequence.
  local key = (headers:get(TENANT) or "") .. "\0" .. (headers:get(MODEL) or "") .. "\0" .. id
  local side = headers:get(START) ~= "1" and recall(key) or nil
  if side == nil then
    side = place(id, handle:metadata():get("candidate_percent") or 0)
    remember(key, side)
  end
  headers:replace(SIDE, side)
  handle:clearRouteCache()
end

return affinity
