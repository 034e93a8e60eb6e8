"""Tells 28×28 ink again as far as it is a digit.

Calls `digit_autoencoder` over gRPC. Usage, in the project's folder:

    python examples/digit_autoencoder/call.py [IMAGE.json [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import json
import sys
from pathlib import Path

from maas_client import Client, MaasClientError

image = sys.argv[1] if len(sys.argv) > 1 else "examples/digit_autoencoder/image.json"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        answer = client.infer("digit_autoencoder", image=json.loads(Path(image).read_text()))
except (OSError, MaasClientError) as error:
    sys.exit(str(error))

print("told:", *answer["told"].ravel())
print("told_error:", *answer["told_error"].ravel())
