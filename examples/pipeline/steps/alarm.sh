# Runs only if the step that it waits for has failed. A real one would send a message.
echo "the orders could not be read: $ORDERS"
