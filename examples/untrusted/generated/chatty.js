for (;;) console.log("still looking for the answer");
