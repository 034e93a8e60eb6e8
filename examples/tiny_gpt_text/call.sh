#!/usr/bin/env bash
# goes on from a prompt, one streamed answer a token: calls `tiny_gpt_text` over HTTP.
# Usage, in the project's folder: bash examples/tiny_gpt_text/call.sh [PROMPT [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

prompt=${1:-'def read(path):
'}
url=${2:-http://127.0.0.1:8000}

# A JSON string: a backslash before quotes and backslashes, and an escape in place of each control character.
quoted() {
  printf '%s\n' "$1" | awk '{
    gsub(/[\\"]/, "\\\\&")
    for (code = 1; code < 32; code++) gsub(sprintf("%c", code), sprintf("\\u%04x", code))
    printf "%s%s", (NR > 1 ? "\\n" : ""), $0
  }'
}

body='{"prompt": "'$(quoted "$prompt")'", "max_tokens": 32}'
text='"text":"(([^"\\]|\\.)*)"'

# Each event is one line, `data: {...}`, with one piece of the answer.
printf %s "$body" |
  curl --silent --show-error --no-buffer --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
    "$url/v2/models/tiny_gpt_text/generate_stream" |
  while IFS= read -r event; do
    if [[ $event == *'"error":'* ]]; then
      printf '%s\n' "$event" >&2
      exit 1
    elif [[ $event =~ $text ]]; then
      printf %b "${BASH_REMATCH[1]//\\\"/\"}"
    fi
  done
echo
