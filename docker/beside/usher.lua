-- Asks Usher whether a request may pass. Only 204 lets it; whatever else is said goes to the client.

local TIMEOUT_MS = 3000

-- Headers of one hop, and those that the question says itself.
local OWN = {
    ["connection"] = true, ["upgrade"] = true, ["content-length"] = true, ["transfer-encoding"] = true,
    ["expect"] = true, ["x-forwarded-method"] = true, ["x-forwarded-uri"] = true, ["x-forwarded-host"] = true,
    ["x-forwarded-for"] = true, ["keep-alive"] = true, ["te"] = true, ["trailer"] = true,
}
-- For the client: a token in place of one whose visit is over, and until when it is good.
local TOLD = {
    ["x-usher-token"] = "txn.usher_token", ["x-usher-token-expires"] = "txn.usher_token_expires",
    ["set-cookie"] = "txn.usher_cookie",
}
local HIDDEN = { ["connection"] = true, ["transfer-encoding"] = true, ["content-length"] = true, ["keep-alive"] = true }

local function each(headers, act)
    for name, values in pairs(headers) do
        for _, value in pairs(values) do
            act(name, value)
        end
    end
end

local function question(txn)
    local headers = {}
    each(txn.http:req_get_headers(), function(name, value)
        if not OWN[name] then
            headers[name] = headers[name] or {}
            table.insert(headers[name], value)
        end
    end)
    local host = txn.f:req_hdr("host")
    headers["x-forwarded-method"] = { txn.f:method() }
    headers["x-forwarded-uri"] = { txn.f:pathq() }
    headers["x-forwarded-host"] = { host }
    headers["x-forwarded-for"] = { txn.f:src() }
    return { url = os.getenv("USHER") .. "/usher/api/v1/authorize", headers = headers, timeout = TIMEOUT_MS }
end

core.register_action("usher", { "http-req" }, function(txn)
    local answer = core.httpclient():get(question(txn))
    local status = answer and answer.status or 0
    if status == 204 then
        each(answer.headers, function(name, value)
            if name == "x-usher-pass" or name == "x-usher-user" then
                txn.http:req_set_header(name, value)
            elseif TOLD[name] then
                txn:set_var(TOLD[name], value)
            end
        end)
        return
    end
    -- Nothing but 204 is leave to pass, also when nobody answers.
    local refused = status >= 300
    local reply = txn:reply()
    reply:set_status(refused and status or 503)
    if refused then
        each(answer.headers, function(name, value)
            if not HIDDEN[name] then
                reply:add_header(name, value)
            end
        end)
        reply:set_body(answer.body or "")
    end
    txn:done(reply)
end)
