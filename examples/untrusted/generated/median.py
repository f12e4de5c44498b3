numbers = sorted([12, 3, 8, 41, 7])
print("median", numbers[len(numbers) // 2])
