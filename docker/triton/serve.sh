#!/usr/bin/env bash
# Serves every published model of a mounted repository with the tritonserver on PATH.
#
#   serve.sh [further arguments of tritonserver]
#
# MODEL_REPOSITORY  the repository (default /models)
# MODELS            names with blanks between them; all that have a published version by default
set -euo pipefail

repository=${MODEL_REPOSITORY:-/models}

published() {
    local version
    for version in "$repository/$1"/[1-9]*/; do
        [[ -d $version ]] && return
    done
    return 1
}

models=()
if [[ -n ${MODELS:-} ]]; then
    read -ra models <<<"$MODELS"
else
    # Named one by one: Triton takes every folder of a repository for a model, hidden ones and those without a version
    # too, and ends where one of them does not load.
    for config in "$repository"/*/config.pbtxt; do
        model=$(basename "$(dirname "$config")")
        if published "$model"; then models+=("$model"); fi
    done
fi
if ((${#models[@]} == 0)); then
    echo "serve.sh: no model in $repository has a published version; publish one with 'maas publish'" >&2
    exit 1
fi

# Explicit control opens an API that loads and unloads models. Nobody is told the key: what serves is what was mounted.
key=$(head --bytes=32 /dev/urandom | sha256sum | cut --characters=1-64)
closed="model-repository,shared-memory,trace,logging:maas-closed=$key"

exec tritonserver \
    --model-repository="$repository" \
    --model-control-mode=explicit \
    "${models[@]/#/--load-model=}" \
    --http-restricted-api="$closed" \
    --grpc-restricted-protocol="$closed" \
    --metrics-config=summary_latencies=true \
    --exit-timeout-secs=30 \
    --log-format=ISO8601 \
    "$@"
