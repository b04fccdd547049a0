#!/bin/sh
# Makes the demo concert with two dates, once, so that the shop is not empty: `demo http://gateway-1:8080`.
set -eu

gateway=$1
key=$(cat /run/usher/operator-key)

if [ "$(curl --fail --silent "$gateway/api/v1/concerts?limit=1" | grep -c '"id"')" -gt 0 ]; then
    echo "there is a concert already"
    exit 0
fi

create() {
    curl --fail-with-body --silent --show-error --request POST "$gateway$1" \
        --header "Authorization: Bearer $key" --header 'Content-Type: application/json' --data "$2" |
        sed 's/.*"id":"\([^"]*\)".*/\1/'
}

concert=$(create /api/v1/admin/concerts \
    '{"title":"Usher demo concert","venue":"Olympic Hall, Seoul","queue":"main"}')
for days in 8 14; do
    at=$(date --utc --date "+$days days 10:00" +%Y-%m-%dT%H:%M:%SZ)
    create "/api/v1/admin/concerts/$concert/schedules" "{\"startsAt\":\"$at\"}" > /dev/null
done
echo "made the demo concert $concert"
