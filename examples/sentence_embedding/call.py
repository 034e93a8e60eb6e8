"""Turns a sentence into a vector of length 1.

Calls `sentence_embedding` over gRPC. Usage, in the project's folder:

    python examples/sentence_embedding/call.py [TEXT [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import sys

from maas_client import Client, MaasClientError

text = sys.argv[1] if len(sys.argv) > 1 else "The cat is sleeping on the sofa."
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        answer = client.infer("sentence_embedding", text=[[text]])
except MaasClientError as error:
    sys.exit(str(error))

print("embedding:", *answer["embedding"].ravel())
