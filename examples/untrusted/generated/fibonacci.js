const fibonacci = [1n, 1n];
while (fibonacci.length < 50) fibonacci.push(fibonacci.at(-1) + fibonacci.at(-2));
console.log("the 50th is", String(fibonacci.at(-1)));
