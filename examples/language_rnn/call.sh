#!/usr/bin/env bash
# tells the language of letters, one after the other: calls `language_rnn` over HTTP.
# Usage, in the project's folder: bash examples/language_rnn/call.sh [TOKENS.json [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

tokens=${1:-examples/language_rnn/tokens.json}
url=${2:-http://127.0.0.1:8000}

body='{"inputs": [{"name": "tokens", "datatype": "INT64", "shape": [1, 12], "data": '$(cat "$tokens")'}],
  "outputs": [{"name": "logits"}]}'

printf %s "$body" |
  curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
    "$url/v2/models/language_rnn/infer"
echo
