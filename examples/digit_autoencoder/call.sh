#!/usr/bin/env bash
# tells 28×28 ink again as far as it is a digit: calls `digit_autoencoder` over HTTP.
# Usage, in the project's folder: bash examples/digit_autoencoder/call.sh [IMAGE.json [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

image=${1:-examples/digit_autoencoder/image.json}
url=${2:-http://127.0.0.1:8000}

body='{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28], "data": '$(cat "$image")'}],
  "outputs": [{"name": "told"}, {"name": "told_error"}]}'

printf %s "$body" |
  curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
    "$url/v2/models/digit_autoencoder/infer"
echo
