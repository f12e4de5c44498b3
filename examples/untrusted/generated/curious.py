import os

print("who lives here:", os.listdir("/home"))
