"""Reads the orders, and stops the pipeline at the first one that makes no sense."""

import csv
import os
import sys

from handed import give

orders = []
with open(os.environ["ORDERS"], newline="") as file:
    for line, row in enumerate(csv.DictReader(file), start=2):
        try:
            orders.append({"month": row["date"][:7], "country": row["country"], "cents": int(row["cents"])})
        except ValueError as error:
            # Anything but 0 is a failure: what waits for this job's success is cancelled.
            sys.exit(f"line {line}: {error}")
give("orders.json", orders)
print(f"{len(orders)} orders")
