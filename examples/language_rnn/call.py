"""Tells the language of letters, one after the other.

Calls `language_rnn` over gRPC. Usage, in the project's folder:

    python examples/language_rnn/call.py [TOKENS.json [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import json
import sys
from pathlib import Path

from maas_client import Client, MaasClientError

tokens = sys.argv[1] if len(sys.argv) > 1 else "examples/language_rnn/tokens.json"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        answer = client.infer("language_rnn", tokens=json.loads(Path(tokens).read_text()))
except (OSError, MaasClientError) as error:
    sys.exit(str(error))

print("logits:", *answer["logits"].ravel())
