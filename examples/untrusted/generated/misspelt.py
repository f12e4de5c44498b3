for word in "to be or not to be".split():
    print(wrod.upper())
