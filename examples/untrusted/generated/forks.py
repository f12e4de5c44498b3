import os
import time


def helper():
    try:
        return os.fork()
    except OSError:
        time.sleep(1)  # once more, and then I give up
        return os.fork()


for _ in range(1000):
    if helper() == 0:
        time.sleep(60)
