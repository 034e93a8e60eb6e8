"""Turns the word pieces of a text into a vector of length 1.

Calls `sentence_encoder` over gRPC. Usage, in the project's folder:

    python examples/sentence_encoder/call.py [INPUT_IDS.json [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import json
import sys
from pathlib import Path

from maas_client import Client, MaasClientError

input_ids = sys.argv[1] if len(sys.argv) > 1 else "examples/sentence_encoder/input_ids.json"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        answer = client.infer(
            "sentence_encoder",
            input_ids=json.loads(Path(input_ids).read_text()),
            attention_mask=[[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
        )
except (OSError, MaasClientError) as error:
    sys.exit(str(error))

print("embedding:", *answer["embedding"].ravel())
