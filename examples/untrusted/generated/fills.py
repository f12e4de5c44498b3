with open("cache.bin", "wb") as cache:
    for _ in range(1000):
        cache.write(bytes(1_000_000))
