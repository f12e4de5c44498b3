"""What the daemon costs and how fast it is: ratios, each taken in one run on one machine.

`python -m benchmarks` runs all and prints one table; `python -m benchmarks NAME …` runs single ones. Everything runs
in a clean environment: an inherited NODE_EXTRA_CA_CERTS alone makes Node 20 start 2.5 times slower.
"""
