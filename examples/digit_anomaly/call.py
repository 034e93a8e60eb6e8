"""Tells whether a picture shows something else than a handwritten digit.

Calls `digit_anomaly` over gRPC. Usage, in the project's folder:

    python examples/digit_anomaly/call.py [PICTURE [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import sys
from pathlib import Path

from maas_client import Client, MaasClientError

picture = sys.argv[1] if len(sys.argv) > 1 else "examples/digits/3_thick_marker.png"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Client(url) as client:
        answer = client.infer("digit_anomaly", picture=[[Path(picture).read_bytes()]])
except (OSError, MaasClientError) as error:
    sys.exit(str(error))

print("score:", *answer["score"].ravel())
print("is_anomaly:", *answer["is_anomaly"].ravel())
