#!/usr/bin/env bash
# tells which of ten photographs a picture is a piece of, or the ten classes of CIFAR-10: calls `photo` over HTTP.
# Usage, in the project's folder: bash examples/photo/call.sh [PICTURE [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

picture=${1:-examples/photo/cat_eye.png}
url=${2:-http://127.0.0.1:8000}

# JSON cannot carry the bytes of a file. They follow it, after their count in 4 bytes, the lowest first.
size=$(wc -c < "$picture")
count=$(for bits in 0 8 16 24; do printf '\\%03o' $((size >> bits & 255)); done)
header='{"inputs": [{"name": "picture", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": '$((size + 4))'}}],
  "outputs": [{"name": "label"}, {"name": "score"}]}'

{ printf %s "$header"; printf "$count"; cat "$picture"; } |
  curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/octet-stream' \
    --header "Inference-Header-Content-Length: ${#header}" "$url/v2/models/photo/infer"
echo
