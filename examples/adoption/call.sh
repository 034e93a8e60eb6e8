#!/usr/bin/env bash
# forecasts the next five years of a share from a table's column, cell by cell: calls `adoption` over HTTP.
# Usage, in the project's folder: bash examples/adoption/call.sh [OBSERVATION.csv [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

observation=${1:-examples/adoption/iowa_renewables.csv}
url=${2:-http://127.0.0.1:8000}

# A JSON string: a backslash before quotes and backslashes, and an escape in place of each control character.
quoted() {
  printf '%s\n' "$1" | awk '{
    gsub(/[\\"]/, "\\\\&")
    for (code = 1; code < 32; code++) gsub(sprintf("%c", code), sprintf("\\u%04x", code))
    printf "%s%s", (NR > 1 ? "\\n" : ""), $0
  }'
}

steps=$(awk 'END { print NR - 1 }' "$observation")
if [ "$steps" -lt 1 ]; then
  printf '%s holds no line below its heading\n' "$observation" >&2
  exit 1
fi

# All steps of a sequence bear one number, and the server keeps its state from one to the next.
number=$(($(od -An -N8 -td8 /dev/urandom) & 0x7fffffffffffffff | 1))
step=0
# The last column, without its heading; an empty line is a value that is missing.
awk -F, 'NR > 1 { sub(/\r$/, ""); print $NF }' "$observation" | while IFS= read -r value; do
  step=$((step + 1))
  start=$([ "$step" -eq 1 ] && echo true || echo false)
  end=$([ "$step" -eq "$steps" ] && echo true || echo false)
  body='{"inputs": [{"name": "observation", "datatype": "BYTES", "shape": [1, 1], "data": ["'$(quoted "$value")'"]}],
    "outputs": [{"name": "forecast"}],
    "parameters": {"sequence_id": '$number', "sequence_start": '$start', "sequence_end": '$end'}}'
  printf %s "$body" |
    curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
      "$url/v2/models/adoption/infer"
  echo
done
