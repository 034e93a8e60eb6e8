"""Tells which of ten photographs a picture is a piece of, or the ten classes of CIFAR-10.

Calls `photo` over gRPC. Usage, in the project's folder:

    python examples/photo/call.py [PICTURE [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import sys
from pathlib import Path

from maas_client import Client, MaasClientError

picture = sys.argv[1] if len(sys.argv) > 1 else "examples/photo/cat_eye.png"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        answer = client.infer("photo", picture=[[Path(picture).read_bytes()]])
except (OSError, MaasClientError) as error:
    sys.exit(str(error))

print("label:", *answer.text("label").ravel())
print("score:", *answer["score"].ravel())
