#!/usr/bin/env bash
# forecasts the next five years of a share from a table's column, cell by cell: calls `adoption` over HTTP.
# Usage, in the project's folder: bash examples/adoption/call.sh [OBSERVATION.csv [URL]]
# Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
set -euo pipefail

observation=${1:-examples/adoption/iowa_renewables.csv}
url=${2:-http://127.0.0.1:8000}

# A JSON string: a backslash before quotes and backslashes, and \n and \t in place of what they stand for.
quoted() {
  printf '%s\n' "$1" | awk '{ gsub(/[\\"]/, "\\\\&"); gsub(/\t/, "\\t"); printf "%s%s", (NR > 1 ? "\\n" : ""), $0 }'
}

# The last column, without its heading.
values=$(awk -F, 'NR > 1 { sub(/\r$/, ""); print $NF }' "$observation")
steps=$(printf '%s\n' "$values" | wc -l)

# All steps of a sequence bear one number, and the server keeps its state from one to the next.
step=0
printf '%s\n' "$values" | while IFS= read -r value; do
  step=$((step + 1))
  start=$([ "$step" -eq 1 ] && echo true || echo false)
  end=$([ "$step" -eq "$steps" ] && echo true || echo false)
  body='{"inputs": [{"name": "observation", "datatype": "BYTES", "shape": [1, 1], "data": ["'$(quoted "$value")'"]}],
    "outputs": [{"name": "forecast"}],
    "parameters": {"sequence_id": '$$', "sequence_start": '$start', "sequence_end": '$end'}}'
  printf %s "$body" |
    curl --silent --show-error --fail-with-body --data-binary @- --header 'Content-Type: application/json' \
      "$url/v2/models/adoption/infer"
  echo
done
