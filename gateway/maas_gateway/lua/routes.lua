-- Which paths and gRPC methods reach Triton, and with which HTTP method. Source: KServe v2 and Triton's extensions.
local refuse = require("maas.refusal").refuse
local settings = require("maas.settings")

local routes = {}

local SERVICE = "/inference.GRPCInferenceService/"
local PATH_BYTES = 1024
local KEPT = 4096

-- verb: how the body is read. open: no key is asked for.
local METHODS = {
  ModelInfer = {verb = "infer"}, ModelReady = {verb = "small"}, ModelMetadata = {verb = "small"},
  ModelConfig = {verb = "small"}, ServerMetadata = {verb = "none"}, ServerLive = {verb = "none", open = true},
  ServerReady = {verb = "none", open = true},
}
local VERBS = {infer = "infer", generate = "generate", generate_stream = "generate"}
local READS = {[""] = true, ready = true, config = true}
local SERVER_PATHS = {["/v2"] = false, ["/v2/"] = false, ["/v2/health/live"] = true, ["/v2/health/ready"] = true}
if settings.statistics then
  METHODS.ModelStatistics = {verb = "small"}
  READS.stats = true
end
if settings.streams then
  METHODS.ModelStreamInfer = {verb = "stream"}
end

local cache, cached = {}, 0

-- Refuses a name that is none: Triton hands it to a shell when it starts a Python model (CVE-2025-23316).
function routes.check_model(name)
  if #name > 100 or not name:find("^%w[%w_.-]*$") then
    refuse(400, "model", "a model's name is 1 to 100 letters, digits, '_', '.' or '-', a letter or digit first")
  end
end

function routes.check_version(version)
  if #version > 18 or not version:find("^[1-9]%d*$") then
    refuse(400, "version", "a model's version is a whole number from 1, of at most 18 digits")
  end
end

local function closed(what)
  refuse(403, "closed", what .. " is closed at the gateway: only inference, metadata and health are open")
end

local function grpc_route(path)
  local name = path:sub(#SERVICE + 1)
  local method = METHODS[name]
  if path == "/grpc.health.v1.Health/Check" then
    method = METHODS.ServerLive
  elseif path:sub(1, #SERVICE) ~= SERVICE then
    refuse(501, "method", "the gRPC service is unknown; it is inference.GRPCInferenceService")
  elseif name == "ModelStreamInfer" and not method then
    refuse(501, "stream", "ModelStreamInfer is closed towards this server; use generate_stream over HTTP")
  elseif not method then
    closed("this gRPC method")
  end
  return {grpc = true, method = "POST", verb = method.verb, open = method.open}
end

-- Model, version and the rest of the path of a model.
local function model_path(path)
  local model, rest = path:match("^/v2/models/([^/]*)(.*)$")
  if not model then
    return nil
  end
  routes.check_model(model)
  local version, tail = rest:match("^/versions/([^/]*)(.*)$")
  if version then
    routes.check_version(version)
    rest = tail
  end
  return model, version, rest:gsub("^/", "", 1)
end

local function http_route(path)
  local open = SERVER_PATHS[path]
  if open ~= nil then
    return {method = "GET", verb = "none", open = open}
  end
  for _, api in ipairs({"repository", "systemsharedmemory", "cudasharedmemory", "trace", "logging"}) do
    if path:find("^/v2/" .. api .. "%f[/%z]") then
      closed("the API of " .. api)
    end
  end
  if path == "/v2/models/stats" or path:find("^/v2/models/[^%%]*/trace/setting$") or path == "/metrics" then
    closed("this path")
  end
  local model, version, rest = model_path(path)
  if not model then
    refuse(404, "path", "this path is none of the inference protocol; see KServe v2")
  end
  local verb = VERBS[rest]
  if verb then
    return {method = "POST", verb = verb, model = model, version = version}
  elseif READS[rest] then
    return {method = "GET", verb = "none", model = model, version = version}
  elseif rest == "stats" then
    closed("the statistics of a model")
  end
  refuse(404, "path", "this path is none of the inference protocol; see KServe v2")
end

-- The route of a path, with or without a query behind it.
function routes.find(path, grpc)
  local route = cache[path]
  if route and route.grpc == grpc then
    return route
  end
  if #path > PATH_BYTES then
    refuse(400, "path", "the path is longer than " .. PATH_BYTES .. " bytes")
  end
  local plain = path:match("^[^?]*")
  if plain:find("[^%w%-_.~/]") then
    refuse(400, "path", "the path has characters that no path of the inference protocol has")
  end
  route = grpc and grpc_route(plain) or http_route(plain)
  route.kind = (route.verb == "infer" or route.verb == "generate") and "infer" or "probe"
  if cached >= KEPT then
    cache, cached = {}, 0
  end
  cache[path], cached = route, cached + 1
  return route
end

return routes
