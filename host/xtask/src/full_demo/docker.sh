#!/bin/sh
# Stands in for the docker client where no container engine runs. It runs things on this very machine, and says so.
echo "stand-in docker: no container engine runs here, so this runs on the machine itself" >&2
case $1 in
version | --version | info) echo "Docker version 0-stand-in" ;;
inspect | container) echo "running" ;;
exec)
    shift
    # Whoever runs inside can say so, too.
    STAND_IN=1
    export STAND_IN
    while [ "${1#-}" != "$1" ]; do shift; done
    shift
    exec "$@"
    ;;
*)
    echo "stand-in docker: it has no '$1'" >&2
    exit 125
    ;;
esac
