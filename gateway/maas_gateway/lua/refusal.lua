-- How a check says no: it raises one of these, and the entry of the filter turns it into an answer.
local refusal = {}

-- gRPC status of each HTTP status that the filter answers.
-- Source: grpc/doc/statuscodes.md, and Triton's own choice (grpc/grpc_utils.h).
local GRPC = {
  [400] = "3", [401] = "16", [403] = "7", [404] = "5", [405] = "12", [413] = "8", [415] = "12", [429] = "8",
  [500] = "13", [501] = "12", [503] = "14",
}

-- Raises a refusal. `reason` is one word for the metering line, `text` one line for the caller: never what the caller
-- sent, so that nothing needs to be escaped. `more` holds further response headers.
function refusal.refuse(status, reason, text, more)
  error({status = status, reason = reason, text = text, more = more}, 0)
end

-- Answers with what a check raised. What is no refusal is a defect of a check, and is refused too: a check that fails
-- must not let the request pass, as Envoy does where a script ends with an error.
function refusal.answer(handle, problem, grpc)
  if type(problem) ~= "table" then
    handle:logErr("admission failed: " .. tostring(problem))
    problem = {status = 500, reason = "internal", text = "the gateway could not check this request; see its log"}
  end
  handle:headers():replace("x-maas-refused", problem.reason)
  local reply = {[":status"] = tostring(problem.status)}
  for name, value in pairs(problem.more or {}) do
    reply[name] = value
  end
  if grpc then
    reply["grpc-status"] = GRPC[problem.status]
    handle:respond(reply, problem.text)
  else
    reply["content-type"] = "application/json"
    handle:respond(reply, '{"error":"' .. problem.text .. '"}')
  end
end

return refusal
