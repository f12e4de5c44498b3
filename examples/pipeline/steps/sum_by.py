"""Adds up the orders by a column: `sum_by.py month`. Two of these run side by side."""

import sys

from handed import give, take

column = sys.argv[1]
sums: dict[str, int] = {}
for order in take("orders.json"):
    sums[order[column]] = sums.get(order[column], 0) + order["cents"]
give(f"by-{column}.json", sums)
print(f"{len(sums)} sums by {column}")
