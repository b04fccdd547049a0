#!/bin/sh
# Makes the development keys, or becomes the program.
#
# `entrypoint keys` makes each key once, as a file of its own in the volume that is mounted at /run/usher. Programs read
# them by variables that end in _FILE, so `docker exec … booking reconcile` has them too. In production mount your own.
set -eu

keys=/run/usher

secret() {
    openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n'
}

# What is there already stays as it is.
keep() {
    [ -s "$keys/$1" ] || printf '%s\n' "$2" > "$keys/$1"
}

if [ "${1:-}" = keys ]; then
    umask 077
    keep token-keys "dev:$(secret)"
    keep pass-key "$(secret)"
    keep operator-key "$(secret)"
    keep operator-keys "dev:$(cat "$keys/operator-key")"
    # Webhooks are signed with base64 as it is; of 48 bytes it has no padding.
    keep webhook-secret "whsec_$(openssl rand -base64 48 | tr -d '\n')"
    # The operator's key is printed, since somebody has to know it; `docker compose logs keys` shows it again.
    echo "operator key: $(cat "$keys/operator-key")"
    exit 0
fi
exec "$@"
