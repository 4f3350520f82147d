#!/bin/sh
# The staging suite of the demo. It looks at what it is given and says what it found, as a real one does.
echo "TAP version 13"
if [ -n "$STAND_IN" ]; then
    echo "# there is no container: a stand-in for docker runs this on the machine itself"
fi
echo "ok 1 - $(hostname) answers"
if [ "$1 $2" = "--mode stub" ]; then
    echo "ok 2 - it runs against stubs"
else
    echo "not ok 2 - it runs against stubs: $*"
    exit 1
fi
echo "1..2"
