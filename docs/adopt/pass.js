const { createHmac, timingSafeEqual } = require("node:crypto");

// The claims of a pass. `key` is GATEWAY_PASS_KEY.
function checkPass(pass, key) {
  const [head, claims, signature] = String(pass).split(".");
  const wanted = createHmac("sha256", Buffer.from(key, "base64url")).update(`${head}.${claims}`).digest();
  const given = Buffer.from(signature ?? "", "base64url");
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) throw new Error("no pass");
  const said = JSON.parse(Buffer.from(claims, "base64url"));
  if (!(said.exp > Date.now() / 1000)) throw new Error("a pass past its time");
  return said;
}
