let n = 27;
while (n !== 1) n = n % 2 ? 3 * n + 1 : n; // it was to halve the even ones
