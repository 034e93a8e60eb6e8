#!/usr/bin/env bash
# turns the word pieces of a text into a vector of length 1: calls `sentence_encoder` over HTTP.
# Usage, in the project's folder: bash examples/sentence_encoder/call.sh [INPUT_IDS.json [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

input_ids=${1:-examples/sentence_encoder/input_ids.json}
url=${2:-http://127.0.0.1:8000}

body='{"inputs": [{"name": "input_ids", "datatype": "INT64", "shape": [1, 10], "data": '$(cat "$input_ids")'}, {"name": "attention_mask", "datatype": "INT64", "shape": [1, 10], "data": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}],
  "outputs": [{"name": "embedding"}]}'

printf %s "$body" |
  curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
    "$url/v2/models/sentence_encoder/infer"
echo
