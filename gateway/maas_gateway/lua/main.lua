-- Entry of the admission filter.
local main = {}

function main.on_request(handle)
  local headers = handle:headers()
  headers:replace("x-maas-tenant", "anonymous")
end

return main
