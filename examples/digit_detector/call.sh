#!/usr/bin/env bash
# finds up to 16 handwritten digits in 96×96 ink: calls `digit_detector` over HTTP.
# Usage, in the project's folder: bash examples/digit_detector/call.sh [IMAGE.json [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

image=${1:-examples/digit_detector/image.json}
url=${2:-http://127.0.0.1:8000}

body='{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 96, 96], "data": '$(cat "$image")'}],
  "outputs": [{"name": "boxes"}, {"name": "score"}, {"name": "class_index"}]}'

printf %s "$body" |
  curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
    "$url/v2/models/digit_detector/infer"
echo
