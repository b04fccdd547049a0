#!/bin/sh
# Reads the development keys that all containers share, then becomes the program.
#
# `entrypoint keys` makes the keys once, in the volume that is mounted at /run/usher. Set the variables yourself
# in production: what is already set is never replaced.
set -eu

keys=/run/usher/keys.env

secret() {
    openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n'
}

if [ "${1:-}" = keys ]; then
    umask 077
    pass=$(secret)
    {
        # The first line of a name counts, so what is there already stays as it is.
        [ ! -f "$keys" ] || cat "$keys"
        echo "GATEWAY_TOKEN_KEYS=dev:$(secret)"
        echo "GATEWAY_PASS_KEY=$pass"
        echo "BOOKING_PASS_KEY=$pass"
        echo "GATEWAY_OPERATOR_KEYS=dev:$(secret)"
        # Webhooks are signed with base64 as it is; of 48 bytes it has no padding.
        echo "BOOKING_WEBHOOK_SECRET=whsec_$(openssl rand -base64 48 | tr -d '\n')"
    } | awk -F= '!known[$1]++' > "$keys.new"
    mv "$keys.new" "$keys"
    # The operator's key is printed, since somebody has to know it; `docker compose logs keys` shows it again.
    echo "operator key: $(sed -n 's/^GATEWAY_OPERATOR_KEYS=dev://p' "$keys")"
    exit 0
fi

if [ -f "$keys" ]; then
    while IFS='=' read -r name value; do
        eval "already=\${$name:-}"
        [ -n "$already" ] || export "$name=$value"
    done < "$keys"
fi
exec "$@"
