import base64, hashlib, hmac, json, time


def check_pass(text, key):
    """The claims of a pass. `key` is GATEWAY_PASS_KEY."""
    def decoded(part):
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    head, claims, signature = text.split(".")
    wanted = hmac.new(decoded(key), f"{head}.{claims}".encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(wanted, decoded(signature)):
        raise ValueError("no pass")
    said = json.loads(decoded(claims))
    if said["exp"] <= time.time():
        raise ValueError("a pass past its time")
    return said
