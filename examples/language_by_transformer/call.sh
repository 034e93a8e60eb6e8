#!/usr/bin/env bash
# tells the language of a name, all at once: calls `language_by_transformer` over HTTP.
# Usage, in the project's folder: bash examples/language_by_transformer/call.sh [TEXT [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

text=${1:-'Nowa Zelandia'}
url=${2:-http://127.0.0.1:8000}

# A JSON string: a backslash before quotes and backslashes, and an escape in place of each control character.
quoted() {
  printf '%s\n' "$1" | awk '{
    gsub(/[\\"]/, "\\\\&")
    for (code = 1; code < 32; code++) gsub(sprintf("%c", code), sprintf("\\u%04x", code))
    printf "%s%s", (NR > 1 ? "\\n" : ""), $0
  }'
}

body='{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["'$(quoted "$text")'"]}],
  "outputs": [{"name": "label"}, {"name": "score"}]}'

printf %s "$body" |
  curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
    "$url/v2/models/language_by_transformer/infer"
echo
