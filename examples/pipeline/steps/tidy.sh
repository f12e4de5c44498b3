# Runs at the end, however that was.
rm -f "$WORK"/*.json
echo "$WORK is empty again"
