"""Forecasts the next five years of a share from a table's column, cell by cell.

Calls `adoption` over gRPC. Usage, in the project's folder:

    python examples/adoption/call.py [OBSERVATION.csv [URL]]

Generated from the model's spec by `maas examples --write`: change the spec or the template, not this file.
"""

import csv
import sys
from pathlib import Path

from maas_client import Client, MaasClientError

observation = sys.argv[1] if len(sys.argv) > 1 else "examples/adoption/iowa_renewables.csv"
url = sys.argv[2] if len(sys.argv) > 2 else "grpc://127.0.0.1:8001"

try:
    with Path(observation).open(newline="") as file:
        # The last column, without its heading; an empty line is a value that is missing.
        values = [row[-1] if row else "" for row in csv.reader(file)][1:]
    if not values:
        sys.exit(f"{observation} holds no line below its heading")
    with Client(url) as client, client.sequence("adoption") as sequence:
        for step, value in enumerate(values, start=1):
            answer = sequence.infer(observation=[[value]], last=step == len(values))
except (OSError, MaasClientError) as error:
    sys.exit(str(error))

print("forecast:", *answer["forecast"].ravel())
