#!/usr/bin/env bash
# Ask adloom for a decision, report a click, and ask for recommendations.
#   TOKEN=… bash client.sh http://localhost:3000
set -euo pipefail
url=$1
milliseconds=${DEADLINE_MS:-200} # for one request, the network included

post() { # path, body
  curl --silent --show-error --fail-with-body \
    --max-time "$((milliseconds / 1000)).$(printf %03d $((milliseconds % 1000)))" \
    --header "Authorization: Bearer ${TOKEN:-none}" --json "$2" "$url$1"
}

field() { # name, answer: the first text value of that name
  grep -o "\"$1\":\"[^\"]*\"" <<<"$2" | head -n 1 | cut -d '"' -f 4
}

answer=$(post /v1/decide '{
  "placement": "top", "user_id": "00001",
  "candidates": ["creative-1", "creative-2"], "tmax_ms": 100
}')
creative=$(field creative_id "$answer")
decision=$(field decision_id "$answer")
echo "show $creative"

post /v1/feedback '{
  "decision_id": "'"$decision"'", "creative_id": "'"$creative"'", "kind": "click"
}' >/dev/null
echo "clicked $creative"

answer=$(post /v1/recommend '{
  "user_id": "00001", "recent": ["item-a"], "n": 3, "tmax_ms": 100
}')
items=${answer#*\"items\":[}
items=${items%%]*}
echo "recommend $(tr -d '"' <<<"${items//,/ }")"
