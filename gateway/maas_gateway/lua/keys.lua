-- API keys: read from the store that `maas keys` writes, looked at again every `keys_reload_s` seconds.
-- The store holds SHA-256 digests; a key that was seen once is kept in memory, so that it is hashed once.
local refuse = require("maas.refusal").refuse
local settings = require("maas.settings")
local sha256 = require("maas.sha256")

local keys = {}

local KEY_BYTES = 256
local KEPT = 10000

local content, next_look = nil, 0
local by_digest, by_key, kept = {}, {}, 0

-- Tenants by name, with their limits; the tables stay the same when the store is read again, so that what was counted
-- is not forgotten.
local tenants = {}

local function set(list)
  local names = {}
  for name in list:gmatch("[^,]+") do
    names[name] = true
  end
  return not names["*"] and names or nil
end

local function split(line)
  local fields = {}
  for value in (line .. "\t"):gmatch("([^\t]*)\t") do
    fields[#fields + 1] = value
  end
  return fields
end

local function tenant(name)
  local found = tenants[name] or {name = name}
  tenants[name] = found
  return found
end

-- Reads the store: lines of tab-separated columns, as maas_gateway.key_store writes them.
local function parse(text)
  local found = {}
  for _, known in pairs(tenants) do
    known.rate, known.burst, known.concurrency = nil, nil, nil
  end
  for line in text:gmatch("[^\n]+") do
    local column = split(line)
    if column[1] == "tenant" then
      local limits = tenant(column[2])
      limits.rate, limits.burst, limits.concurrency = tonumber(column[3]), tonumber(column[4]), tonumber(column[5])
    elseif column[1] == "key" then
      found[column[3]] = {
        id = column[2], tenant = tenant(column[4]), models = set(column[5]), expires_s = tonumber(column[6]),
      }
    end
  end
  by_digest, by_key, kept = found, {}, 0
end

local function look(now_s)
  next_look = now_s + settings.keys_reload_s
  local file = io.open(settings.keys_file, "r")
  local text = file and file:read("*a") or ""
  if file then
    file:close()
  end
  if text ~= content then
    content = text
    parse(text)
  end
end

local function presented(headers)
  local key = headers:get("x-api-key")
  if key then
    return key
  end
  local authorization = headers:get("authorization")
  return authorization and authorization:match("^[Bb]earer +([^ ]+)$")
end

-- Who calls: the record of the key in `headers`. Takes the key out of them: no server needs it.
function keys.find(headers)
  local now_s = os.time()
  if now_s >= next_look then
    look(now_s)
  end
  local key = presented(headers)
  if not key or #key > KEY_BYTES then
    refuse(401, "key", "this call needs an API key, in the header X-API-Key or as a bearer token",
      {["www-authenticate"] = "Bearer"})
  end
  local found = by_key[key]
  if not found then
    found = by_digest[sha256(key)]
    if not found then
      refuse(401, "key", "this API key is not known; ask for one (maas keys create)", {["www-authenticate"] = "Bearer"})
    end
    if kept >= KEPT then
      by_key, kept = {}, 0
    end
    by_key[key], kept = found, kept + 1
  end
  if found.expires_s and now_s >= found.expires_s then
    refuse(403, "expired", "this API key has expired; ask for a new one (maas keys rotate)")
  end
  headers:remove("x-api-key")
  headers:remove("authorization")
  return found
end

-- Refuses a model that the key may not call.
function keys.check_model(key, model)
  if key.models and not key.models[model] then
    refuse(403, "model", "this API key may not call this model")
  end
end

-- Who calls where no keys are asked for.
keys.anonymous = {id = "", tenant = tenant("anonymous")}

return keys
