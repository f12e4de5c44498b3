#!/bin/sh
# Packs a folder into TARGET/NAME-DATE.tar.gz, proves that it can be read, and keeps the newest ones.
#   workerctl submit --queue backup --retries 10 --backoff 1m backup.sh -- SOURCE TARGET [HOW_MANY_TO_KEEP]
#
# It may be killed at any line and run again: an archive has its name only when it is whole. It ends with 75 for what
# may pass (the disk is not there, or full), and so is tried again; with 2 for what will not.
set -eu
umask 077

passes() { echo "backup: $*" >&2; exit 75; }
stays() { echo "backup: $*" >&2; exit 2; }

# One line of JSON on descriptor 3 is a message to the daemon: how far we are, or what came of it.
progress() { printf '{"type":"progress","percentage":%s,"stage":"%s"}\n' "$1" "$2" >&3; }
result() { printf '{"type":"result","value":{"archive":"%s","files":%s,"sha256":"%s"}}\n' "$1" "$2" "$3" >&3; }

[ $# -ge 2 ] || stays "usage: backup.sh SOURCE TARGET [HOW_MANY_TO_KEEP]"
source=$1 target=$2 keep=${3:-7}
[ -d "$source" ] || stays "$source is no folder"
[ -d "$target" ] || passes "attempt $JOB_ATTEMPT: $target is not there: is the disk plugged in?"

name=$(basename "$source")
archive=$target/$name-$(date +%Y-%m-%d-%H%M%S).tar.gz
unfinished=$target/.$name.unfinished
trap 'rm -f "$unfinished"' EXIT

progress 0 packing
tar -C "$(dirname "$source")" -czf "$unfinished" "$name" || passes "attempt $JOB_ATTEMPT: it could not be packed"

progress 60 checking
files=$(tar -tzf "$unfinished" | grep -vc '/$') || stays "the archive cannot be read back, or holds no file"
sum=$(sha256sum "$unfinished" | cut -d' ' -f1)

progress 90 'tidying up'
sync "$unfinished"
mv "$unfinished" "$archive"
# By their dates the oldest come first.
find "$target" -maxdepth 1 -name "$name-*.tar.gz" | sort -r | tail -n "+$((keep + 1))" | while read -r old; do
    rm "$old"
    echo "removed $(basename "$old")"
done

result "$(basename "$archive")" "$files" "$sum"
echo "packed $files files"
