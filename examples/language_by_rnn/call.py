"""Tells the language of a name, one after the other.

Calls `language_by_rnn` over gRPC. Usage, in the project's folder:

    python examples/language_by_rnn/call.py [TEXT [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import sys

from maas_client import Client, MaasClientError

text = sys.argv[1] if len(sys.argv) > 1 else "Schweizer Franken"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        answer = client.infer("language_by_rnn", text=[[text]])
except MaasClientError as error:
    sys.exit(str(error))

print("label:", *answer.text("label").ravel())
print("score:", *answer["score"].ravel())
