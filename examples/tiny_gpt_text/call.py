"""Goes on from a prompt, one streamed answer a token.

Calls `tiny_gpt_text` over gRPC. Usage, in the project's folder:

    python examples/tiny_gpt_text/call.py [PROMPT [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import sys

from maas_client import Client, MaasClientError

prompt = sys.argv[1] if len(sys.argv) > 1 else "def read(path):\n"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        for answer in client.stream(
            "tiny_gpt_text",
            prompt=[prompt],
            max_tokens=[32],
        ):
            print(answer.text("text").item(), end="", flush=True)
        print()
except MaasClientError as error:
    sys.exit(str(error))
