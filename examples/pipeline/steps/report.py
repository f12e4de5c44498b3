"""Makes one page of both sums. It is kept by the daemon, as the job's artifact."""

import os

from handed import take

lines = []
for column in ("month", "country"):
    lines += [f"| {column} | sum |", "| --- | ---: |"]
    lines += [f"| {name} | {cents / 100:.2f} |" for name, cents in sorted(take(f"by-{column}.json").items())]
    lines.append("")
with open(os.path.join(os.environ["JOB_OUTPUT_DIR"], "report.md"), "w") as page:
    page.write("\n".join(lines))
