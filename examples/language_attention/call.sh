#!/usr/bin/env bash
# tells the language of letters, and which letters it looked at: calls `language_attention` over HTTP.
# Usage, in the project's folder: bash examples/language_attention/call.sh [TOKENS.json [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

tokens=${1:-examples/language_attention/tokens.json}
url=${2:-http://127.0.0.1:8000}

body='{"inputs": [{"name": "tokens", "datatype": "INT64", "shape": [1, 12], "data": '$(cat "$tokens")'}],
  "outputs": [{"name": "logits"}, {"name": "attention"}]}'

printf %s "$body" |
  curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
    "$url/v2/models/language_attention/infer"
echo
