-- Entry of the admission filter: what the headers alone decide, then what the body says, then the headers for the
-- route and the metering line (maas_gateway/admission.py lists them).
local affinity = require("maas.affinity")
local infer_grpc = require("maas.infer_grpc")
local infer_json = require("maas.infer_json")
local keys = require("maas.keys")
local limits = require("maas.limits")
local refusal = require("maas.refusal")
local routes = require("maas.routes")
local settings = require("maas.settings")

local main = {}
local refuse = refusal.refuse

local TYPES = {["application/json"] = true, ["application/octet-stream"] = true,
  ["application/x-www-form-urlencoded"] = true, ["text/plain"] = true}

-- What tensor.header_of_sequence makes.
local SEQUENCE = "^[%w%-_.:%%]+$"

-- JSON that was found good lately, with what it says: most callers send the same in front of each tensor, but for the id
-- of the request, with which clients begin.
local ID = '^{"id": ?"[%w%-_.:]*", ?()'
local GOOD_BYTES, GOOD_KEPT = 2048, 1024
local known, known_behind_id, known_count = {}, {}, 0

local function is_grpc(content_type)
  if not content_type or content_type:sub(1, 16) ~= "application/grpc" then
    return nil
  end
  if content_type ~= "application/grpc" and content_type ~= "application/grpc+proto" then
    refuse(415, "content_type", "only application/grpc with protobuf is taken")
  end
  return true
end

local function check_http_headers(headers, route, content_type)
  local encoding = headers:get("content-encoding")
  if encoding and encoding ~= "identity" then
    refuse(415, "encoding", "compressed bodies are not taken; send without Content-Encoding",
      {["accept-encoding"] = "identity"})
  end
  if content_type and route.method == "POST" and not TYPES[content_type:match("^[^; ]*"):lower()] then
    refuse(400, "content_type", "the Content-Type must be application/json or application/octet-stream")
  end
end

-- What the headers decide: the route of the path, and whose key it is.
local function admit(handle, headers, content_type)
  local sequence = headers:get("x-maas-sequence")
  if sequence and not sequence:find(SEQUENCE) or sequence and #sequence > 128 then
    headers:remove("x-maas-sequence")
    refuse(400, "sequence", "x-maas-sequence must be at most 128 letters, digits, '-', '_', '.', ':' or '%'")
  end
  local grpc = is_grpc(content_type)
  local route = routes.find(headers:get(":path") or "", grpc)
  headers:replace("x-maas-protocol", grpc and "grpc" or "http")
  headers:replace("x-maas-kind", route.kind)
  if headers:get(":method") ~= route.method then
    refuse(405, "method", "this path takes " .. route.method, {allow = route.method})
  end
  if not grpc then
    check_http_headers(headers, route, content_type)
  end
  local said = headers:get("content-length")
  local length = said and tonumber(said)
  if length and length > settings.body_bytes then
    refuse(413, "size", "the body is larger than " .. settings.body_bytes .. " bytes; send smaller batches")
  end
  local key = keys.anonymous
  if settings.keys_required and not route.open then
    key = keys.find(headers)
  end
  headers:replace("x-maas-tenant", key.tenant.name)
  if key.id ~= "" then
    -- Absent for who has no key: the route divides callers by it, and would take an empty one for one caller.
    headers:replace("x-maas-key", key.id)
  end
  if route.model then
    keys.check_model(key, route.model)
    headers:replace("x-maas-model", route.model)
    if route.version then
      headers:replace("x-maas-version", route.version)
    end
  end
  limits.check(key.tenant, handle)
  if not grpc and route.method == "POST" then
    limits.check_held(key.tenant, handle, length)
  end
  return route, key
end

-- The JSON in front of the binary tensors, and how many bytes follow it; the whole body without such tensors.
local function json_text(headers, body)
  local size = body:length()
  local said = headers:get("inference-header-content-length")
  local length = size
  if said then
    length = said:find("^%d%d?%d?%d?%d?%d?%d?%d?%d?$") and tonumber(said)
    if not length or length < 1 or length > size then
      refuse(400, "header_length",
        "Inference-Header-Content-Length must be the length of the JSON, at most that of the body")
    end
  end
  if length > settings.json_bytes then
    refuse(413, "json_size", "the JSON is larger than " .. settings.json_bytes .. " bytes; send tensors in binary")
  end
  return body:getBytes(0, length), size - length
end

local function check_infer(headers, body)
  local text, binary_bytes = json_text(headers, body)
  local lately, same = known, text
  local _, _, behind_id = text:find(ID)
  if behind_id then
    lately, same = known_behind_id, text:sub(behind_id)
  end
  local found = lately[same]
  if found and found.binary_bytes == binary_bytes then
    return found.items, found.sequence, found.start
  end
  local items, sequence, start = infer_json.check(text, binary_bytes)
  if #text <= GOOD_BYTES then
    if known_count >= GOOD_KEPT then
      known, known_behind_id, known_count = {}, {}, 0
      lately = behind_id and known_behind_id or known
    end
    lately[same] = {binary_bytes = binary_bytes, items = tostring(items), sequence = sequence, start = start}
    known_count = known_count + 1
  end
  return tostring(items), sequence, start
end

local function call_model(headers, key, model, version)
  if model == "" then
    refuse(400, "model", "the request names no model")
  end
  routes.check_model(model)
  headers:replace("x-maas-model", model)
  if version ~= "" then
    routes.check_version(version)
    headers:replace("x-maas-version", version)
  end
  keys.check_model(key, model)
end

-- What the body says: first dim, correlation id and whether a sequence starts, of an inference.
local function check_body(headers, body, route, key)
  local length = body and body:length() or 0
  if route.verb == "none" and not route.grpc then
    if length > 0 then
      refuse(400, "body", "this path takes no body")
    end
    return nil
  end
  if length == 0 then
    refuse(400, "empty", "the request has no body")
  end
  if route.verb == "infer" and not route.grpc then
    return check_infer(headers, body)
  elseif route.verb == "generate" then
    if headers:get("inference-header-content-length") then
      refuse(400, "header_length", "generate takes no Inference-Header-Content-Length")
    end
    return "1", infer_json.check_generate((json_text(headers, body)))
  elseif route.verb == "infer" then
    local model, version, items, sequence, start = infer_grpc.check(body)
    call_model(headers, key, model, version)
    return tostring(items), sequence, start
  end
  local model, version = infer_grpc.check_small(body)
  if route.verb == "small" then
    call_model(headers, key, model, version)
  end
end

-- Checks the body, sets what it said, and has the route chosen by it.
local function admit_body(handle, headers, body, route, key)
  local items, sequence, start = check_body(headers, body, route, key)
  if items then
    headers:replace("x-maas-items", items)
    if route.grpc then
      handle:streamInfo():dynamicMetadata():set("maas", "infers", true)
    end
  end
  if sequence then
    headers:replace("x-maas-sequence", sequence)
    if start then
      headers:replace("x-maas-sequence-start", "1")
    end
  end
  handle:clearRouteCache()
  affinity.follow(handle, headers)
end

function main.on_request(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type")
  local good, route, key = pcall(admit, handle, headers, content_type)
  if not good then
    return refusal.answer(handle, route, content_type and content_type:sub(1, 16) == "application/grpc")
  end
  if route.verb == "stream" then
    return handle:clearRouteCache()
  end
  local body = handle:body()
  local problem
  good, problem = pcall(admit_body, handle, handle:headers(), body, route, key)
  if not good then
    refusal.answer(handle, problem, route.grpc)
  end
end

return main
