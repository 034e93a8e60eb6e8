"""Tells which of ten photographs a 32×32 patch is from, or the ten classes of CIFAR-10.

Calls `photo_cnn` over gRPC. Usage, in the project's folder:

    python examples/photo_cnn/call.py [IMAGE.json [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import json
import sys
from pathlib import Path

from maas_client import Client, MaasClientError

image = sys.argv[1] if len(sys.argv) > 1 else "examples/photo_cnn/image.json"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        answer = client.infer("photo_cnn", image=json.loads(Path(image).read_text()))
except (OSError, MaasClientError) as error:
    sys.exit(str(error))

print("logits:", *answer["logits"].ravel())
