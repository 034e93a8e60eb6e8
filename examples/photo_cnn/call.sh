#!/usr/bin/env bash
# tells which of ten photographs a 32×32 patch is from, or the ten classes of CIFAR-10: calls `photo_cnn` over HTTP.
# Usage, in the project's folder: bash examples/photo_cnn/call.sh [IMAGE.json [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

image=${1:-examples/photo_cnn/image.json}
url=${2:-http://127.0.0.1:8000}

body='{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 3, 32, 32], "data": '$(cat "$image")'}],
  "outputs": [{"name": "logits"}]}'

printf %s "$body" |
  curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
    "$url/v2/models/photo_cnn/infer"
echo
